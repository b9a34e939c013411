"""Access: what is held about a person comes out whole and proves itself, and who looked is told."""

import asyncio
import json
import tempfile
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from heptad.client import connect_officer
from heptad.exports import ExportReport, Trusted, check_export
from heptad.model.exporting import OfficersExport
from heptad.model.own_actions import EXPORT, OWN_SERVICE
from heptad.runtime.attestation import attestation_keys
from heptad.runtime.service_keys import service_keys
from heptad.trials.tour.scene import Citizen, Scene
from heptad.trials.tour.steps import Disproved, require

_REASON: Final = "a letter, in which Ben asks for his data"
_OFFICER: Final = "officer"


async def take_out(scene: Scene) -> str:
    """A citizen's own export: every entry of it is proved off line, by the cell's public keys."""
    anna = scene.citizens["Anna"]
    with tempfile.TemporaryDirectory(prefix="heptad-demo-") as folder:
        path = Path(folder) / "export.zip"
        path.write_bytes(await _export(scene, anna))
        report = await _checked(scene, path)
        kinds = ", ".join(f"{count} {kind}" for kind, count in report.kinds.items())
        mine = sum(report.kinds.values())
        require(report.kinds.get("EXPORT"), "the export's own entry is not in it")
        require(report.kinds.get("REQUEST"), "Anna's requests are not in it")
        size = path.stat().st_size
    return f"{mine} entries ({kinds}) in {size} bytes, each with its proof"


async def look_as_officer(scene: Scene) -> str:
    """An officer's look is in the log before the data go out, and the person reads of it."""
    ben = scene.citizens["Ben"]
    call = OfficersExport(ben.subject, _REASON, "GDPR, Art. 15")
    with tempfile.TemporaryDirectory(prefix="heptad-demo-") as folder:
        path, own = Path(folder) / "officers.zip", Path(folder) / "own.zip"
        profile = scene.mesh.home / "clients" / _OFFICER
        async with connect_officer(profile) as officer:
            begun = await officer.export(call, to=path)
        await _checked(scene, path)
        own.write_bytes(await _export(scene, ben))
        await _checked(scene, own)
        looks = [look for look in _accesses(own) if look["index"] == begun.own_index]
    require(looks, f"Ben's export says nothing of the officer's entry {begun.own_index}")
    said = looks[0]
    found = said["role"], said["by"], said["reason"]
    require(found == (_OFFICER, _OFFICER, _REASON), f"of the officer's look Ben reads {found}")
    return f"entry {begun.own_index} names who and why, and Ben's next export has it"


async def _export(scene: Scene, citizen: Citizen) -> bytes:
    """The archive over HTTP. Raises: Disproved."""
    jws = scene.sign(citizen, service=OWN_SERVICE, action=EXPORT, data={})
    headers = {"Authorization": f"Heptad {jws.decode('ascii')}"}
    async with scene.http.get("/v1/subjects/me/export", headers=headers) as response:
        body = await response.read()
        if response.status != 200:
            raise Disproved(f"the export got {response.status} {body[:200].decode()}")
        return body


async def _checked(scene: Scene, path: Path) -> ExportReport:
    cell = scene.mesh.cell
    by = Trusted(scene.policy, int(time.time()) + 1, service_keys(cell), attestation_keys(cell))
    report = await asyncio.to_thread(check_export, path, by=by)
    wrong = [finding for finding in report.findings if not finding.holds]
    require(not wrong, f"the export does not hold: {wrong[:2]}")
    return report


def _accesses(path: Path) -> list[Mapping[str, object]]:
    with zipfile.ZipFile(path) as archive:
        members = json.loads(archive.read("accesses.json"))
    accesses: list[Mapping[str, object]] = members["accesses"]
    return accesses
