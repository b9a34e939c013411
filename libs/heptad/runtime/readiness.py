"""Asking a service for its health, as an operator would: over mutual TLS."""

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from heptad.runtime.channels import open_channel
from heptad.runtime.tls import TlsMaterial


async def is_serving(
    *, address: str, peer_id: str, origin: str, tls: TlsMaterial, timeout_s: float
) -> bool | None:
    """Does the health service of this member say SERVING? None if it says nothing in time."""
    async with open_channel(address=address, peer_id=peer_id, origin=origin, tls=tls) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            answer = await stub.Check(
                health_pb2.HealthCheckRequest(), timeout=timeout_s, wait_for_ready=True
            )
        except grpc.aio.AioRpcError:
            return None
        serving: bool = answer.status == health_pb2.HealthCheckResponse.SERVING
        return serving
