"""A cell's disks, made by the real code in one process: vault, log, static files, replicas.

Only the network and the agreement are left out: records are sealed as validators seal them, blocks
are certified by all keys of the home, the ledger applies them, replicas store them.
"""

import hashlib
import re
import shutil
import uuid
from base64 import urlsafe_b64decode
from contextlib import suppress
from dataclasses import dataclass, field

from heptad.consensus.codec import decode_block, decode_proof
from heptad.consensus.objects import CommittedBlock
from heptad.consensus.ready import Persist
from heptad.crypto import signatures
from heptad.crypto.derivation import lease_key, request_ref
from heptad.crypto.keys import Ed25519Key
from heptad.crypto.registration import sign_registration
from heptad.crypto.requests import parse_request, sign_request
from heptad.crypto.sealing import Routing, commitment, seal_record
from heptad.model.entry import Entry, Kind, Outcome
from heptad.model.subjects import subject_id
from heptad.runtime.config import load_cell
from heptad.runtime.vkeys import log_vkeys
from heptad.trials.forensics.attacker import Attacker
from heptad.trials.forensics.loot import Loot, read_files
from heptad.wire.convert.entry import encode_entry
from heptad_ledger.backup.key_book import read_book
from heptad_ledger.backup.key_files import efface
from heptad_ledger.backup.taking import BackupJob, KeyWish, take
from heptad_ledger.parts import ROOT_FOLDER
from heptad_ledger.static.exporter import Exporter
from heptad_ledger.static.folder import DiskFolder
from heptad_ledger.synthetic.fill import new_home, open_home
from heptad_ledger.synthetic.group import Group
from heptad_replica.storage import LmdbStore

NOW_MS = 1_767_300_000_000
REPLICAS = 2


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
        self.entries = []
        new_home(self.home)
        self.cell = load_cell(self.home)
        self.data = self.home / self.cell.ledger.id / "data"
        self.replicas = [
            LmdbStore(self.home / replica.id / "data", map_bytes=1 << 28)
            for replica in self.cell.replicas[:REPLICAS]
        ]
        self.open()
        self.group = Group(self.home, self.cell, self.parts.store.state)

    # Its life.

    def open(self):
        """Open the ledger, as its process does when it starts."""
        self.parts = open_home(self.home, self.cell)

    def close(self):
        """Close all files."""
        with suppress(AttributeError):
            self.parts.close()
        for replica in self.replicas:
            replica.close()
        self.replicas = []

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
                action="subject.register",
            ),
        )

    def request(self, person, number, *, filler=""):
        """A signed request of theirs with the canary in it."""
        payload = sign_request(
            person.key,
            iss=person.subject_id,
            aud=self.cell.origin,
            jti=jti(person.name, number),
            iat=1,
            exp=2,
            svc="tax-portal",
            act="authenticate",
            data={"note": f"{person.canary}#{number}", "filler": filler},
        )
        witness = seed_bytes(f"{person.name} {number}", 32)
        return person, payload, self._record(person, payload, witness=witness)

    def commit(self, *made):
        """Everybody stores these records, as one block of one batch."""
        first = len(self.entries)
        for index, (person, payload, _) in enumerate(made, start=first):
            person.payloads[index] = payload
        time_ms = NOW_MS + 1_000 * (first + 1)
        batch = self.group.batch([record for _, _, record in made], time_ms=time_ms)
        frame = self.group.commit([batch], time_ms=time_ms)
        result = self.parts.ingest.take([frame])
        assert result.fault is None
        assert result.refusal is None
        self.entries += batch.entries()
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

    def _record(self, person, payload, *, witness, kind=Kind.REQUEST, action="authenticate"):
        vault = self.parts.vault
        entry = encode_entry(
            Entry(
                kind=kind,
                service="heptad" if kind is Kind.SUBJECT_REGISTERED else "tax-portal",
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


def claims_in(payload):
    """What a payload says, as text; of a cut one as far as it goes."""
    parts = payload.split(b".")
    middle = parts[1] if len(parts) > 1 else b""
    return urlsafe_b64decode(middle[: len(middle) // 4 * 4]).decode("utf-8", "replace")


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
