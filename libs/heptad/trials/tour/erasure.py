"""What a citizen may ask and an officer decides: a hold that refuses, a proved erasure."""

import asyncio
import json
import time
from functools import partial
from typing import Final

from heptad.client import connect_officer
from heptad.client.erasures import CERTIFICATE_S_MAX
from heptad.model.erasure import ErasureState, RefusalGround
from heptad.model.own_actions import ERASE, OWN_SERVICE
from heptad.runtime.attestation import attestation_keys_at
from heptad.trials.tour.scene import Citizen, Reply, Scene
from heptad.trials.tour.steps import require
from heptad.verification import (
    CertificateFile,
    CertificateReport,
    ReceiptFile,
    examine_certificate_file,
    verify_receipt_file,
)

_PATH: Final = "/v1/subjects/me/erasure"
_PAUSE_S: Final = 0.5


async def refuse_on_hold(scene: Scene) -> str:
    """An officer keeps Anna's data for a law suit; she asks, is refused with the ground, and the
    hold is lifted."""
    anna, ground = scene.citizens["Anna"], RefusalGround.LEGAL_HOLD
    async with connect_officer(scene.mesh.home / "clients" / "officer") as officer:
        await officer.set_hold(anna.subject, ground=ground, reason="demo: a court has asked")
        asked = await _ask(scene, anna)
        members = await _until(scene, asked, {"refusal", "certificate"})
        holds = await officer.lift_hold(anna.subject, ground=ground, reason="demo: it is over")
    require(members["state"] == "refused", f"an erasure on hold is {members['state']}")
    require(members["refusal_ground"] == ground, f"refused for {members['refusal_ground']}")
    require(not holds, f"holds are left: {holds}")
    return f"Anna was refused: {ground} (GDPR, {ground.article}), {members['refusal']} of the log"


async def erase(scene: Scene) -> str:
    """Ben asks; keys that were lent run out; the ledger destroys his key and attests it."""
    ben, started_s = scene.citizens["Ben"], time.monotonic()
    _, index = await scene.record(scene.sign(ben))
    request_id = next(name for name, at in scene.acknowledged.items() if at == index)
    scene.kept_receipt = await scene.receipt(request_id)
    members = await _until(scene, await _ask(scene, ben), {"refusal", "certificate"})
    require("certificate" in members, f"Ben's erasure is {members['state']}")
    scene.certificate = json.dumps(members["certificate"]).encode()
    core = CertificateFile.parse(scene.certificate).core
    return (
        f"after {time.monotonic() - started_s:.0f} s: slot {core['slot']}, {core['ciphertexts']} "
        f"ciphertexts, {core['index_rows']} rows; root key {core['epoch_old']} is destroyed"
    )


async def verify(scene: Scene) -> str:
    """The certificate, off line, and a receipt of Ben's from before."""
    ben = scene.citizens["Ben"]
    report = _examined(scene, scene.certificate, ben.subject)
    report.require()
    receipt = verify_receipt_file(
        ReceiptFile.parse(scene.kept_receipt), policy=scene.policy, now_s=int(time.time())
    )
    other = _examined(scene, scene.certificate, scene.citizens["Anna"].subject)
    require(not other.holds, "a certificate about Ben passes for one about Anna")
    steps = len(report.findings) + len(report.in_log.findings)
    return (
        f"the certificate holds in {steps} steps, by policy and cell.toml, and is about nobody "
        f"else; the receipt of entry {receipt.leaf_index} holds as before"
    )


async def ask_again(scene: Scene) -> str:
    """Ben is gone: nothing more is recorded for him, and who asks again gets the same answer."""
    ben = scene.citizens["Ben"]
    reply = await scene.post("/v1/requests", scene.sign(ben))
    require(reply.code == "subject_erased", f"a request of an erased subject got {reply.said}")
    again = await _ask(scene, ben)
    require(again.status == 200, f"asked again, the answer is {again.said}")
    certificate = json.dumps(again.members["certificate"]).encode()
    require(certificate == scene.certificate, "asked again, the certificate is another one")
    return f"a request: {reply.status} subject_erased; asked again: the same certificate"


def _examined(scene: Scene, data: bytes, subject_id: str) -> CertificateReport:
    return examine_certificate_file(
        CertificateFile.parse(data),
        policy=scene.policy,
        keys=partial(attestation_keys_at, scene.mesh.cell),
        now_s=int(time.time()),
        subject_id=subject_id,
    )


async def _ask(scene: Scene, person: Citizen) -> Reply:
    jws = scene.sign(person, service=OWN_SERVICE, action=ERASE, data={})
    headers = {"Authorization": f"Heptad {jws.decode('ascii')}"}
    reply = await scene.post(_PATH, b"", headers)
    require(reply.status in (200, 202), f"who asks to be erased is told {reply.said}")
    return reply


async def _until(scene: Scene, asked: Reply, ends: set[str]) -> dict[str, object]:
    """How the erasure stands once it has one of the members `ends`.

    Raises: TimeoutError.
    """
    members = asked.members
    async with asyncio.timeout(CERTIFICATE_S_MAX):
        while ends.isdisjoint(members):
            await asyncio.sleep(_PAUSE_S)
            reply = await scene.get(str(asked.members["location"]))
            # A ledger that has not applied the request knows nothing of it yet.
            members = reply.members if reply.status == 200 else {"state": ErasureState.RECEIVED}
    return members
