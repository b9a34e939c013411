"""Health, metrics, limits, drain: what operators and newcomers see."""

import asyncio

import pytest

from heptad.model.problems import PROBLEMS, Problem

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_the_process_is_alive(gateway):
    async def story(gateway):
        assert (await gateway.call("GET", "/livez")).body == b"ok\n"

    gateway(story)


def test_ready_means_that_a_validator_can_be_reached(gateway):
    async def story(gateway):
        assert (await gateway.call("GET", "/readyz")).json() == {"ready": True}
        gateway.submissions.ready = False
        answer = await gateway.call("GET", "/readyz")
        assert (answer.status, answer.code) == (503, "validator_unavailable")
        assert answer.json()["ready"] is False

    gateway(story)


def test_a_ledger_that_is_away_does_not_make_a_gateway_unready(gateway):
    async def story(gateway):
        gateway.ledger.answers["status"] = Problem("ledger_unavailable", "away")
        gateway.submissions.trouble = {2: "connection refused"}
        answer = await gateway.call("GET", "/readyz?verbose")
        assert answer.status == 200
        checks = {check["name"]: check for check in answer.json()["checks"]}
        assert checks["ledger-1"]["reason"] == "ledger_unavailable: away"
        assert checks["validator-1"] == {
            "name": "validator-1", "ok": True, "needed": False, "reason": "connected",
        }  # fmt: skip
        assert checks["validator-2"]["reason"] == "connection refused"
        assert (await gateway.call("GET", "/v1")).json()["status"] == "degraded"

    gateway(story)


def test_the_front_page_says_what_a_developer_needs(gateway):
    async def story(gateway):
        about = (await gateway.call("GET", "/v1")).json()
        assert (about["name"], about["origin"], about["status"]) == ("heptad", "cell.example", "ok")
        assert about["open_registration"] is True
        assert about["limits"]["request_bytes_max"] == 16_384
        for link in about["links"].values():
            assert (await gateway.call("GET", link)).status != 404

    gateway(story)


def test_metrics_count_answers_by_route_and_refusals_by_code(gateway):
    async def story(gateway):
        await gateway.post(b"x")
        gateway.submissions.answer = lambda _: Problem("request_expired", "old")
        await gateway.post(b"x")
        await gateway.call("GET", "/nobody/knows")
        answer = await gateway.call("GET", "/metrics")
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        lines = answer.body.decode().splitlines()

        def value(name, **labels):
            wanted = {f'{key}="{text}"' for key, text in labels.items()}
            named = [line for line in lines if line.startswith(name + "{")]
            return [
                float(line.rsplit(" ", 1)[1])
                for line in named
                if wanted <= set(line[len(name) + 1 : line.index("}")].split(","))
            ]

        posts = {"method": "POST", "route": "/v1/requests"}
        assert value("http_requests_total", **posts, status="201") == [1.0]
        assert value("http_requests_total", **posts, status="401") == [1.0]
        assert value("http_requests_total", route="-", status="404") == [1.0]
        assert value("heptad_refusals_total", code="request_expired") == [1.0]
        assert "nobody" not in answer.body.decode()

    gateway(story)


def test_a_refusal_inside_a_batch_is_counted_too(gateway):
    async def story(gateway):
        gateway.submissions.answer = lambda _: Problem("key_unknown", "who")
        headers = {"Content-Type": "application/json"}
        await gateway.call("POST", "/v1/requests:batch", data=b'["a","b"]', headers=headers)
        metrics = (await gateway.call("GET", "/metrics")).body.decode()
        assert 'heptad_refusals_total{code="key_unknown"} 2.0' in metrics

    gateway(story)


@pytest.mark.parametrize("code", ["request_expired", "internal_error"])
def test_the_type_of_a_problem_leads_to_its_page(gateway, code):
    async def story(gateway):
        answer = await gateway.call("GET", f"/errors/{code}")
        assert answer.status == 200
        assert PROBLEMS[code].advice in answer.body.decode()
        assert (await gateway.call("GET", "/errors/nothing")).code == "not_found"

    gateway(story)


def test_a_trace_is_echoed_and_passed_on(gateway):
    async def story(gateway):
        head = {"traceparent": TRACE}
        answer = await gateway.call("GET", "/v1/entries/7", headers=head)
        assert answer.headers["traceparent"] == TRACE
        assert gateway.ledger.asked[0][-1].traceparent == TRACE

    gateway(story)


@pytest.mark.parametrize("bad", ["", "x", TRACE + "0", TRACE.upper(), "00-" + "g" * 32])
def test_what_is_no_trace_is_ignored(gateway, bad):
    async def story(gateway):
        answer = await gateway.call("GET", "/v1/entries/7", headers={"traceparent": bad})
        assert "traceparent" not in answer.headers
        assert gateway.ledger.asked[0][-1].traceparent == ""

    gateway(story)


def test_the_answer_does_not_advertise_its_software(gateway):
    async def story(gateway):
        for path in ("/livez", "/v1/nothing"):
            answer = await gateway.call("GET", path)
            assert answer.headers["Server"] == "heptad"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"

    gateway(story)


async def held(gateway):
    """A request that no validator answers; returns once the gateway has it."""
    gateway.submissions.answer = lambda _: None
    task = asyncio.create_task(gateway.post(b"held"))
    while not gateway.submissions.open:  # noqa: ASYNC110  until the request is at its port
        await asyncio.sleep(0)
    return task


def test_beyond_the_bound_requests_are_told_to_come_back(gateway, recorded):
    async def story(gateway):
        task = await held(gateway)
        answer = await gateway.post(b"more")
        assert (answer.status, answer.code) == (503, "overloaded")
        assert answer.headers["Retry-After"] == "1"
        assert answer.headers["RateLimit-Policy"] == '"in-flight";q=1;qu="concurrent-requests"'
        assert answer.headers["RateLimit"] == '"in-flight";r=0;t=1'
        # Whoever has to see that it is full still can.
        for path in ("/livez", "/readyz", "/metrics"):
            assert (await gateway.call("GET", path)).status == 200
        gateway.submissions.open[0].set_result(recorded(1))
        assert (await task).status == 201
        gateway.submissions.answer = lambda _: recorded(2)
        assert (await gateway.post(b"now")).status == 201

    gateway(story, requests_in_flight_max=1)


def test_a_client_beyond_its_allowance_is_told_to_wait(gateway):
    async def story(gateway):
        answers = [await gateway.call("GET", "/v1/entries/1") for _ in range(40)]
        refused = [answer for answer in answers if answer.status == 429]
        assert refused
        assert refused[0].code == "client_rate_limited"
        assert refused[0].headers["RateLimit-Policy"] == '"client";q=10;w=1'
        assert int(refused[0].headers["Retry-After"]) >= 1

    gateway(story, client_requests_per_s_max=10)


def test_a_batch_costs_as_many_as_it_holds(gateway):
    async def story(gateway):
        headers = {"Content-Type": "application/json"}
        body = b"[" + b",".join([b'"a"'] * 20) + b"]"
        first = await gateway.call("POST", "/v1/requests:batch", data=body, headers=headers)
        assert first.status == 429
        assert gateway.submissions.sent == []

    gateway(story, client_requests_per_s_max=9)


def test_the_connection_too_many_is_told_so_and_closed(gateway):
    async def story(gateway):
        await gateway.call("GET", "/livez")  # this client's connection stays open
        raw = await gateway.raw(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert raw.startswith(b"HTTP/1.1 503 ")
        assert b'"code":"overloaded"' in raw
        assert (await gateway.call("GET", "/livez")).status == 200

    gateway(story, connections_max=1)


def admin(gateway, path, **options):
    url = f"http://127.0.0.1:{gateway.admin_port}{path}"
    return gateway.http.post(url, **options)


def test_draining_refuses_what_is_new_and_finishes_what_is_under_way(gateway, recorded):
    async def story(gateway):
        task = await held(gateway)
        async with admin(gateway, "/v1/admin/drain", json={}) as answer:
            assert await answer.json() == {"draining": True, "in_flight": 1}
        refused = await gateway.post(b"new")
        assert (refused.status, refused.code) == (503, "draining")
        assert refused.headers["Connection"] == "close"
        assert (await gateway.call("GET", "/readyz")).code == "draining"
        assert (await gateway.call("GET", "/policy")).status == 200
        gateway.submissions.open[0].set_result(recorded(1))
        assert (await task).status == 201
        async with admin(gateway, "/v1/admin/resume", json={}) as answer:
            assert await answer.json() == {"draining": False, "in_flight": 0}
        gateway.submissions.answer = lambda _: recorded(2)
        assert (await gateway.post(b"again")).status == 201

    gateway(story)


def test_a_web_page_cannot_drain_a_gateway(gateway):
    """A form or a simple fetch of a foreign page cannot say `application/json`."""

    async def story(gateway):
        for media_type in ("text/plain", "application/x-www-form-urlencoded", ""):
            head = {"Content-Type": media_type}
            async with admin(gateway, "/v1/admin/drain", data=b"{}", headers=head) as answer:
                assert answer.status == 415
        assert (await gateway.call("GET", "/readyz")).status == 200

    gateway(story)


def test_operators_calls_are_not_on_the_public_listener(gateway):
    async def story(gateway):
        head = {"Content-Type": "application/json"}
        answer = await gateway.call("POST", "/v1/admin/drain", data=b"{}", headers=head)
        assert answer.code == "not_found"

    gateway(story)
