"""A running service admits the members of its cell, not everybody whom its authority ever knew."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from heptad.runtime.channels import open_channel
from heptad.runtime.config import Cell, load_cell
from heptad.runtime.genesis import GenesisPlan, create_home
from heptad.runtime.identity import member
from heptad.runtime.pki import CertificateAuthority, Issued
from heptad.runtime.ports import PortPlan, reserve_block
from heptad.runtime.status import problem_of
from heptad.runtime.tls import TlsMaterial

SERVICES = Path(__file__).parent / "services"


@pytest.fixture
def running_home(tmp_path: Path) -> Iterator[Path]:
    """A home whose replica-1 runs."""
    home = tmp_path / "home"
    path = os.pathsep.join([str(SERVICES), os.environ.get("PYTHONPATH", "")])
    with reserve_block(start_hint=os.getpid()) as block:
        plan = GenesisPlan(PortPlan(block.base), replica_count=1, validator_count=1)
        create_home(home, plan, now=datetime.now(UTC))
        process = subprocess.Popen(
            [sys.executable, "-m", "heptad_fake", "--home", str(home), "--name", "replica-1"],
            env={**os.environ, "PYTHONPATH": path},
            stderr=subprocess.DEVNULL,
        )
        yield home
        process.kill()
        process.wait()


def certificate(home: Path, cell: Cell, name: str) -> TlsMaterial:
    """What the cell's authority would give to a member of that name."""
    pem, key = (home / "pki" / "ca.pem").read_bytes(), (home / "pki" / "ca.key").read_bytes()
    issued = CertificateAuthority.load(Issued(pem, key)).issue(
        member(cell.origin, name), now=datetime.now(UTC)
    )
    return TlsMaterial(pem, issued.certificate_pem, issued.key_pem)


def test_a_validator_that_is_not_in_the_cell_is_refused(running_home: Path) -> None:
    cell = load_cell(running_home)

    async def asked_by(name: str) -> str:
        tls = certificate(running_home, cell, name)
        replica = cell.replicas[0]
        async with open_channel(
            address=replica.address, peer_id=replica.id, origin=cell.origin, tls=tls
        ) as channel:
            check = health_pb2_grpc.HealthStub(channel).Check
            try:
                await check(health_pb2.HealthCheckRequest(), timeout=60, wait_for_ready=True)
            except grpc.aio.AioRpcError as error:
                return problem_of(error, unavailable="quorum_unavailable").detail
            return "ok"

    assert asyncio.run(asked_by("validator-1")) == "ok"
    assert asyncio.run(asked_by("validator-9")) == "validator-9 is not a member of this cell"
