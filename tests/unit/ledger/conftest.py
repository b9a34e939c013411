"""A whole cell in one process: keys, validators that seal, a group that commits and cosigns.

What a test feeds to the ledger is made of the real encodings with real signatures; only the network
and the votes' origin are left out.
"""

import asyncio
import itertools
import uuid
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import pytest

from heptad.consensus.certificates import Certificates
from heptad.consensus.codec import encode_proof, new_block, new_qc, vote_signing_bytes
from heptad.consensus.committee import Cell, Committee, Member, Validator
from heptad.consensus.control import entries_of
from heptad.consensus.genesis import genesis_block, genesis_qc
from heptad.consensus.objects import BatchRef, CommitProof, LogHead
from heptad.crypto import signatures
from heptad.crypto.accesses import sign_access
from heptad.crypto.derivation import lease_key, request_ref
from heptad.crypto.device_keys import sign_key_addition, sign_key_revocation
from heptad.crypto.jwk import PublicKey
from heptad.crypto.keys import Ed25519Key
from heptad.crypto.registration import sign_registration
from heptad.crypto.requests import parse_request, sign_request
from heptad.crypto.sealing import Routing, commitment, seal_record
from heptad.model.access import AccessRecord
from heptad.model.batch import batch_signing_bytes, encode_batch, signed, unsigned_batch
from heptad.model.entry import Entry, Kind, Outcome
from heptad.model.lending import LeaseSubjects, LookUpRequest
from heptad.model.log_reads import PublishedCheckpoint
from heptad.model.subjects import subject_id
from heptad.transparency.checkpoint import Checkpoint, cosigned_message
from heptad.transparency.merkle import CompactRange, leaf_hashes
from heptad.transparency.notes import Note, NoteSignature
from heptad.vault.root_keys import MemoryRootKeyStore
from heptad.vault.tree import KeyTree
from heptad.wire.convert.entry import encode_entry
from heptad.wire.streams import BlockFrame, CosignatureFrame
from heptad_ledger.apply import Applier
from heptad_ledger.chain import Chain, Tip
from heptad_ledger.filing import Filer
from heptad_ledger.lending.desk import LendingDesk
from heptad_ledger.lending.elsewhere import ElsewhereBook
from heptad_ledger.lending.evidence import Evidence
from heptad_ledger.lending.loans import LoanBook
from heptad_ledger.log_reads import LogReads
from heptad_ledger.privacy.intake import Intake
from heptad_ledger.registry import Registry
from heptad_ledger.store import AppliedState, LogStore
from heptad_ledger.watermark import Watermark

ORIGIN = "log.test"
CODE = "ab"
NOW_MS = 1_700_000_000_000
NO_PRIVATE_HALF = b""
ATTESTING = Ed25519Key(b"A" * 32)
"""The ledger's attestation key."""


@dataclass
class Person:
    """A subject with its key: what a citizen's app and its validator know."""

    key: Ed25519Key
    slot: int
    slot_key: bytes
    subject_id: str
    registration: tuple[bytes, bytes]
    payload: bytes
    witness: bytes


@dataclass
class Group:
    """Seven replicas and two validators, of whom all are honest unless a test says otherwise."""

    vote_keys: list[Ed25519Key] = field(
        default_factory=lambda: [Ed25519Key(bytes([n]) * 32) for n in range(1, 8)]
    )
    cosign_keys: list[Ed25519Key] = field(
        default_factory=lambda: [Ed25519Key(bytes([n]) * 32) for n in range(11, 18)]
    )
    batch_keys: dict[int, Ed25519Key] = field(
        default_factory=lambda: {n: Ed25519Key(bytes([20 + n]) * 32) for n in (1, 2)}
    )

    origin: str = ORIGIN

    def __post_init__(self):
        pairs = zip(self.vote_keys, self.cosign_keys, strict=True)
        members = tuple(Member(vote.public_key, cosign.public_key) for vote, cosign in pairs)
        validators = tuple(Validator(n, key.public_key) for n, key in self.batch_keys.items())
        self.cell = Cell(self.origin, 0, Committee(members), validators)
        self.genesis = genesis_block(self.cell)
        self.frames: list[BlockFrame] = []
        self.entries: list[bytes] = []
        self._edge = CompactRange.empty()
        self._last, self._last_qc = self.genesis, genesis_qc(self.cell)
        self._sequences = itertools.count()

    def batch(self, records, *, validator=1, key=None, sequence=None):
        """An encoded, signed batch of (entry, sealed record) pairs."""
        number = next(self._sequences) if sequence is None else sequence
        batch = unsigned_batch(
            validator=validator,
            incarnation=1,
            sequence=number,
            created_ms=NOW_MS,
            records=records,
        )
        message = batch_signing_bytes(origin=self.origin, digest=batch.digest)
        return signed(batch, (key or self.batch_keys[validator]).sign(message))

    def commit(self, *batches, time_ms=None, with_proof=True, root=None, control=()):
        """Commit a block of these batches; its frame, which is also kept in `frames`."""
        time_ms = NOW_MS + 10 * len(self.frames) if time_ms is None else time_ms
        first_index, entries = self._edge.size, [e for b in batches for e in b.entries()]
        entries += entries_of(control, time_ms=time_ms)
        self.entries += entries
        self._edge = self._edge.extended(leaf_hashes(entries))
        encoded = [encode_batch(batch) for batch in batches]
        block = self._block(
            parent=self._last,
            qc=self._last_qc,
            refs=tuple(self._ref(b, e) for b, e in zip(batches, encoded, strict=True)),
            head=LogHead(self._edge.size, root or self._edge.root()),
            time_ms=time_ms,
            control=control,
        )
        qc = self.certify(block)
        child = self._block(parent=block, qc=qc, refs=(), head=block.head, time_ms=block.time_ms)
        proof = encode_proof(CommitProof(child, self.certify(child)))
        self._last, self._last_qc = block, qc
        frame = BlockFrame(
            height=block.height,
            first_index=first_index,
            block=block.encoded,
            proof=proof if with_proof else b"",
            batches=tuple(encoded),
        )
        self.frames.append(frame)
        return frame

    def certify(self, block, *, voters=range(5)):
        """A QC of these members' votes."""
        message = vote_signing_bytes(
            origin=self.origin, epoch=0, round_=block.round, block_id=block.id
        )
        votes = {voter: self.vote_keys[voter].sign(message) for voter in voters}
        return new_qc(epoch=0, round_=block.round, block_id=block.id, votes=votes)

    def head(self):
        """The log's head after the last committed block."""
        return LogHead(self._edge.size, self._edge.root())

    def cosign(self, member, head, *, time_s=NOW_MS // 1000, key=None):
        """A cosignature frame of that member (index from 0)."""
        body = Checkpoint(self.origin, head.size, head.root).body()
        signer = key or self.cosign_keys[member]
        signature = signer.sign(cosigned_message(body, time_s=time_s))
        return CosignatureFrame(head.size, head.root, time_s, signature)

    def _block(self, *, parent, qc, refs, head, time_ms, control=()):
        return new_block(
            epoch=0,
            round_=parent.round + 1,
            height=parent.height + 1,
            proposer=0,
            time_ms=time_ms,
            justify=qc,
            tc=None,
            batches=refs,
            control=control,
            head=head,
            state_hash=bytes(32),
        )

    @staticmethod
    def _ref(batch, encoded):
        header = batch.header
        return BatchRef(
            header.validator, header.incarnation, header.sequence, batch.digest, header.count,
            len(encoded),
        )  # fmt: skip


class Office:
    """A validator's sealing: it takes slots out of the vault and makes records."""

    def __init__(self, vault, *, origin=ORIGIN, cell_code=CODE):
        self.vault, self.origin, self.cell_code = vault, origin, cell_code
        self._jtis = itertools.count()

    def register(self, seed, *, slot_key=None, jti=None, aud=None):
        """A person, whose registering record stands in `registration`."""
        key = Ed25519Key(seed.to_bytes(32, "big"))
        slot_key = slot_key or self.vault.allocate(1)[0]
        payload = sign_registration(
            key, aud=aud or self.origin, jti=jti or self.jti(), iat=1, exp=2, svc="heptad"
        )
        witness = (seed + 1000).to_bytes(32, "big")
        record = self.record(
            payload,
            slot=slot_key.slot,
            slot_key=slot_key.key,
            witness=witness,
            kind=Kind.SUBJECT_REGISTERED,
            action="subject.register",
        )
        name = subject_id(cell_code=self.cell_code, witness=witness, payload=payload)
        return Person(key, slot_key.slot, slot_key.key, name, record, payload, witness)

    def request(self, person, *, jti=None, data=None, service="tax", witness=b"\x33" * 32):
        """A request's (entry, sealed record), and its JWS."""
        payload = sign_request(
            person.key,
            iss=person.subject_id,
            aud=self.origin,
            jti=jti or self.jti(),
            iat=1,
            exp=2,
            svc=service,
            act="authenticate",
            data=data or {},
        )
        record = self.record(
            payload, slot=person.slot, slot_key=person.slot_key, witness=witness, service=service
        )
        return record, payload

    def access(self, person, *, key, action="subject.export", **changes):
        """An access record of a person's data as the ledger's attestation `key` signs it, and its
        JWS."""
        said = AccessRecord(
            ledger="ledger-1", origin=self.origin, jti=self.jti(), time_s=NOW_MS // 1000,
            subject_id=person.subject_id, action=action, role="officer", caller="dpo",
            ground="", reason="asked for in writing",
        )  # fmt: skip
        said = replace(said, **changes)
        payload = sign_access(key, said)
        record = self.record(
            payload,
            slot=person.slot,
            slot_key=person.slot_key,
            kind=Kind.ACCESS,
            action=action,
            outcome=Outcome.NONE,
            witness=uuid.UUID(said.jti).bytes * 2,
            ref=request_ref(cell_index_key=self.vault.index_key(), request_id=said.request_id),
        )
        return record, payload

    def add_key(self, person, new_key, *, by=None, jti=None, **changes):
        """The record of `by`, a key of the person, adding another."""
        claims = self._claims(person, jti)
        payload = sign_key_addition(by or person.key, new_key, **claims)
        return self.change_keys(person, payload, **changes)

    def revoke_key(self, person, key, *, by=None, jti=None, **changes):
        """The record of `by`, a key of the person, revoking one."""
        claims = self._claims(person, jti)
        payload = sign_key_revocation(by or person.key, kid=key.public.kid, **claims)
        return self.change_keys(person, payload, **changes)

    def revoke_lost_key(self, person, key, *, attesting=ATTESTING, **changes):
        """The record of an officer's revocation."""
        changes = {"what": key.public.kid, **changes}
        return self.access(person, key=attesting, action="key.revoked", **changes)[0]

    def change_keys(self, person, payload, **changes):
        """The record of a change of keys, as an honest validator makes it but for `changes`."""
        act = parse_request(payload).act
        values = {
            "slot": person.slot,
            "slot_key": person.slot_key,
            "kind": Kind.KEY_ADDED if act == "key.add" else Kind.KEY_REVOKED,
            "action": act,
            "time_ms": 2_000,
        }
        return self.record(payload, **{**values, **changes})

    def _claims(self, person, jti):
        return {
            "iss": person.subject_id,
            "aud": self.origin,
            "jti": jti or self.jti(),
            "iat": 1,
            "exp": 2,
        }

    def record(
        self,
        payload,
        *,
        slot,
        slot_key,
        witness=b"\x33" * 32,
        sealed_witness=None,
        kind=Kind.REQUEST,
        service="heptad",
        action="authenticate",
        outcome=Outcome.ALLOWED,
        lease_id=b"\x44" * 16,
        ref=None,
        routing_key=None,
        time_ms=NOW_MS,
        commit_to=None,
    ):
        """A sealed record of any payload."""
        entry = encode_entry(
            Entry(
                kind=kind,
                service=service,
                action=action,
                outcome=outcome,
                time_ms=time_ms,
                validator=1,
                commitment=commitment(witness=witness, payload=commit_to or payload),
            )
        )
        if ref is None:
            request_id = parse_request(payload).request_id
            ref = request_ref(cell_index_key=self.vault.index_key(), request_id=request_id)
        sealed = seal_record(
            entry=entry,
            witness=sealed_witness or witness,
            payload=payload,
            lease=lease_key(slot_key=slot_key, lease_id=lease_id),
            routing=Routing(slot, lease_id, ref),
            routing_key=routing_key or self.vault.current_routing_key().key,
        )
        return entry, sealed

    def jti(self):
        """A fresh request id."""
        return f"00000000-0000-4000-8000-{next(self._jtis):012x}"


class Ledger:
    """The ledger's inside without its network: chain, applier, store, vault, registry."""

    def __init__(self, folder, group):
        self.folder, self.group = folder, group
        self.vault = KeyTree.create(
            folder / "vault", MemoryRootKeyStore(), now_ms=NOW_MS, map_bytes=1 << 26
        )
        self.own_slot = self.vault.allocate(1)[0].slot
        self.open()

    def open(self):
        """(Re)open the log's store and all that stands on it."""
        genesis = AppliedState(0, self.group.genesis.id, 0, CompactRange.empty())
        self.store = LogStore.open(
            self.folder / "log", origin=ORIGIN, genesis=genesis, map_bytes_max=1 << 30
        )
        self.registry = Registry(
            self.vault,
            own_slot=self.own_slot,
            origin=ORIGIN,
            cell_code=CODE,
            attestation_keys={ATTESTING.public.kid: ATTESTING.public},
        )
        self.filer = Filer(self.vault, self.registry)
        self.intake = Intake(
            store=self.store,
            filer=self.filer,
            keys={ATTESTING.public.kid: ATTESTING.public},
            origin=ORIGIN,
            index_key=self.vault.index_key,
        )
        self.intake.close_ordered()
        self.applier = Applier(self.store, self.filer, take_erasures=self.intake.take)
        self.chain = Chain(self.group.cell, verifier=signatures, tip=self.tip())

    def tip(self):
        """Where the store stands, for a chain."""
        state = self.store.state
        return Tip(state.height, state.block_id, state.size)

    def take(self, *frames):
        """Feed frames; apply all that they prove as one wave."""
        blocks = [block for frame in frames for block in self.chain.take(frame)]
        return self.applier.apply(blocks) if blocks else None

    def catch_up(self):
        """Take all of the group's frames that are not applied yet."""
        return self.take(*self.group.frames[self.store.state.height :])

    def close(self):
        """Close both environments."""
        self.store.close()
        self.vault.close()


class Counter:
    """The lending half of a ledger, with a clock that the test moves."""

    def __init__(self, ledger, group):
        self.ledger, self.group = ledger, group
        self.now_s = 100.0
        self.latest = None
        self.applied, self.published = Watermark(0), Watermark(0)
        self.committed_size = 0
        reads = LogReads(
            store=ledger.store,
            latest=lambda: self.latest,
            index_key=ledger.vault.index_key,
        )
        self.loans = LoanBook(ttl_s=60, now_s=self.now_s)
        self.told = []
        self.desk = LendingDesk(
            store=ledger.store,
            vault=ledger.vault,
            registry=ledger.registry,
            evidence=Evidence(reads),
            loans=self.loans,
            elsewhere=ElsewhereBook(validators=(1, 2), ttl_s=60, skew_s_max=30, lifetime_s_max=300),
            applied_size=self.applied,
            published_size=self.published,
            catch_up=lambda timeout_s: self.applied.reached(
                self.committed_size, timeout_s=timeout_s
            ),
            now_s=lambda: self.now_s,
        )
        self.desk.on_lent_elsewhere = lambda home, lent: self.told.append((home, lent))

    def commit(self, *records, publish=True):
        self.group.commit(self.group.batch(records))
        self.ledger.catch_up()
        self.applied.advance(self.ledger.store.state.size)
        if publish:
            self.publish()

    def publish(self):
        head = self.group.head()
        body = Checkpoint("log.test", head.size, head.root).body()
        note = Note(body, (NoteSignature("log.test", b"1234", b"s" * 64),)).encode()
        self.latest = PublishedCheckpoint(note, head.size)
        self.published.advance(head.size)

    def lease(
        self, *subjects, wait_ms=0, holder="validator-1", is_registering=False, is_sealing=False
    ):
        question = LeaseSubjects(subjects, wait_ms, is_registering, is_sealing)
        return asyncio.run(self.desk.lease(question, holder=holder)).leases

    def look_up(self, request_id, subject="", applied_size_min=0):
        return asyncio.run(self.desk.look_up(LookUpRequest(request_id, subject, applied_size_min)))


@pytest.fixture
def group():
    return Group()


@pytest.fixture
def ledger(tmp_path, group):
    ledger = Ledger(tmp_path, group)
    yield ledger
    ledger.close()


@pytest.fixture
def office(ledger):
    return Office(ledger.vault)


@pytest.fixture
def counter(ledger, group):
    return Counter(ledger, group)


@pytest.fixture(scope="session")
def kit():
    """The classes above, for tests that need more than one of them."""
    return SimpleNamespace(
        Group=Group,
        Ledger=Ledger,
        Office=Office,
        Certificates=Certificates,
        PublicKey=PublicKey,
        Counter=Counter,
        ATTESTING=ATTESTING,
    )
