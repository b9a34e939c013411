"""A ledger with two people, whose validators record accesses, and what hands data out of it."""

import asyncio
import io
import itertools
import zipfile

import pytest

from heptad.crypto.accesses import parse_access
from heptad.crypto.derivation import request_ref
from heptad.crypto.keys import Ed25519Key
from heptad.crypto.requests import sign_request
from heptad.exports import ServiceFacts
from heptad.model.entry import Kind, Outcome
from heptad.model.exporting import ExportBegun
from heptad.model.log_reads import PublishedCheckpoint
from heptad.model.problems import Problem
from heptad.observability.logs import EventLog
from heptad.runtime.identity import Identity, Role
from heptad.transparency.checkpoint import Checkpoint
from heptad.transparency.notes import Note, NoteSignature
from heptad_ledger.log_reads import LogReads
from heptad_ledger.privacy.accesses import AccessRecorder
from heptad_ledger.privacy.authority import Authority, Terms
from heptad_ledger.privacy.export_limits import ExportLimits
from heptad_ledger.privacy.exporting import Exports
from heptad_ledger.privacy.receipts import PrivateReceipts
from heptad_ledger.watermark import Watermark

ORIGIN = "log.test"
NOW_S = 1_700_000_000
GATEWAY = Identity(ORIGIN, Role.GATEWAY, "gateway-1")
OFFICER = Identity(ORIGIN, Role.OFFICER, "dpo")
ATTESTATION = Ed25519Key(b"A" * 32)


class Desk:
    """A ledger with two people, whose validators record accesses at once."""

    def __init__(self, ledger, group, office):
        self.ledger, self.group, self.office = ledger, group, office
        self.now_s, self.mono_s = NOW_S, 0.0
        self.latest, self.published = None, Watermark(0)
        self.is_caught_up, self.owes = True, False
        self.on_catch_up = lambda: None
        self.order: list[str] = []
        self.recorded = []
        self._jtis = itertools.count(5_000)
        self.anna, self.bob = office.register(1), office.register(2)
        self.commit([self.anna.registration, self.bob.registration])
        log = EventLog(bound={}, write=lambda line: None)
        self.accesses = AccessRecorder(
            store=ledger.store, index_key=ledger.vault.index_key, record=self._record,
            validators=(1, 2), key=ATTESTATION, ledger_id="ledger-1", origin=ORIGIN,
            now_s=lambda: self.now_s, log=log,
        )  # fmt: skip
        self.authority = Authority(
            store=ledger.store, registry=ledger.registry, index_key=ledger.vault.index_key,
            terms=Terms(ORIGIN, skew_s_max=30, lifetime_s_max=300), catch_up=self._catch_up,
            require_settled=self._require_settled,
            now_s=lambda: self.now_s, patience_s=0.0,
        )  # fmt: skip
        self.limits = ExportLimits(at_once_max=2, per_hour_max=3, now_s=lambda: self.mono_s)
        self.exports = self.make()
        reads = LogReads(
            store=ledger.store, latest=lambda: self.latest, index_key=ledger.vault.index_key
        )
        self.receipts = PrivateReceipts(store=ledger.store, reads=reads, authority=self.authority)

    def make(self, *, entries_max=1_000):
        return Exports(
            store=self.ledger.store, slot_key=self.ledger.filer.slot_key, authority=self.authority,
            accesses=self.accesses, limits=self.limits, entries_max=entries_max,
            latest=lambda: self.latest, published_size=self.published, origin=ORIGIN,
            software="heptad test", services=(ServiceFacts("tax", "to tax"),),
            now_ms=lambda: self.now_s * 1000,
        )  # fmt: skip

    def _require_settled(self):
        if self.owes:
            raise Problem("vault_unavailable", "restored", retry_after_s=1)

    async def _catch_up(self, timeout_s):
        self.on_catch_up()
        return self.is_caught_up

    async def _record(self, validator, private):
        self.order.append("access recorded")
        self.recorded.append(private)
        said = parse_access(private.payload).record
        person = self.anna if private.subject_id == self.anna.subject_id else self.bob
        record = self.office.record(
            private.payload, slot=person.slot, slot_key=person.slot_key, kind=private.kind,
            action=private.action, outcome=Outcome.NONE,
            ref=request_ref(
                cell_index_key=self.ledger.vault.index_key(), request_id=said.request_id
            ),
        )  # fmt: skip
        self.commit([record])
        return self.group.head().size - 1

    def commit(self, *batches, publish=True):
        self.group.commit(*(self.group.batch(batch) for batch in batches))
        self.ledger.catch_up()
        if publish:
            self.publish()

    def publish(self):
        head = self.group.head()
        body = Checkpoint(ORIGIN, head.size, head.root).body()
        note = Note(body, (NoteSignature(ORIGIN, b"abcd", bytes(64)),)).encode()
        self.ledger.store.publish(head.size, note)
        self.latest = PublishedCheckpoint(note, head.size)
        self.published.advance(head.size)

    def sign(self, person, *, act="subject.export", key=None, **claims):
        values = {
            "iss": person.subject_id, "aud": ORIGIN, "iat": self.now_s, "exp": self.now_s + 60,
            "jti": f"00000000-0000-4000-8000-{next(self._jtis):012x}", "svc": "heptad",
            "act": act, "data": {},
        }  # fmt: skip
        return sign_request(key or person.key, **{**values, **claims})

    def admit(self, person, jws, *, kind=Kind.EXPORT, outcome=Outcome.ALLOWED, publish=True):
        """The validator's record of a request."""
        record = self.office.record(
            jws, slot=person.slot, slot_key=person.slot_key, kind=kind,
            action="subject.export", outcome=outcome,
        )  # fmt: skip
        self.commit([record], publish=publish)
        return self.group.head().size - 1

    async def take(self, call, *, caller=GATEWAY, exports=None):
        """All of an export: how it began, and its archive."""
        begun, data = None, []
        async for part in (exports or self.exports).serve(call, caller=caller):
            if isinstance(part, ExportBegun):
                self.order.append("begun")
                begun = part
            else:
                data.append(part.data)
        return begun, zipfile.ZipFile(io.BytesIO(b"".join(data)))

    def refused(self, call, *, caller=GATEWAY):
        async def main():
            with pytest.raises(Problem) as caught:
                await self.take(call, caller=caller)
            return caught.value

        return asyncio.run(main())
