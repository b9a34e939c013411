"""The control room: what the picture says of a cell, and what it costs to look."""

import asyncio
import socket

import pytest

from heptad.observability.exposition import Exposition
from heptad.runtime.config.profile import Endpoint
from heptad_gateway.control_room.members import ask_all
from heptad_gateway.control_room.picture import Cell, draw
from heptad_gateway.control_room.rates import Moment, Span

REPLICAS = tuple(f"replica-{number}" for number in range(1, 8))
CELL = Cell("gateway-1", REPLICAS, ("gateway-1", "validator-1", "ledger-1"), "ledger-1")
UNIX_S = 1_000_000.0


def pages(**changes):
    """A healthy cell; `changes` replace lines of members (`_` for `-`), None silences one."""
    told = {
        name: ["heptad_ready 1.0", "consensus_round 50.0", "consensus_is_leader 0.0"]
        for name in REPLICAS
    }
    told |= {name: ["heptad_ready 1.0"] for name in CELL.members}
    told["ledger-1"] += [
        "ledger_log_size 100.0",
        "ledger_published_size 100.0",
        f"ledger_checkpoint_time_seconds {UNIX_S - 5}",
    ]
    for member, lines in changes.items():
        name = member.replace("_", "-")
        told[name] = None if lines is None else [*told[name], *lines]
    return {n: None if each is None else Exposition("\n".join(each)) for n, each in told.items()}


def picture(before=None, seconds=10.0, **changes):
    after = Moment(100.0, pages(**changes))
    span = Span(Moment(100.0 - seconds, before) if before else after, after)
    return draw(CELL, recent=span, longer=span, unix_s=UNIX_S)


def runbooks(drawn):
    return [alert["runbook"] for alert in drawn["alerts"]]


def test_a_cell_where_all_is_well_has_nothing_to_look_at():
    drawn = picture()
    assert (drawn["verdict"], drawn["alerts"]) == ("well", [])
    assert {row["state"] for row in drawn["replicas"]} == {"ready"}
    assert drawn["quorum"] == 5


@pytest.mark.parametrize(
    ("line", "state"),
    [
        ("heptad_ready 0.0", "not ready"),
        ("consensus_follows_only 1.0", "follows only"),
        ("consensus_catching_up 1.0", "catching up"),
    ],
)
def test_a_replica_is_in_the_state_that_it_tells(line, state):
    told = pages(replica_3=[])
    told["replica-3"] = Exposition(
        "\n".join([line, *(["heptad_ready 1.0"] * ("ready" not in line))])
    )
    span = Span(Moment(1.0, told), Moment(1.0, told))
    drawn = draw(CELL, recent=span, longer=span, unix_s=UNIX_S)
    assert drawn["replicas"][2]["state"] == state


@pytest.mark.parametrize(
    ("away", "runbook"), [(1, None), (2, "HeptadQuorumAtRisk"), (3, "HeptadQuorumLost")]
)
def test_what_is_left_of_the_quorum_is_told(away, runbook):
    drawn = picture(**{f"replica_{number + 1}": None for number in range(away)})
    found = [each for each in runbooks(drawn) if each.startswith("HeptadQuorum")]
    assert found == ([runbook] if runbook else [])
    assert runbooks(drawn).count("HeptadMemberDown") == away
    assert drawn["verdict"] == ("trouble" if runbook else "attention")


@pytest.mark.parametrize(
    ("member", "lines", "runbook"),
    [
        ("ledger_1", ["ledger_store_full 1.0"], "HeptadStoreFull"),
        ("ledger_1", ["ledger_backup_keys_overdue 1.0"], "HeptadBackupKeyOverdue"),
        (
            "ledger_1",
            ['ledger_lag_blocks{replica="replica-1"} 900.0'],
            "HeptadLedgerBehind",
        ),
        ("validator_1", ["validator_clock_offset_seconds -2.5"], "HeptadClockOff"),
        (
            "replica_2",
            ['consensus_equivocations_total{accused="replica-7",offence="votes"} 1.0'],
            "HeptadEquivocation",
        ),
        ("replica_2", ["tls_quantum_safe 0.0"], "HeptadQuantumUnsafe"),
        ("replica_2", ["data_free_bytes 5.0", "data_size_bytes 100.0"], "HeptadDiskFilling"),
    ],
)
def test_what_a_member_tells_leads_to_its_runbook(member, lines, runbook):
    assert runbooks(picture(**{member: lines})) == [runbook]


def test_entries_that_wait_too_long_for_a_checkpoint_are_told():
    told = pages()
    lines = ["heptad_ready 1.0", "ledger_log_size 100.0", "ledger_published_size 90.0"]
    stale = [*lines, f"ledger_checkpoint_time_seconds {UNIX_S - 61}"]
    fresh = [*lines, f"ledger_checkpoint_time_seconds {UNIX_S - 59}"]
    for each, expected in ((stale, ["HeptadCheckpointStale"]), (fresh, [])):
        told["ledger-1"] = Exposition("\n".join(each))
        span = Span(Moment(1.0, told), Moment(1.0, told))
        assert runbooks(draw(CELL, recent=span, longer=span, unix_s=UNIX_S)) == expected


def traffic(good, bad, slow):
    return [
        f'http_requests_total{{status="201"}} {good}',
        f'http_requests_total{{status="503"}} {bad}',
        f'http_request_duration_seconds_bucket{{le="0.1"}} {good + bad - slow}',
        f'http_request_duration_seconds_bucket{{le="0.5"}} {good + bad}',
        f'http_request_duration_seconds_bucket{{le="+Inf"}} {good + bad}',
    ]


def test_rates_are_of_the_time_between_two_looks():
    drawn = picture(pages(gateway_1=traffic(100, 0, 0)), gateway_1=traffic(600, 50, 0))
    told = drawn["traffic"]
    assert told["requests_per_s"] == pytest.approx(55.0)
    assert told["errors_per_s"] == pytest.approx(5.0)
    assert told["p50_s"] == pytest.approx(0.05)
    assert runbooks(drawn) == ["HeptadErrorRateHigh"]


def test_a_counter_that_began_anew_is_no_negative_rate():
    drawn = picture(pages(gateway_1=traffic(100, 0, 0)), gateway_1=traffic(10, 0, 0))
    assert drawn["traffic"]["requests_per_s"] == 0.0


def test_few_slow_requests_are_no_alarm_and_many_are():
    calm = picture(pages(gateway_1=traffic(100, 0, 0)), gateway_1=traffic(110, 0, 5))
    assert runbooks(calm) == []
    slow = picture(pages(gateway_1=traffic(100, 0, 0)), gateway_1=traffic(1100, 0, 500))
    assert runbooks(slow) == ["HeptadLatencyHigh"]
    assert slow["traffic"]["p99_s"] > 0.4


def test_the_quantum_defence_counts_those_that_tell():
    drawn = picture(replica_2=["tls_quantum_safe 1.0"], ledger_1=["tls_quantum_safe 0.0"])
    assert drawn["quantum_safe"] == {"yes": 1, "of": 2}


def test_what_is_not_known_is_none_and_not_zero():
    drawn = picture(replica_4=None, ledger_1=None)
    assert drawn["replicas"][3]["cpu"] is None
    assert drawn["replicas"][3]["round"] is None
    assert drawn["ledger"] == {}
    assert drawn["traffic"]["p99_s"] is None


async def answering(body, status=b"200 OK", sock=None):
    """A listener that answers whatever is asked; its address, and what was asked."""
    asked = []

    async def serve(reader, writer):
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 " + status + b"\r\n\r\n" + body)
        await writer.drain()
        writer.close()

    if sock is None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
    else:
        server = await asyncio.start_server(serve, sock=sock)
    return server, f"127.0.0.1:{server.sockets[0].getsockname()[1]}", asked


def test_members_are_asked_for_their_metrics_and_who_is_away_or_wrong_is_silent():
    async def story():
        good, good_at, asked = await answering(b"heptad_ready 1.0\n")
        bad, bad_at, _ = await answering(b"heptad_ready 1.0\n", b"500 No")
        big, big_at, _ = await answering(b"x" * (3 << 20))
        found = await ask_all(
            [
                Endpoint("a", good_at),
                Endpoint("b", bad_at),
                Endpoint("c", "127.0.0.1:9"),
                Endpoint("d", big_at),
            ]
        )
        assert found["a"].value("heptad_ready") == 1.0
        assert [found[name] for name in "bcd"] == [None, None, None]
        assert asked[0].startswith(b"GET /metrics ")
        for server in (good, bad, big):
            server.close()

    asyncio.run(story())


def test_however_many_look_members_are_asked_once(gateway):
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    address = f"127.0.0.1:{listener.getsockname()[1]}"

    async def story(gateway):
        server, _, asked = await answering(b"heptad_ready 1.0\n", sock=listener)
        answers = await asyncio.gather(*(gateway.call("GET", "/v1/dashboard") for _ in range(9)))
        assert {answer.status for answer in answers} == {200}
        drawn = [answer.json() for answer in answers]
        assert {each["time_ms"] for each in drawn} == {drawn[0]["time_ms"]}
        assert len(drawn[0]["history"]) == 1
        assert [row["state"] for row in drawn[0]["replicas"]] == ["ready"]
        assert len(asked) == 1
        server.close()

    gateway(story, watched=(Endpoint("replica-1", address),))
