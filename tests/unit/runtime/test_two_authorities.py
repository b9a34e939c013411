"""While one CA is replaced by another, members trust both, and certificates of both get through."""

import asyncio
from dataclasses import replace

import grpc
import pytest

from heptad.runtime.identity import Role

ASK = "/test.v1.Test/Ask"
ROLES = {ASK: frozenset({Role.OPERATOR})}


@pytest.fixture
def cas(authority, stranger):
    return {"old": authority, "new": stranger}


@pytest.mark.parametrize("served_by", ["old", "new"])
@pytest.mark.parametrize("asked_by", ["old", "new"])
@pytest.mark.parametrize("trust", [("old", "new"), ("new", "old"), ("old",)])
def test_each_side_is_let_in_by_whoever_trusts_its_ca(open_door, cas, served_by, asked_by, trust):
    both = b"".join(cas[name].ca_pem for name in trust)
    served = replace(cas[served_by].member("replica-3"), ca_pem=both)
    asked = replace(cas[asked_by].client(Role.OPERATOR, "operator"), ca_pem=both)

    async def answer():
        async with open_door(ROLES, tls=served) as door, door.dialled(asked) as channel:
            return await channel.unary_unary(ASK)(b"x", timeout=10)

    if {served_by, asked_by} <= set(trust):
        assert asyncio.run(answer()) == b"x"
    else:
        with pytest.raises(grpc.aio.AioRpcError):
            asyncio.run(answer())
