"""A supervisor may live longer than a certificate: it asks with the one of the moment."""

import asyncio

from heptad.runtime import supervisor
from heptad.runtime.supervised import ServiceSpec
from heptad.runtime.tls import TlsMaterial


def test_health_is_asked_with_the_certificate_of_the_moment(monkeypatch) -> None:
    shown = []

    async def is_serving(*, tls: TlsMaterial, **_rest: object) -> bool:
        shown.append(tls.certificate_pem)
        return True

    monkeypatch.setattr(supervisor, "is_serving", is_serving)
    certificates = iter((b"old", b"new"))
    healthy = supervisor.health_by_grpc(
        origin="cell.example", tls=lambda: TlsMaterial(b"", next(certificates), b"")
    )
    spec = ServiceSpec("replica-1", "heptad_replica", "127.0.0.1:1", "127.0.0.1:2")
    assert [asyncio.run(healthy(spec)) for _ in range(2)] == [True, True]
    assert shown == [b"old", b"new"]
