"""The doors between services, over real TLS: who gets in, and what leaves when something breaks."""

import asyncio

import grpc
import pytest

from heptad.model.problems import Problem
from heptad.runtime import channels
from heptad.runtime import guard as guard_module
from heptad.runtime.errors import PortTakenError
from heptad.runtime.identity import Identity, Role, member
from heptad.runtime.status import problem_of
from heptad.runtime.streams import FrameStream, open_frame_stream

ECHO = "/test.v1.Test/Echo"
ASK = "/test.v1.Test/Ask"
ROLES = {ECHO: frozenset({Role.VALIDATOR}), ASK: frozenset({Role.OPERATOR, Role.SERVICE})}


async def echo(stream: FrameStream, _peer: Identity) -> None:
    while (body := await stream.read()) is not None:
        await stream.write(body)


async def ask(channel: grpc.aio.Channel, request: bytes = b"x") -> bytes:
    return await channel.unary_unary(ASK)(request, timeout=10)


async def refusal(channel: grpc.aio.Channel, request: bytes = b"x") -> Problem:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ask(channel, request)
    return problem_of(caught.value, unavailable="quorum_unavailable")


def test_a_stream_carries_bodies_both_ways_in_order(open_door, authority) -> None:
    async def scenario() -> list[bytes | None]:
        async with (
            open_door(ROLES, echo=echo) as door,
            door.dialled(authority.member("validator-1")) as channel,
        ):
            stream = open_frame_stream(channel, ECHO)
            for body in (b"one", b"", b"x" * 300_000):
                await stream.write(body)
            await stream.finish()
            return [await stream.read() for _ in range(4)]

    assert asyncio.run(scenario()) == [b"one", b"", b"x" * 300_000, None]


def test_a_handler_knows_who_calls(open_door, authority) -> None:
    peers = []

    async def note(stream: FrameStream, peer: Identity) -> None:
        peers.append(peer)
        await stream.write(b"noted")

    async def scenario() -> None:
        async with (
            open_door(ROLES, echo=note) as door,
            door.dialled(authority.member("validator-2")) as channel,
        ):
            assert await open_frame_stream(channel, ECHO).read() == b"noted"

    asyncio.run(scenario())
    assert peers == [member(authority.origin, "validator-2")]


@pytest.mark.parametrize("role", sorted(set(Role) - {Role.OPERATOR, Role.SERVICE}))
def test_a_role_that_a_call_does_not_list_is_refused(open_door, authority, role: Role) -> None:
    name = f"{role}-1"

    async def scenario() -> Problem:
        async with (
            open_door(ROLES) as door,
            door.dialled(authority.client(role, name)) as channel,
        ):
            problem = await refusal(channel)
            await door.until_ended([(ASK, "role_refused")])
            return problem

    problem = asyncio.run(scenario())
    assert problem.code == "role_refused"
    assert str(role) in problem.detail


def test_a_listed_role_gets_in(open_door, authority) -> None:
    async def scenario() -> bytes:
        async with (
            open_door(ROLES) as door,
            door.dialled(authority.client(Role.SERVICE, "tax-portal")) as channel,
        ):
            answer = await ask(channel, b"hello")
            await door.until_ended([(ASK, "ok")])
            return answer

    assert asyncio.run(scenario()) == b"hello"


def test_a_call_that_no_table_lists_is_refused_to_everybody(open_door, authority) -> None:
    async def scenario() -> Problem:
        async with (
            open_door({ECHO: ROLES[ECHO]}) as door,
            door.dialled(authority.client(Role.OPERATOR, "operator")) as channel,
        ):
            return await refusal(channel)

    assert asyncio.run(scenario()).code == "role_refused"


def test_a_role_is_checked_on_streams_too(open_door, authority) -> None:
    async def scenario() -> Problem:
        async with (
            open_door(ROLES, echo=echo) as door,
            door.dialled(authority.member("gateway-1")) as channel,
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await open_frame_stream(channel, ECHO).read()
        return problem_of(caught.value, unavailable="quorum_unavailable")

    assert asyncio.run(scenario()).code == "role_refused"


def test_who_is_no_member_any_more_is_refused_whatever_its_certificate_says(
    open_door, authority
) -> None:
    """Certificates live for a year, and `cell.toml` says who takes part today."""

    async def refused(door, name: str) -> str:
        async with door.dialled(authority.member(name)) as channel:
            return (await refusal(channel)).detail

    async def scenario() -> None:
        roles = {ASK: frozenset({Role.VALIDATOR, Role.OPERATOR})}
        async with open_door(roles, members=frozenset({"validator-1"})) as door:
            assert await refused(door, "validator-2") == "validator-2 is not a member of this cell"
            assert (
                await refused(door, "validator-01") == "validator-01 is not a member of this cell"
            )
            for tls in (
                authority.member("validator-1"),
                authority.client(Role.OPERATOR, "operator"),
            ):
                async with door.dialled(tls) as channel:
                    assert await ask(channel, b"hello") == b"hello"

    asyncio.run(scenario())


def test_one_caller_has_only_so_many_calls_under_way_and_others_have_theirs(
    open_door, authority, monkeypatch
) -> None:
    """The fifth stream is refused, over whichever connection it comes; one that ends makes room."""
    monkeypatch.setattr(guard_module, "REFUSAL_DELAY_S", 0.0)

    async def scenario() -> None:
        evil, honest = authority.member("validator-1"), authority.member("validator-2")
        async with (
            open_door(ROLES, echo=echo, calls_max={ECHO: 4}) as door,
            door.dialled(evil) as one,
            door.dialled(evil) as two,
            door.dialled(honest) as other,
        ):
            streams = [open_frame_stream((one, two)[n % 2], ECHO) for n in range(4)]
            for stream in streams:
                await stream.write(b"here")
                assert await stream.read() == b"here"
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await open_frame_stream(two, ECHO).read()
            problem = problem_of(caught.value, unavailable="quorum_unavailable")
            assert problem.code == "overloaded"
            theirs = open_frame_stream(other, ECHO)
            await theirs.write(b"honest")
            assert await theirs.read() == b"honest"
            await streams[0].finish()
            assert await streams[0].read() is None
            again = open_frame_stream(one, ECHO)
            await again.write(b"again")
            assert await again.read() == b"again"

    asyncio.run(scenario())


def test_a_certificate_of_another_cell_is_refused_even_from_the_same_authority(
    open_door, authority
) -> None:
    foreign = Identity("other.heptad.internal", Role.OPERATOR, "operator")

    async def scenario() -> Problem:
        async with open_door(ROLES) as door, door.dialled(authority.of(foreign)) as channel:
            return await refusal(channel)

    assert asyncio.run(scenario()).code == "cell_mismatch"


def test_a_client_of_another_authority_cannot_even_connect(open_door, authority, stranger) -> None:
    tls = stranger.of(Identity(authority.origin, Role.OPERATOR, "operator"), trusting=authority)

    async def scenario() -> Problem:
        async with (
            open_door(ROLES) as door,
            door.dialled(tls) as channel,
        ):
            problem = await refusal(channel)
            assert door.calls.begun == []
            return problem

    assert asyncio.run(scenario()).code == "quorum_unavailable"


def test_a_client_without_a_certificate_cannot_even_connect(open_door, authority) -> None:
    async def scenario() -> grpc.StatusCode:
        async with open_door(ROLES) as door:
            credentials = grpc.ssl_channel_credentials(authority.ca_pem)
            name = member(authority.origin, "replica-3").dns_name
            options = [("grpc.ssl_target_name_override", name)]
            async with grpc.aio.secure_channel(door.address, credentials, options) as channel:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await ask(channel)
            assert door.calls.begun == []
            return caught.value.code()

    assert asyncio.run(scenario()) is grpc.StatusCode.UNAVAILABLE


def test_plaintext_is_not_spoken(open_door) -> None:
    async def scenario() -> grpc.StatusCode:
        async with open_door(ROLES) as door:
            async with grpc.aio.insecure_channel(door.address) as channel:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await ask(channel)
            assert door.calls.begun == []
            return caught.value.code()

    assert asyncio.run(scenario()) is grpc.StatusCode.UNAVAILABLE


def test_a_client_does_not_talk_to_another_member_than_it_meant(open_door, authority) -> None:
    async def scenario() -> Problem:
        async with open_door(ROLES) as door:
            tls = authority.client(Role.OPERATOR, "operator")
            async with door.dialled(tls, peer_id="replica-4") as channel:
                problem = await refusal(channel)
            assert door.calls.begun == []
            return problem

    assert asyncio.run(scenario()).code == "quorum_unavailable"


def test_a_clients_certificate_does_not_make_a_server(authority) -> None:
    # Given a service that was cunningly named, so that its DNS name would fit.
    posing = Identity(authority.origin, Role.SERVICE, "replica-3")

    async def scenario() -> Problem:
        server = channels.create_server()
        port = channels.listen(server, address="127.0.0.1:0", tls=authority.of(posing))
        await server.start()
        try:
            async with channels.open_channel(
                address=f"127.0.0.1:{port}",
                peer_id="replica-3",
                origin=authority.origin,
                tls=authority.client(Role.OPERATOR, "operator"),
            ) as channel:
                return await refusal(channel)
        finally:
            await server.stop(grace=0)

    assert asyncio.run(scenario()).code == "quorum_unavailable"


def test_a_problem_raised_in_a_handler_reaches_the_caller_whole(open_door, authority) -> None:
    def refuse(_request: bytes) -> bytes:
        raise Problem("request_expired", "expired 4 s ago", field="exp", retry_after_s=2)

    async def scenario() -> Problem:
        async with (
            open_door(ROLES, ask=refuse) as door,
            door.dialled(authority.client(Role.OPERATOR, "operator")) as channel,
        ):
            problem = await refusal(channel)
            await door.until_ended([(ASK, "request_expired")])
            return problem

    problem = asyncio.run(scenario())
    assert (problem.code, problem.detail, problem.field, problem.retry_after_s) == (
        "request_expired",
        "expired 4 s ago",
        "exp",
        2,
    )


def test_the_text_of_a_bug_does_not_leave_the_service(open_door, authority) -> None:
    def break_down(_request: bytes) -> bytes:
        raise ValueError("Jane Citizen, 1 January 1970")

    async def scenario() -> tuple[grpc.aio.AioRpcError, list[BaseException]]:
        async with (
            open_door(ROLES, ask=break_down) as door,
            door.dialled(authority.client(Role.OPERATOR, "operator")) as channel,
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await ask(channel)
            await door.until_ended([(ASK, "internal_error")])
            return caught.value, door.calls.errors

    error, noted = asyncio.run(scenario())
    assert problem_of(error, unavailable="quorum_unavailable").code == "internal_error"
    assert "Jane" not in f"{error.details()} {error.trailing_metadata()!r}"
    assert [str(bug) for bug in noted] == ["Jane Citizen, 1 January 1970"]


def test_garbage_on_a_hot_stream_ends_it_with_frame_malformed(open_door, authority) -> None:
    async def scenario() -> Problem:
        async with (
            open_door(ROLES, echo=echo) as door,
            door.dialled(authority.member("validator-1")) as channel,
        ):
            call = channel.stream_stream(ECHO)()
            await call.write(b"\x12\x03abc")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call.read()
        return problem_of(caught.value, unavailable="quorum_unavailable")

    assert asyncio.run(scenario()).code == "frame_malformed"


def test_a_message_above_the_limit_is_refused_and_the_server_lives_on(open_door, authority) -> None:
    async def scenario() -> tuple[Problem, bytes]:
        async with open_door(ROLES) as door:
            tls = authority.client(Role.OPERATOR, "operator")
            credentials = channels.channel_credentials(tls)
            name = member(authority.origin, "replica-3").dns_name
            options = [
                ("grpc.ssl_target_name_override", name),
                ("grpc.max_send_message_length", 1 << 30),
            ]
            async with grpc.aio.secure_channel(door.address, credentials, options) as channel:
                problem = await refusal(channel, b"x" * (channels.MESSAGE_BYTES_MAX + 1))
                return problem, await ask(channel, b"still there")

    problem, answer = asyncio.run(scenario())
    assert problem.code == "overloaded"
    assert answer == b"still there"


def test_a_stream_that_its_caller_drops_ends_its_handler(open_door, authority, eventually) -> None:
    async def scenario() -> None:
        async with (
            open_door(ROLES, echo=echo) as door,
            door.dialled(authority.member("validator-1")) as channel,
        ):
            stream = open_frame_stream(channel, ECHO)
            await stream.write(b"x")
            await stream.read()
            stream.cancel()
            assert door.calls.outcomes == []
            await eventually(lambda: door.calls.outcomes)
            (ended,) = door.calls.outcomes
            assert ended in {(ECHO, "ok"), (ECHO, "cancelled")}

    asyncio.run(scenario())


def test_a_peer_that_is_not_there_fails_at_once(authority) -> None:
    async def scenario() -> grpc.StatusCode:
        async with channels.open_channel(
            address="127.0.0.1:9",
            peer_id="replica-3",
            origin=authority.origin,
            tls=authority.member("validator-1"),
        ) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await open_frame_stream(channel, ECHO).read()
            return caught.value.code()

    assert asyncio.run(scenario()) is grpc.StatusCode.UNAVAILABLE


def test_a_second_server_on_one_port_is_refused(open_door, authority) -> None:
    async def scenario() -> None:
        async with open_door(ROLES) as door:
            with pytest.raises(PortTakenError, match=door.address):
                channels.listen(
                    channels.create_server(),
                    address=door.address,
                    tls=authority.member("replica-3"),
                )

    asyncio.run(scenario())


def test_a_private_key_does_not_stand_in_a_repr(authority) -> None:
    assert b"PRIVATE KEY" in authority.member("replica-1").key_pem
    assert "PRIVATE KEY" not in repr(authority.member("replica-1"))
