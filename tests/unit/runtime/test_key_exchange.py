"""Which key exchange a listener wants: asked of real ones, good, old and none."""

import asyncio
import ssl
from pathlib import Path

from heptad.runtime.handshake import (
    QUANTUM_SAFE_GROUPS,
    chosen_group,
    group_question,
    offered_groups,
)
from heptad.runtime.key_exchange import is_quantum_safe


def test_the_listener_of_a_service_wants_one_that_is_quantum_safe(open_door) -> None:
    async def scenario() -> bool | None:
        async with open_door({}) as door:
            return await is_quantum_safe(door.address)

    assert asyncio.run(scenario()) is True


def test_a_listener_that_knows_curves_only_is_told_apart(authority, tmp_path: Path) -> None:
    tls = authority.member("replica-3")
    (tmp_path / "c").write_bytes(tls.certificate_pem)
    (tmp_path / "k").write_bytes(tls.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "c", tmp_path / "k")
    context.set_alpn_protocols(["h2"])
    context.set_ecdh_curve("prime256v1")

    async def scenario() -> bool | None:
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=context)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await is_quantum_safe(f"127.0.0.1:{port}")

    assert asyncio.run(scenario()) is False


def test_who_does_not_answer_as_tls_does_is_not_judged() -> None:
    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ready\r\n")
        writer.close()

    async def scenario() -> list[bool | None]:
        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return [await is_quantum_safe(each) for each in (f"127.0.0.1:{port}", "127.0.0.1:9")]

    assert asyncio.run(scenario()) == [None, None]


def test_the_question_offers_groups_of_both_kinds_and_no_key() -> None:
    question = group_question(lambda count: b"\x07" * count)
    offered = set(offered_groups(question))
    assert offered & QUANTUM_SAFE_GROUPS
    assert offered - QUANTUM_SAFE_GROUPS
    assert chosen_group(question) == 0
