"""The gateway's span of a traced request, and what is handed on below it."""

import json

from spans import Traced

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
SAMPLED = f"00-{TRACE_ID}-00f067aa0ba902b7-01"
UNSAMPLED = SAMPLED[:-1] + "0"
JOSE = {"Content-Type": "application/jose"}


def traced_gateway(gateway, **settings):
    traced = Traced(**settings)
    gateway.app.door._tracer = traced.tracer
    gateway.submissions.traces = []
    plain = gateway.submissions.submit

    def submit(jws, *, iss, wait, trace=b""):
        gateway.submissions.traces.append(trace)
        return plain(jws, iss=iss, wait=wait)

    gateway.submissions.submit = submit
    return traced


def test_a_sampled_request_has_a_span_that_names_route_and_status_and_no_more(gateway):
    async def story(gateway):
        traced = traced_gateway(gateway)
        answer = await gateway.post(b"a.b.c", traceparent=SAMPLED)
        [span] = traced.spans
        assert dict(span.attributes) == {
            "http.request.method": "POST",
            "http.route": "/v1/requests",
            "http.response.status_code": 201,
        }
        assert f"{span.parent.trace_id:032x}" == TRACE_ID
        # the validator's spans shall lie below this one, and the client sees what it sent
        span_id = span.context.span_id.to_bytes(8, "big")
        assert gateway.submissions.traces == [bytes.fromhex(TRACE_ID) + span_id]
        assert answer.headers["traceparent"] == SAMPLED

    gateway(story)


def test_a_read_is_passed_on_below_the_gateways_span(gateway):
    async def story(gateway):
        traced = traced_gateway(gateway)
        await gateway.call("GET", "/v1/entries/7", headers={"traceparent": SAMPLED})
        [span] = traced.spans
        passed_on = f"00-{TRACE_ID}-{span.context.span_id:016x}-01"
        assert gateway.ledger.asked[0][-1].traceparent == passed_on
        assert span.attributes["http.route"] == "/v1/entries/{index}"

    gateway(story)


def test_what_is_not_sampled_or_over_the_budget_has_no_span_and_is_passed_on_as_it_came(gateway):
    async def story(gateway):
        traced = traced_gateway(gateway, per_s=1)
        await gateway.post(b"a.b.c", traceparent=UNSAMPLED)
        await gateway.post(b"a.b.c")
        assert traced.spans == ()
        for _ in range(2):
            await gateway.call("GET", "/v1/entries/7", headers={"traceparent": SAMPLED})
        assert len(traced.spans) == 1
        assert gateway.ledger.asked[-1][-1].traceparent == SAMPLED
        assert gateway.submissions.traces == [b"", b""]

    gateway(story)


def test_of_a_batch_the_first_request_is_traced(gateway):
    async def story(gateway):
        traced_gateway(gateway)
        head = {"traceparent": SAMPLED, "Content-Type": "application/json"}
        body = json.dumps(["a.b.c", "d.e.f"])
        await gateway.call("POST", "/v1/requests:batch", data=body, headers=head)
        first, second = gateway.submissions.traces
        assert (len(first), second) == (24, b"")

    gateway(story)
