"""The client of a data-protection officer: exports, and decisions about erasures, at the ledger.

    async with connect_officer(".heptad/clients/officer") as officer:
        [ordered] = await officer.order([subject_id], ground=…, reason="asked for by letter")
        certificate = await officer.certificate(ordered.request_id)

A decision is recorded under the subject's key, with who, why and on which ground, before it takes
effect; the subject finds it in its export.
"""

from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from heptad.client.calls import Terms
from heptad.client.erasures import CERTIFICATE_S_MAX, await_certificate
from heptad.client.export_calls import ExportCalls
from heptad.client.export_file import Tell, save_export, untold
from heptad.client.privacy_calls import DECISION_S, PrivacyCalls
from heptad.model.erasing import (
    SUBJECTS_MAX,
    DecisionCall,
    Erasure,
    Hold,
    OrderCall,
    Ordered,
    RevokeKeyCall,
)
from heptad.model.erasure import ErasureGround, RefusalGround
from heptad.model.exporting import ExportBegun, OfficersExport
from heptad.runtime.channels import open_channel
from heptad.runtime.config import Profile, load_profile
from heptad.runtime.tls import load_tls
from heptad.transparency.policy import Policy
from heptad.verification import CertificateFile

_READ: Final = Terms(deadline_s=10.0)
_DECIDE: Final = Terms(deadline_s=DECISION_S)


def connect_officer(profile: Path | str) -> "Officer":
    """The client of the officer's profile in this folder, to be used in `async with`.

    Raises: heptad.runtime.errors.ConfigInvalidError, OSError, for a profile that cannot be used.
    """
    folder = Path(profile)
    return Officer(load_profile(folder), folder)


class Officer:
    """A connection to a cell's ledger. What is refused or fails is raised as `Problem`."""

    def __init__(self, profile: Profile, folder: Path) -> None:
        """Read the profile's files; connects in `async with`."""
        self.profile = profile
        self.policy = Policy.parse((folder / profile.policy).read_bytes())
        self._tls = load_tls(
            ca=folder / profile.ca,
            certificate=folder / profile.certificate,
            key=folder / profile.key,
        )

    async def __aenter__(self) -> Self:
        """Open the channel; the first call connects."""
        ledger = self.profile.ledger
        self.ledger_channel = open_channel(
            address=ledger.address, peer_id=ledger.id, origin=self.profile.origin, tls=self._tls
        )
        """The raw gRPC channel to the ledger, for generated stubs."""
        self.privacy = PrivacyCalls(self.ledger_channel)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection."""
        await self.ledger_channel.close()

    async def order(
        self, subject_ids: Iterable[str], *, ground: ErasureGround, reason: str
    ) -> tuple[Ordered, ...]:
        """Order the erasure of subjects, any number; each has an answer of its own."""
        ids, ordered = list(subject_ids), list[Ordered]()
        for start in range(0, len(ids), SUBJECTS_MAX):
            call = OrderCall(tuple(ids[start : start + SUBJECTS_MAX]), ground, reason)
            ordered += await self.privacy.order(call, terms=_DECIDE)
        return tuple(ordered)

    async def refuse(self, subject_id: str, *, ground: RefusalGround, reason: str) -> Erasure:
        """Refuse what a subject has asked for."""
        call = DecisionCall(subject_id, ground, reason)
        return await self.privacy.refuse(call, terms=_DECIDE)

    async def set_hold(
        self, subject_id: str, *, ground: RefusalGround, reason: str
    ) -> tuple[Hold, ...]:
        """Keep a subject's data from now on; returns all of its holds."""
        call = DecisionCall(subject_id, ground, reason)
        return await self.privacy.set_hold(call, terms=_DECIDE)

    async def lift_hold(
        self, subject_id: str, *, ground: RefusalGround, reason: str
    ) -> tuple[Hold, ...]:
        """End a hold; returns those that are left."""
        call = DecisionCall(subject_id, ground, reason)
        return await self.privacy.lift_hold(call, terms=_DECIDE)

    async def revoke_key(self, subject_id: str, *, kid: str, reason: str) -> int:
        """Revoke the key of a lost device, be it the subject's last; the revocation's index."""
        call = RevokeKeyCall(subject_id, kid, reason)
        return await self.privacy.revoke_key(call, terms=_DECIDE)

    async def export(self, call: OfficersExport, *, to: Path, tell: Tell = untold) -> ExportBegun:
        """Take out all that is held about a subject, into a new file; the reason is recorded first.

        `tell` hears how much of the work is done, out of how much. Raises: OSError, too.
        """
        parts = ExportCalls(self.ledger_channel).export(call, terms=_READ)
        return await save_export(parts, to, tell=tell)

    async def erasure(self, name: bytes | str) -> Erasure:
        """How an erasure stands: by its request's 32 bytes, or by the subject's id."""
        return await self.privacy.erasure(name, terms=_READ)

    async def open_erasures(self) -> AsyncIterator[Erasure]:
        """Erasures that are not decided or not done, the first first."""
        token = ""
        while True:
            page = await self.privacy.erasures(page_token=token, terms=_READ)
            for erasure in page.erasures:
                yield erasure
            if not (token := page.next_page_token):
                return

    async def certificate(
        self, request_id: bytes, *, wait_s: float = CERTIFICATE_S_MAX
    ) -> CertificateFile:
        """The certificate, once it is there, judged by the profile's policy.

        Raises: Problem `certificate_pending`, `erasure_refused`; ReceiptRefusedError.
        """
        return await await_certificate(self.privacy, request_id, policy=self.policy, wait_s=wait_s)
