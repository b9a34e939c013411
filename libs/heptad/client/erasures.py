"""Following an erasure to its certificate, and judging that before it is handed on."""

import asyncio
import time
from typing import Final

from heptad.client.calls import Terms
from heptad.client.privacy_calls import PrivacyCalls
from heptad.model.erasing import Erasure
from heptad.model.erasure import ErasureState
from heptad.model.problems import Problem
from heptad.transparency.policy import Policy
from heptad.verification import (
    CertificateFile,
    certificate_members,
    examine_certificate_file,
)
from heptad.verification.certificate_file import to_json

CERTIFICATE_S_MAX: Final = 180.0
"""Lent keys run out within a minute; then the certificate is recorded and published."""

_PAUSE_S: Final = 1.0
_READ: Final = Terms(deadline_s=10.0)


async def await_certificate(
    privacy: PrivacyCalls, request_id: bytes, *, policy: Policy, wait_s: float
) -> CertificateFile:
    """The certificate of this erasure, once it is there, judged by the policy.

    Whether the ledger's attestation key signed it, only `cell.toml` tells: `heptad verify --cell`.
    Raises: Problem `certificate_pending` if it is not there in time, `erasure_refused`;
    ReceiptRefusedError.
    """
    loop = asyncio.get_running_loop()
    give_up_s = loop.time() + wait_s
    while True:
        erasure = await _standing(privacy, request_id)
        if erasure is not None and erasure.certificate is not None:
            return proved(erasure, policy=policy)
        if erasure is not None and erasure.state is ErasureState.REFUSED:
            raise Problem("erasure_refused", f"on the ground {erasure.refusal_ground}")
        if loop.time() + _PAUSE_S > give_up_s:
            state = "not known yet" if erasure is None else str(erasure.state)
            raise Problem("certificate_pending", f"the erasure is {state}", retry_after_s=5)
        await asyncio.sleep(_PAUSE_S)


def proved(erasure: Erasure, *, policy: Policy) -> CertificateFile:
    """An erasure's certificate as a file, judged. Raises: ReceiptRefusedError."""
    file = CertificateFile.parse(to_json(certificate_members(erasure, links={})))
    now_s = int(time.time())
    examine_certificate_file(file, policy=policy, keys=None, now_s=now_s).require()
    return file


async def _standing(privacy: PrivacyCalls, request_id: bytes) -> Erasure | None:
    """How it stands; None for what a ledger may hear of in a moment."""
    try:
        return await privacy.erasure(request_id, terms=_READ)
    except Problem as problem:
        if problem.code not in ("erasure_unknown", "ledger_unavailable"):
            raise
        return None
