"""A cell's disks, made by the real code in one process: vault, log, static files, replicas.

Only the network and the agreement are left out: records are sealed as validators seal them, blocks
are certified by all keys of the home, the ledger applies them, replicas store them.
"""

import copy
import hashlib
import re
import shutil
import uuid
from base64 import urlsafe_b64decode
from dataclasses import dataclass, field

from heptad.consensus.codec import decode_block, decode_proof
from heptad.consensus.objects import CommittedBlock
from heptad.consensus.ready import Persist
from heptad.crypto import signatures
from heptad.crypto.derivation import lease_key, request_ref
from heptad.crypto.erasures import parse_certificate
from heptad.crypto.keys import Ed25519Key, KeyRole, load_service_key
from heptad.crypto.registration import sign_registration
from heptad.crypto.requests import parse_request, sign_request
from heptad.crypto.sealing import Routing, commitment, seal_record
from heptad.model.entry import Entry, Kind, Outcome
from heptad.model.own_actions import ERASE, OWN_SERVICE, REGISTER
from heptad.model.subjects import subject_id
from heptad.runtime.attestation import attestation_keys
from heptad.runtime.config import LedgerConfig, load_cell, load_node_config
from heptad.runtime.group import agreed_cell
from heptad.runtime.vkeys import log_vkeys
from heptad.trials.forensics.attacker import Attacker
from heptad.trials.forensics.loot import Loot, read_files
from heptad.vault.steps import unheard
from heptad.wire.convert.entry import decode_entry, encode_entry
from heptad_ledger.backup.key_book import beyond_use_ms, read_book
from heptad_ledger.backup.key_files import efface
from heptad_ledger.backup.restoring import RestoreJob, restore
from heptad_ledger.backup.taking import BackupJob, KeyWish, take
from heptad_ledger.parts import ROOT_FOLDER, open_parts
from heptad_ledger.privacy.deciding import Attestation, Decider, is_to_attest, statement_kind
from heptad_ledger.privacy.eraser import Eraser
from heptad_ledger.routing_keys import ERASURE_PAUSE_MS, RoutingKeyRotation, linked_until_ms
from heptad_ledger.static.exporter import Exporter
from heptad_ledger.static.folder import DiskFolder
from heptad_ledger.synthetic.fill import new_home
from heptad_ledger.synthetic.group import Group
from heptad_replica.storage import LmdbStore

NOW_MS = 1_767_300_000_000
REPLICAS = 2
ERASURE = 99
"""The number of the request to be erased."""


@dataclass
class Person:
    """A subject, what it has signed, and where that stands in the log."""

    name: str
    key: Ed25519Key
    slot: int
    slot_key: bytes
    lease_id: bytes
    subject_id: str = ""
    payloads: dict[int, bytes] = field(default_factory=dict)

    @property
    def canary(self):
        """What every payload of this person holds, and nobody else's."""
        return f"canary-of-{self.name}-7f3a91c2"

    @property
    def indexes(self):
        """The person's entries."""
        return sorted(self.payloads)


class CellOnDisk:
    """The files of a cell under `folder`, with its ledger open."""

    def __init__(self, folder):
        self.folder, self.home = folder, folder / "cell"
        self.people = {}
        self.entries, self.frames = [], []
        new_home(self.home)
        self.cell = load_cell(self.home)
        self.data = self.home / self.cell.ledger.id / "data"
        self.replicas, self.parts = [], None
        self.open()

    # Its life.

    def open(self):
        """Open the ledger, as its process does when it starts."""
        self.parts = open_parts(
            self.data,
            cell=agreed_cell(self.cell),
            cell_code=self.cell.code,
            config=load_node_config(LedgerConfig, home=self.home, name=self.cell.ledger.id),
            now_ms=NOW_MS,
            attestation_keys=attestation_keys(self.cell),
        )
        self.group = Group(self.home, self.cell, self.parts.store.state)
        self.replicas = self.replicas or [
            LmdbStore(self.home / replica.id / "data", map_bytes=1 << 28)
            for replica in self.cell.replicas[:REPLICAS]
        ]

    def close(self):
        """Close all files."""
        if self.parts is not None:
            self.parts.close()
        self.parts = None
        for replica in self.replicas:
            replica.close()
        self.replicas = []

    def moved_to(self, folder):
        """The same, closed, in a copy of its folder."""
        moved = copy.copy(self)
        moved.folder, moved.home = folder, folder / "cell"
        moved.data = moved.home / self.cell.ledger.id / "data"
        moved.entries, moved.people = list(self.entries), copy.deepcopy(self.people)
        moved.frames = list(self.frames)
        return moved

    # What happens in it.

    def register(self, name, *, seed):
        """A person whose first entry waits to be committed."""
        [slot] = self.parts.vault.allocate(1)
        key = Ed25519Key(seed.to_bytes(32, "big"))
        person = Person(name, key, slot.slot, slot.key, seed_bytes(f"lease of {name}"))
        payload = sign_registration(
            key, aud=self.cell.origin, jti=jti(name, 0), iat=1, exp=2, svc="heptad"
        )
        witness = seed_bytes(name, 32)
        person.subject_id = subject_id(cell_code=self.cell.code, witness=witness, payload=payload)
        self.people[name] = person
        return (
            person,
            payload,
            self._record(
                person,
                payload,
                witness=witness,
                kind=Kind.SUBJECT_REGISTERED,
                service=OWN_SERVICE,
                action=REGISTER,
            ),
        )

    def request(self, person, number, *, filler=""):
        """A signed request of theirs with the canary in it."""
        data = {"note": f"{person.canary}#{number}", "filler": filler}
        return self._request(person, number, "tax-portal", "authenticate", data)

    def asking_to_be_erased(self, person):
        """Their signed request for it."""
        data = {"note": f"{person.canary}#{ERASURE}"}
        return self._request(person, ERASURE, OWN_SERVICE, ERASE, data)

    def _request(self, person, number, service, action, data):
        payload = sign_request(
            person.key,
            iss=person.subject_id,
            aud=self.cell.origin,
            jti=jti(person.name, number),
            iat=1,
            exp=2,
            svc=service,
            act=action,
            data=data,
        )
        witness = seed_bytes(f"{person.name} {number}", 32)
        record = self._record(person, payload, witness=witness, service=service, action=action)
        return person, payload, record

    def commit(self, *made):
        """Everybody stores these records, as one block of one batch."""
        first = len(self.entries)
        for index, (person, payload, _) in enumerate(made, start=first):
            if person is not None:
                person.payloads[index] = payload
        time_ms = NOW_MS + 1_000 * (first + 1)
        batch = self.group.batch([record for _, _, record in made], time_ms=time_ms)
        frame = self.group.commit([batch], time_ms=time_ms)
        result = self.parts.ingest.take([frame])
        assert result.fault is None
        assert result.refusal is None
        self.entries += batch.entries()
        self.frames.append(frame)
        block, proof = decode_block(frame.block), decode_proof(frame.proof)
        for replica in self.replicas:
            replica.write(
                Persist(
                    blocks=(block,),
                    batches=tuple(
                        (ref.digest, encoded)
                        for ref, encoded in zip(block.batches, frame.batches, strict=True)
                    ),
                    commits=(CommittedBlock(block, frame.first_index, proof),),
                    state=b"state",
                )
            )
        self._publish(time_ms)

    def _publish(self, time_ms):
        store = self.parts.store
        note = self.group.note(time_s=time_ms // 1000)
        store.publish(store.state.size, note)
        exporter = Exporter(
            store=store,
            folder=DiskFolder(self.data / "static"),
            log_keys=log_vkeys(self.cell),
            verify=signatures.verify,
            partials_s=0,
            now_s=lambda: 0.0,
        )
        while exporter.work():
            continue

    def _record(self, person, payload, *, witness, service, action, kind=Kind.REQUEST):
        vault = self.parts.vault
        entry = encode_entry(
            Entry(
                kind=kind,
                service=service,
                action=action,
                outcome=Outcome.ALLOWED,
                time_ms=NOW_MS,
                validator=1,
                commitment=commitment(witness=witness, payload=payload),
            )
        )
        reference = request_ref(
            cell_index_key=vault.index_key(), request_id=parse_request(payload).request_id
        )
        sealed = seal_record(
            entry=entry,
            witness=witness,
            payload=payload,
            lease=lease_key(slot_key=person.slot_key, lease_id=person.lease_id),
            routing=Routing(person.slot, person.lease_id, reference),
            routing_key=vault.current_routing_key().key,
        )
        return entry, sealed

    def back_up(self, name, *, days=30, with_key=True):
        """A backup, and its key's file beside it."""
        target, key = self.folder / name, self.folder / f"{name}.key"
        wish = KeyWish(key, days) if with_key else None
        job = BackupJob(self.home, self.data, self.cell, target, NOW_MS, wish)
        # LMDB does not let one process open a database twice, and a backup is made by another one.
        self.parts.close()
        take(job, progress=lambda *_: None)
        self.open()
        return target, key

    # How somebody is erased.

    def order_erasure(self, person):
        """They ask for it, and the ledger's order gets into the log."""
        self.commit(self.asking_to_be_erased(person))
        self.parts.intake.take()
        _, decider = self.erasers()
        decider.decide()
        self.commit(*self._statements())

    def carry_out(self, on_step=unheard):
        """From the order to the certificate in the log, wherever it was interrupted."""
        eraser, decider = self.erasers(on_step)
        self.parts.intake.take()
        while group := eraser.due():
            eraser.execute(group)
        to_attest = [case.number for case in self.cases() if is_to_attest(case)]
        if to_attest:
            decider.attest(to_attest)
        statements = self._statements()
        if statements:
            self.commit(*statements)
            self.parts.intake.take()

    def wait_until_nothing_links(self):
        """What the ledger does about routing keys from the erasure to its `link_until_ms`."""
        rotation = RoutingKeyRotation(self.parts.vault, age_ms_max=86_400_000)
        assert rotation.rotate_if_due(now_ms=NOW_MS + ERASURE_PAUSE_MS, erased_ms=NOW_MS)
        until_ms = linked_until_ms(NOW_MS)
        assert rotation.destroy_done(now_ms=until_ms, applied_ms=self.parts.store.state.time_ms)

    def erasers(self, on_step=unheard):
        """What carries erasures out, and what decides and attests."""
        parts, key = (
            self.parts,
            load_service_key(
                self.home / self.cell.ledger.id / "keys" / KeyRole.ATTESTATION.file_name
            ),
        )
        eraser = Eraser(
            store=parts.store,
            vault=parts.vault,
            filer=parts.filer,
            now_ms=lambda: NOW_MS,
            on_step=on_step,
        )
        decider = Decider(
            store=parts.store,
            filer=parts.filer,
            roots=parts.vault.root_key_store,
            attestation=Attestation(
                origin=self.cell.origin,
                key=key,
                keys=attestation_keys(self.cell),
                software="heptad test",
                is_reviewed=False,
                copies_ms=1,
            ),
            beyond_use_ms=lambda epoch: beyond_use_ms(self.data, erased_at_epoch=epoch) or None,
            now_ms=lambda: NOW_MS,
            on_step=on_step,
        )
        return eraser, decider

    def cases(self):
        """Erasures as the ledger's store has them."""
        with self.parts.store.snapshot() as snapshot:
            return list(snapshot.erasures.cases())

    def certificates(self):
        """The certificates that the log holds."""
        entries = [decode_entry(entry) for entry in self.entries]
        statements = [entry.statement for entry in entries if entry.kind is Kind.ERASED]
        return [parse_certificate(statement).statement for statement in statements]

    def _statements(self):
        """What validators are asked to record, as they would."""
        return [
            (None, b"", (_stated(statement_kind(case), case.statement), b""))
            for case in self.cases()
            if case.statement
        ]

    def erase_key(self, person):
        """Only the vault's part of an erasure: rows and replicas' copies stay as they are."""
        self.parts.vault.erase([person.slot])
        self.parts.vault.rotate_routing_key(now_ms=NOW_MS)
        self.parts.filer.forget()

    def destroy_old_routing_keys(self):
        """Once all records under them are applied, the vault destroys them."""
        *old, _ = self.parts.vault.routing_keys()
        self.parts.vault.erase(routing_key_ids=[dated.key.key_id for dated in old])

    def efface_backup_keys(self):
        """Every key of a backup whose file is still there."""
        for row in read_book(self.data):
            efface(self.data, row.id, now_ms=NOW_MS)

    def restore(self, name, *, slots_skipped=100):
        """Lose the ledger's files but for the book of keys; put that backup in their place."""
        self.close()
        for folder in ("log", "vault", ROOT_FOLDER):
            shutil.rmtree(self.data / folder)
        job = RestoreJob(
            source=self.folder / name,
            data=self.data,
            cell=self.cell,
            config=load_node_config(LedgerConfig, home=self.home, name=self.cell.ledger.id),
            now_ms=NOW_MS + 1,
            key=self.folder / f"{name}.key",
            slots_skipped=slots_skipped,
        )
        assert restore(job, progress=lambda *_: None).is_in_place
        self.open()

    def catch_up(self):
        """Apply what the replicas have committed since."""
        result = self.parts.ingest.take(self.frames[self.parts.store.state.height :])
        assert (result.fault, result.refusal) == (None, None)
        self.group = Group(self.home, self.cell, self.parts.store.state)

    # What an attacker gets of it.

    def copy_without_root(self, name):
        """Copies of all files, as a thief or an administrator has made them; where they are."""
        target = self.folder / name
        shutil.copytree(
            self.home,
            target,
            ignore=lambda folder, names: [ROOT_FOLDER] if folder == str(self.data) else [],
        )
        return target

    def attacker(self, *loot: Loot | object):
        """Somebody with these folders or files, who knows everybody's id."""
        together = Loot(())
        for each in loot:
            together += each if isinstance(each, Loot) else read_files([each])
        ids = [person.subject_id for person in self.people.values()]
        return Attacker(together, entries=self.entries, known_ids=ids)


def _stated(kind, statement):
    return encode_entry(
        Entry(
            kind=kind,
            service="",
            action="",
            outcome=Outcome.NONE,
            time_ms=NOW_MS,
            validator=1,
            commitment=b"",
            statement=statement,
        )
    )


def claims_in(payload):
    """What a payload says, as text; of a cut one as far as it goes."""
    middle = re.findall(rb"[A-Za-z0-9_-]+", payload)[1:2] or [b""]
    whole = middle[0][: len(middle[0]) // 4 * 4]
    return urlsafe_b64decode(whole).decode("utf-8", "replace")


def finds_payload(attacker, person):
    """How many different requests of that person are open to the attacker."""
    told = [claims_in(payload) for payload in attacker.payloads()]
    # The same request may be open once whole and once as the remains of a page.
    return len({found for text in told for found in re.findall(f"{person.canary}#[0-9]+", text)})


def jti(name, number):
    return str(uuid.UUID(bytes=seed_bytes(f"{name} {number}"), version=4))


def seed_bytes(text, length=16):
    """Bytes that look random, the same for the same text."""
    return hashlib.sha256(text.encode()).digest()[:length]
