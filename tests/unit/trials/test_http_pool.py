"""The small HTTP client against a server that sends what the test says."""

import asyncio
import contextlib

import pytest

from heptad.trials.http_pool import CONNECTION_LOST, Call, HttpPool, Reply, post, read_reply
from heptad.trials.http_targets import batch_posts, read_batch, read_single

OK = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok"


@contextlib.asynccontextmanager
async def serving(answer):
    """`answer(request) -> bytes`, or None to hang up."""

    async def serve(reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                body = await reader.readexactly(length)
                data = answer(body)
                if data is None:
                    break
                for part in (data[:5], data[5:]):
                    writer.write(part)
                    await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def send_all(port, bodies, *, connections):
    pool = HttpPool(host="127.0.0.1", port=port, connections=connections)
    await pool.open()
    futures = []
    for body in bodies:
        future = asyncio.get_running_loop().create_future()
        data = post("/x", body, host="h", media_type="text/plain")
        pool.send(Call(data, future.set_result))
        futures.append(future)
    replies = await asyncio.gather(*futures)
    await pool.close()
    return replies, pool


def test_more_calls_than_connections_wait_in_line_and_each_gets_its_answer():
    async def scenario():
        def echo(body):
            return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body

        async with serving(echo) as port:
            bodies = [b"%d" % number for number in range(20)]
            replies, pool = await send_all(port, bodies, connections=3)
            assert sorted(reply.body for reply in replies) == sorted(bodies)
            assert pool.sent_bytes > 0
            assert pool.received_bytes > 0

    asyncio.run(scenario())


def test_a_call_whose_connection_ends_is_told_so_and_the_next_one_is_served():
    async def scenario():
        answers = [None, OK]

        async with serving(lambda _: answers.pop(0)) as port:
            replies, _ = await send_all(port, [b"a", b"b"], connections=1)
            assert [reply.status for reply in replies] == [CONNECTION_LOST, 201]

    asyncio.run(scenario())


@pytest.mark.parametrize("cut", range(1, len(OK)))
def test_a_part_of_an_answer_is_no_answer(cut):
    assert read_reply(OK[:cut]) is None
    assert read_reply(OK) == Reply(201, OK[: OK.find(b"\r\n\r\n")], b"ok")


def test_only_201_counts_as_recorded():
    assert read_single(Reply(201, b"", b"{}")).accepted == 1
    assert read_single(Reply(202, b"", b'{"state":"PENDING"}')).refusals == ("PENDING",)
    assert read_single(Reply(503, b"", b'{"code":"overloaded"}')).refusals == ("overloaded",)
    assert read_single(Reply(502, b"", b"no json")).refusals == ("http_502",)
    assert read_single(Reply(CONNECTION_LOST, b"", b"")).refusals == ("connection_lost",)


def test_each_outcome_of_a_batch_counts_for_itself():
    good, bad = b'{"status":201,"state":"COMMITTED"}', b'{"status":401,"code":"key_unknown"}'

    assert read_batch(Reply(200, b"", b'{"outcomes":[%b,%b]}' % (good, good))).accepted == 2
    mixed = read_batch(Reply(200, b"", b'{"outcomes":[%b,%b,%b]}' % (good, bad, good)))
    assert (mixed.accepted, mixed.refusals) == (2, ("key_unknown",))


def test_batches_hold_so_many_requests_and_leave_the_rest():
    posts = batch_posts([b"a.b.c"] * 25, host="h", batch=10)

    assert len(posts) == 2
    assert all(data.count(b"a.b.c") == 10 for data in posts)
