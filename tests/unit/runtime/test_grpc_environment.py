"""What gRPC reads from the environment, and where services get it from."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from heptad.runtime.channels import GRPC_ENVIRONMENT

ROOT = Path(__file__).resolve().parents[3]

KNOCK = """
import asyncio, json
from datetime import UTC, datetime
from heptad.runtime.channels import create_server, listen
from heptad.runtime.identity import Identity, Role, member
from heptad.runtime.pki import CertificateAuthority
from heptad.runtime.tls import TlsMaterial
from heptad.trials.privacy.doors import Door, Knock, Knocker

ORIGIN, NOW = "a.example", datetime.now(UTC)
AUTHORITY = CertificateAuthority.generate(origin=ORIGIN, now=NOW)

def tls(identity):
    issued = AUTHORITY.issue(identity, now=NOW)
    return TlsMaterial(AUTHORITY.issued.certificate_pem, issued.certificate_pem, issued.key_pem)

async def main():
    server = create_server()
    port = listen(server, address="127.0.0.1:0", tls=tls(member(ORIGIN, "replica-1")))
    await server.start()
    door = Door("replica-1", f"127.0.0.1:{port}", f"replica-1.{ORIGIN}")
    knocker = Knocker(tls(Identity(ORIGIN, Role.OPERATOR, "operator")), origin=ORIGIN)
    print(json.dumps({knock.name: await knocker.is_let_in(door, knock) for knock in Knock}))
    await server.stop(0)

asyncio.run(main())
"""


def let_in(environment):
    """Who gets in at a listener of a process with this environment."""
    ended = subprocess.run(
        [sys.executable, "-c", KNOCK], env=environment, check=True, capture_output=True, text=True
    )
    return {name for name, is_in in json.loads(ended.stdout).items() if is_in}


def test_a_listener_takes_tls_1_3_with_a_certificate_of_its_authority_and_nothing_else():
    assert let_in({**os.environ, **GRPC_ENVIRONMENT}) == {"OPERATOR", "CLASSICAL"}


def test_without_the_setting_tls_1_2_would_be_taken():
    """Known to be able to tell: the very same knock gets in."""
    others = {k: v for k, v in GRPC_ENVIRONMENT.items() if k != "GRPC_SSL_CIPHER_SUITES"}

    assert let_in({**os.environ, **others}) == {"OPERATOR", "CLASSICAL", "TLS_1_2"}


@pytest.mark.parametrize("name", GRPC_ENVIRONMENT)
def test_a_container_has_the_same_environment(name):
    text = (ROOT / "Dockerfile").read_text()

    assert re.findall(rf"\b{name}=(\S+)", text) == [GRPC_ENVIRONMENT[name]]
