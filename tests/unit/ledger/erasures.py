"""A ledger that erases, without its network: what validators would record, the test commits."""

from heptad.crypto.erasures import parse_certificate
from heptad.crypto.requests import sign_request
from heptad.model.entry import Entry, Outcome
from heptad.model.requests import request_hash
from heptad.vault.root_files import FileRootKeyStore
from heptad.vault.steps import unheard
from heptad.vault.tree import KeyTree
from heptad.wire.convert.entry import decode_entry, encode_entry
from heptad_ledger.privacy.deciding import Attestation, Decider, is_to_attest, statement_kind
from heptad_ledger.privacy.desk import ErasureDesk
from heptad_ledger.privacy.eraser import Eraser

NOW_MS = 1_700_000_000_000
COPIES_MS = 86_400_000


class House:
    """Everything of one ledger, on disk, that can be closed and opened again."""

    def __init__(self, folder, kit, group):
        self.folder, self.kit, self.group = folder, kit, group
        self.roots = FileRootKeyStore(folder / "vault-root")
        self.now_ms = NOW_MS
        self.steps = []
        self.is_reviewed = False
        self.rows_at_once_max = 50_000
        self.beyond_use = {}
        self.ledger = kit.Ledger.__new__(kit.Ledger)
        self.ledger.folder, self.ledger.group = folder, group
        self._open_vault()
        self.ledger.own_slot = self.ledger.vault.allocate(1)[0].slot
        self.ledger.open()
        self.office = kit.Office(self.ledger.vault)
        self.on_step = self.steps.append
        self._put_together()

    def reopen(self):
        """As after a crash: only what is on disk counts."""
        self.ledger.close()
        self._open_vault()
        self.ledger.open()
        self.office.vault = self.ledger.vault
        self.on_step = unheard
        self._put_together()
        self.ledger.intake.take()

    def close(self):
        self.ledger.close()

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
        self.group.commit(self.group.batch(records))
        if catch_up:
            self.ledger.catch_up()

    def register(self, *seeds):
        people = [self.office.register(seed) for seed in seeds]
        self.commit(*(person.registration for person in people))
        return people

    def asked(self, person, *, data=None, key=None, jti=None, svc="heptad", **changes):
        """A record by which a person asks to be erased, and the request's hash."""
        jti = jti or self.office.jti()
        payload = sign_request(
            key or person.key, iss=person.subject_id, aud=self.group.origin, jti=jti,
            iat=1, exp=2, svc=svc, act="subject.erase", data=data or {},
        )  # fmt: skip
        known = {"slot": person.slot, "slot_key": person.slot_key, "action": "subject.erase"}
        record = self.office.record(payload, **(known | changes))
        return record, request_hash(iss=person.subject_id, jti=jti)

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

    def record(self):
        """Commit what is to be stated, as validators would."""
        with self.ledger.store.snapshot() as snapshot:
            cases = snapshot.erasures.to_do(count_max=10_000)
        stated = [state(statement_kind(case), case.statement) for case in cases if case.statement]
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
