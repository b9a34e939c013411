"""A ledger that erases, without its network: what validators would record, the test commits."""

import shutil

import pytest

from heptad.crypto.derivation import request_ref
from heptad.crypto.erasures import parse_certificate, sign_order
from heptad.crypto.requests import parse_request, sign_request
from heptad.model import base64url
from heptad.model.entry import Entry, Kind, Outcome
from heptad.model.erasure import ErasureGround, ErasureOrder, OrderedBy
from heptad.model.requests import request_hash
from heptad.vault.errors import SlotErasedError
from heptad.vault.root_files import FileRootKeyStore
from heptad.vault.steps import unheard
from heptad.vault.tree import KeyTree
from heptad.wire.convert.entry import decode_entry, encode_entry
from heptad_ledger.privacy.deciding import Attestation, Decider, is_to_attest, statement_kind
from heptad_ledger.privacy.desk import ErasureDesk
from heptad_ledger.privacy.eraser import Eraser
from heptad_ledger.privacy.rows import entries_of
from heptad_ledger.store.row_pages import ROW_BYTES

NOW_MS = 1_700_000_000_000
COPIES_MS = 86_400_000
OFFICERS_GROUND = ErasureGround.UNLAWFUL_PROCESSING


class House:
    """Everything of one ledger, on disk, that can be closed and opened again."""

    def __init__(self, folder, kit, group):
        self.folder, self.kit, self.group = folder, kit, group
        self.roots = FileRootKeyStore(folder / "vault-root")
        self.now_ms = NOW_MS
        self.steps = []
        self.is_reviewed = False
        self.kinds = Kind
        self.rows_at_once_max = 50_000
        self.beyond_use = {}
        self.ledger = kit.Ledger.__new__(kit.Ledger)
        self.ledger.folder, self.ledger.group = folder, group
        self._open_vault()
        self.ledger.own_slot = self.ledger.vault.allocate(1)[0].slot
        self.ledger.open()
        self.is_open = True
        self.office = kit.Office(self.ledger.vault)
        self.on_step = self.steps.append
        self._put_together()

    def reopen(self):
        """As after a crash: only what is on disk counts."""
        self.close()
        self._open()
        self.ledger.intake.take()

    def close(self):
        if self.is_open:
            self.ledger.close()
        self.is_open = False

    def _open(self):
        self._open_vault()
        self.ledger.open()
        self.is_open = True
        self.office.vault = self.ledger.vault
        self.on_step = unheard
        self._put_together()

    def _open_vault(self):
        self.ledger.vault = KeyTree.create(
            self.folder / "vault", self.roots, now_ms=NOW_MS, map_bytes=1 << 27
        )

    def _put_together(self):
        ledger = self.ledger

        def tell(step):
            self.on_step(step)

        self.eraser = Eraser(
            store=ledger.store, vault=ledger.vault, filer=ledger.filer,
            now_ms=lambda: self.now_ms, on_step=tell, rows_at_once_max=self.rows_at_once_max,
        )  # fmt: skip
        key = self.kit.ATTESTING
        self.decider = Decider(
            store=ledger.store, filer=ledger.filer, roots=self.roots,
            attestation=Attestation(
                origin=self.group.origin, key=key, keys={key.public.kid: key.public},
                software="heptad test", is_reviewed=self.is_reviewed, copies_ms=COPIES_MS,
            ),
            beyond_use_ms=self.beyond_use.get, now_ms=lambda: self.now_ms, on_step=tell,
        )  # fmt: skip
        self.desk = ErasureDesk.of(ledger.store, ledger.filer)

    # What is in the log.

    def commit(self, *records, catch_up=True):
        batches = [records[at : at + 500] for at in range(0, len(records), 500)]
        self.group.commit(*(self.group.batch(batch) for batch in batches))
        if catch_up:
            self.ledger.catch_up()

    def register(self, *seeds):
        slots = self.ledger.vault.allocate(len(seeds))
        people = [
            self.office.register(seed, slot_key=slot)
            for seed, slot in zip(seeds, slots, strict=True)
        ]
        self.commit(*(person.registration for person in people))
        return people

    def asked(
        self, person, *, data=None, key=None, jti=None, svc="heptad", entry_witness=None,
        signature=None, **changes
    ):  # fmt: skip
        """A record by which a person asks to be erased, and the request's hash."""
        jti = jti or self.office.jti()
        payload = sign_request(
            key or person.key, iss=person.subject_id, aud=self.group.origin, jti=jti,
            iat=1, exp=2, svc=svc, act="subject.erase", data=data or {},
        )  # fmt: skip
        if signature is not None:
            payload = payload[: payload.rindex(b".") + 1] + base64url.encode(signature).encode()
        known = {"slot": person.slot, "slot_key": person.slot_key, "action": "subject.erase"}
        if entry_witness is not None:
            known |= {"sealed_witness": entry_witness}
        record = self.office.record(payload, **(known | changes))
        return record, request_hash(iss=person.subject_id, jti=jti)

    def officer_orders(self, person):
        """An officer's order, and the hash of its handle."""
        jti = self.office.jti()
        self.decided(person, "erasure.ordered", ground=OFFICERS_GROUND, jti=jti)
        return request_hash(iss="ledger-1", jti=jti)

    def order_of(self, person, *, slot=None, key=None, origin=None):
        """An order as the ledger states it, or somebody else does."""
        order = ErasureOrder(
            origin=origin or self.group.origin,
            slot=person.slot if slot is None else slot,
            ground=ErasureGround.OBJECTION,
            ordered_by=OrderedBy.SUBJECT,
            request_digest=b"d" * 32,
            ordered_at_ms=NOW_MS,
        )
        return state(Kind.ERASURE_ORDERED, sign_order(key or self.kit.ATTESTING, order))

    def office_name(self, payload):
        """The reference of the request in this payload."""
        return request_ref(
            cell_index_key=self.ledger.vault.index_key(),
            request_id=parse_request(payload).request_id,
        )

    def request_count(self):
        """Rows of `by_request`, those that wait included."""
        store = self.ledger.store
        store.settle()
        with store._environment.reading() as txn:
            table = store._environment.table("by_request")
            return sum(len(bytes(page)) // ROW_BYTES for _, page in txn.cursor(table))

    def copy_vault(self):
        """The vault and its root key as they are now, for a ledger that is restored."""
        copy = self.folder / "copies" / str(len(self.steps))
        for name in ("vault", "vault-root"):
            shutil.copytree(self.folder / name, copy / name)
        return copy

    def put_back(self, copy):
        """Put an older vault, with its root key, under the log that is there."""
        self.close()
        self._replace_vault(copy)
        self._open()

    def forget_log(self, vault=None):
        """Begin the log anew, over the vault that is there or an older one; nothing is applied."""
        self.close()
        shutil.rmtree(self.folder / "log")
        if vault is not None:
            self._replace_vault(vault)
        self._open()
        self.ledger.intake.is_replaying = True

    def _replace_vault(self, copy):
        for name in ("vault", "vault-root"):
            shutil.rmtree(self.folder / name)
            shutil.copytree(copy / name, self.folder / name)
        self.roots = FileRootKeyStore(self.folder / "vault-root")

    def replayed(self):
        """All of an old log is applied: what `ErasureOffice.replay` does."""
        self.ledger.catch_up()
        self.carry_out()
        self.ledger.intake.is_replaying = False
        self.ledger.intake.close_ordered()

    def ask(self, person, **changes):
        record, name = self.asked(person, **changes)
        self.commit(record)
        return name

    def decided(self, person, action, **changes):
        """An officer's decision, recorded."""
        record, _ = self.office.access(person, key=self.kit.ATTESTING, action=action, **changes)
        self.commit(record)

    # What the ledger does about it.

    def cases(self):
        with self.ledger.store.snapshot() as snapshot:
            return list(snapshot.erasures.cases())

    def decide(self):
        self.decider.decide()

    def stated(self):
        """What validators are to record."""
        with self.ledger.store.snapshot() as snapshot:
            cases = snapshot.erasures.to_do(count_max=10_000)
        return [state(statement_kind(case), case.statement) for case in cases if case.statement]

    def record(self):
        """Commit what is to be stated, as validators would."""
        stated = self.stated()
        if stated:
            self.commit(*stated)
        return len(stated)

    def order(self):
        self.decide()
        self.record()

    def carry_out(self):
        while group := self.eraser.due():
            self.eraser.execute(group)

    def attest(self):
        numbers = [case.number for case in self.cases() if is_to_attest(case)]
        self.decider.attest(numbers)

    def carry_out_and_attest(self):
        self.carry_out()
        self.attest()

    def finish(self):
        """All of it, from the request to the certificate in the log."""
        self.order()
        self.carry_out()
        self.attest()
        self.record()

    def certificate(self, name):
        """The certificate of that request, out of the log."""
        row = self.desk.find(name)
        with self.ledger.store.snapshot() as snapshot:
            entry = snapshot.entry(row.certificate_index)
        return parse_certificate(decode_entry(entry).statement).statement

    def tables(self):
        """Rows of each private table, waiting ones included."""
        with self.ledger.store._environment.reading() as txn:
            names = ("sealed", "by_subject", "by_request", "subject", "recent", "erasure")
            return {
                name: [
                    (bytes(k), bytes(v))
                    for k, v in txn.cursor(self.ledger.store._environment.table(name))
                ]
                for name in names
            }


def state(kind, statement):
    """A public statement's record."""
    entry = Entry(
        kind=kind, service="", action="", outcome=Outcome.NONE, time_ms=NOW_MS, validator=1,
        commitment=b"", statement=statement,
    )  # fmt: skip
    return encode_entry(entry), b""


def records_of(house, person):
    with house.ledger.store.snapshot() as snapshot:
        return list(entries_of(snapshot, slot_key=person.slot_key))


def is_gone(house, person):
    """Neither rows nor the key of a person are there."""
    with pytest.raises(SlotErasedError):
        house.ledger.vault.lookup(person.slot)
    return records_of(house, person) == []
