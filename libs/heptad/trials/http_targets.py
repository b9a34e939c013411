"""The gateway's door as a target of load: one signed request a POST, or many in a batch."""

import json
from collections.abc import Callable, Sequence
from typing import Final

from heptad.runtime.config import split_address
from heptad.trials.http_pool import CONNECTION_LOST, Call, HttpPool, Reply, post
from heptad.trials.load import Answer, Done

RECORDED: Final = Answer(1)
_CREATED: Final = 201
_OK: Final = 200


def single_posts(requests: Sequence[bytes], *, host: str) -> list[bytes]:
    """One POST for each signed request."""
    return [post("/v1/requests", jws, host=host, media_type="application/jose") for jws in requests]


def batch_posts(requests: Sequence[bytes], *, host: str, batch: int) -> list[bytes]:
    """One POST for each `batch` requests; those left over at the end are not sent."""
    posts = []
    for start in range(0, len(requests) - batch + 1, batch):
        items = [jws.decode("ascii") for jws in requests[start : start + batch]]
        body = json.dumps(items, separators=(",", ":")).encode("ascii")
        posts.append(post("/v1/requests:batch", body, host=host, media_type="application/json"))
    return posts


class HttpTarget:
    """Sends ready POSTs over a pool of connections."""

    def __init__(self, pool: HttpPool, read: Callable[[Reply], Answer]) -> None:
        """`read` is `read_single` or `read_batch`."""
        self._pool = pool
        self._read = read

    def send(self, item: bytes, done: Done) -> None:
        """See `heptad.trials.load.Target`."""
        read = self._read
        self._pool.send(Call(item, lambda reply: done(read(reply))))


def open_pool(address: str, *, connections: int) -> HttpPool:
    """A pool to a gateway at `host:port`, not opened yet."""
    host, port = split_address(address)
    return HttpPool(host=host, port=port, connections=connections)


def read_single(reply: Reply) -> Answer:
    """201 is what counts: a request that is only pending has not come through."""
    return RECORDED if reply.status == _CREATED else Answer(0, (_code(reply),))


def read_batch(reply: Reply) -> Answer:
    """Each outcome of a batch counts for itself."""
    if reply.status != _OK:
        return Answer(0, (_code(reply),))
    # Recorded outcomes are the only ones with status 201: counting is cheaper than parsing.
    accepted = reply.body.count(b'"status":201')
    total = reply.body.count(b'"status":')
    if accepted == total:
        return Answer(accepted)
    outcomes = json.loads(reply.body)["outcomes"]
    others = [outcome for outcome in outcomes if outcome["status"] != _CREATED]
    return Answer(len(outcomes) - len(others), tuple(map(_outcome_code, others)))


def _outcome_code(outcome: dict[str, object]) -> str:
    return str(outcome.get("code", outcome.get("state", "unknown")))


def _code(reply: Reply) -> str:
    if reply.status == CONNECTION_LOST:
        return "connection_lost"
    try:
        return _outcome_code(json.loads(reply.body))
    except ValueError:
        return f"http_{reply.status}"
