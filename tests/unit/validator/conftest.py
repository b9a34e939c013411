"""A ledger and vault in memory that keep the real ones' promises, and can be told to lie."""

import asyncio
import itertools
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest

from heptad.crypto.bundles import bundle_digest, parse_statement
from heptad.crypto.derivation import lease_key
from heptad.crypto.device_keys import read_addition, read_revocation
from heptad.crypto.jws import sign_compact
from heptad.crypto.keys import Ed25519Key, P256Key
from heptad.crypto.registration import sign_registration
from heptad.crypto.requests import REQUEST_TYP, claims_digest, parse_request
from heptad.crypto.sealing import commitment, open_record, open_routing
from heptad.model.batch import Batch
from heptad.model.entry import Entry, Kind, Outcome
from heptad.model.lending import (
    CellKeys,
    EntryEvidence,
    Leases,
    LeaseSubjects,
    LookUpRequest,
    RequestFound,
    ReserveSlots,
    SlotLease,
    Slots,
    SubjectKey,
    SubjectLease,
)
from heptad.model.problems import Problem
from heptad.model.requests import request_hash
from heptad.model.subjects import subject_id
from heptad.transparency.checkpoint import Checkpoint, cosign_checkpoint, sign_checkpoint
from heptad.transparency.merkle import CompactRange, leaf_hashes
from heptad.transparency.notes import Note, SignatureType, VerifierKey
from heptad.transparency.policy import k_of_n_policy
from heptad.transparency.receipt import Receipt
from heptad.transparency.tiled_tree import append_leaves, inclusion_proof
from heptad.wire.convert.entry import decode_entry, encode_entry

ORIGIN = "cell.example"
CODE = "kn"
NOW_MS = 1_760_000_000_000
NOW_S = NOW_MS // 1000
REPLICAS = tuple(f"replica-{n}" for n in range(1, 8))
POLICY = {"tax-portal": frozenset({"authenticate", "consent.grant", "key.add"})}
CELL_KEYS = CellKeys(index_key=b"i" * 32, routing_key_id=1, routing_key=b"r" * 32)


class HeldClock:
    """Both clocks stand still until a test moves them."""

    def __init__(self) -> None:
        self.wall_ms = NOW_MS
        self.mono_s = 1_000.0

    def now_ms(self):
        return self.wall_ms

    def monotonic_s(self):
        return self.mono_s

    def move(self, seconds: float):
        self.wall_ms += int(seconds * 1000)
        self.mono_s += seconds


@dataclass
class Tiles:
    """A tile store in memory."""

    tiles: dict[tuple[int, int], bytes] = field(default_factory=dict)

    def read_tile(self, *, level, index, width):
        return self.tiles[level, index][: width * 32]


class FakeLedger:
    """The vault port, over a log in memory. What is in `spoil` changes an answer before it goes."""

    def __init__(
        self,
        *,
        origin: str = ORIGIN,
        code: str = CODE,
        log_key: Ed25519Key | None = None,
        cosign_keys: Sequence[Ed25519Key] = (),
    ) -> None:
        self.clock = HeldClock()
        self.cell_keys = CELL_KEYS
        self.origin, self.code = origin, code
        self.log_key = log_key or Ed25519Key(b"L" * 32)
        self.cosign_keys = list(cosign_keys) or [Ed25519Key(bytes([n]) * 32) for n in range(1, 8)]
        self.log_vkey = VerifierKey(origin, SignatureType.LOG, self.log_key.public_key)
        self.witness_vkeys = [
            VerifierKey(f"{name}.{origin}", SignatureType.COSIGNATURE, key.public_key)
            for name, key in zip(REPLICAS, self.cosign_keys, strict=True)
        ]
        self.policy = k_of_n_policy(
            log=self.log_vkey,
            witnesses=list(zip(REPLICAS, self.witness_vkeys, strict=True)),
            threshold=5,
        )
        self.entries: list[bytes] = []
        self.tiles = Tiles()
        self.edge = CompactRange.empty()
        self.slot_keys: list[bytes] = []
        self.leases: dict[bytes, int] = {}
        self.subjects: dict[str, tuple[int, int, bytes, bytes]] = {}
        self.requests: dict[bytes, tuple[int, bytes, str]] = {}
        self.events: dict[int, tuple[int, object]] = {}
        self.questions: list[object] = []
        self.returned: list[bytes] = []
        self.is_connected = True
        self.is_silent = False
        self.ttl_ms = 60_000
        self.revoked: set[str] = set()
        self.changes: dict[str, list[tuple[int, bytes, bytes]]] = {}
        self.held: list[tuple[str, tuple[int, bytes, bytes]]] = []
        self.is_lagging = False
        self.spoil: Callable[[object], object] = lambda answer: answer
        self._ids = itertools.count(1)

    # The log.

    def append(self, entries: list[bytes]) -> int:
        """Add leaves; the index of the first."""
        first_index = len(self.entries)
        grown = append_leaves(before=self.edge, leaf_hashes=leaf_hashes(entries), tiles=self.tiles)
        self.tiles.tiles.update(((t.level, t.index), t.hashes) for t in grown.tiles)
        self.edge = grown.after
        self.entries += entries
        return first_index

    def checkpoint(self, *, cosigners: int = 5) -> bytes:
        """The log's head as a note, signed by the log and so many replicas."""
        head = Checkpoint(self.origin, self.edge.size, self.edge.root())
        lines = [sign_checkpoint(head, key=self.log_vkey, sign=self.log_key.sign)]
        pairs = zip(self.witness_vkeys, self.cosign_keys, strict=True)
        lines += [
            cosign_checkpoint(head, key=vkey, time_s=NOW_S, sign=key.sign)
            for vkey, key in itertools.islice(pairs, cosigners)
        ]
        return Note(head.body(), tuple(lines)).encode()

    def evidence(self, subject: str, *, cosigners: int = 5) -> SubjectKey:
        """The proof that the log holds this subject's first key."""
        index, _, payload, witness = self.subjects[subject]
        kid = parse_request(payload).kid
        added = self.prove(index, payload, witness, cosigners=cosigners)
        return self.subject_key(kid, added, revoked=subject in self.revoked)

    def prove(
        self, index: int, payload: bytes, witness: bytes, *, cosigners: int = 5
    ) -> EntryEvidence:
        """The proof that the log holds an entry, with what it commits to."""
        path = inclusion_proof(leaf_index=index, tree_size=self.edge.size, tiles=self.tiles)
        proof = Receipt(index, tuple(path), self.checkpoint(cosigners=cosigners)).encode()
        return EntryEvidence(index, self.entries[index], payload, witness, proof)

    @staticmethod
    def subject_key(kid: str, added: EntryEvidence, *, revoked=False, revocation=None):
        return SubjectKey(
            kid=kid,
            revoked=revoked,
            index=added.index,
            entry=added.entry,
            payload=added.payload,
            witness=added.witness,
            proof=added.proof,
            revocation=revocation,
        )

    def keys(self, subject: str) -> tuple[SubjectKey, ...]:
        """All keys of a subject, as far as its changes are applied."""
        found = {(first := self.evidence(subject)).kid: first}
        for index, payload, witness in self.changes.get(subject, ()):
            request, evidence = parse_request(payload), self.prove(index, payload, witness)
            if request.act == "key.add":
                kid = read_addition(request).key.kid
                found[kid] = self.subject_key(kid, evidence)
            else:
                kid = read_revocation(request)
                found[kid] = replace(found[kid], revoked=True, revocation=evidence)
        return tuple(found.values())

    def change_keys(self, subject: str, payload: bytes, **changes) -> EntryEvidence:
        """A change of a subject's keys in the log, as if a validator had recorded it, and its
        evidence; it is applied."""
        act = "" if "kind" in changes else parse_request(payload).act
        witness = payload[-32:]
        values = {
            "kind": Kind.KEY_ADDED if act == "key.add" else Kind.KEY_REVOKED,
            "service": "heptad",
            "action": act,
            "outcome": Outcome.ALLOWED,
            "time_ms": NOW_MS - 900_000,
            "validator": 1,
            "commitment": commitment(witness=witness, payload=payload),
        }
        index = self.append([encode_entry(Entry(**{**values, **changes}))])
        self.changes.setdefault(subject, []).append((index, payload, witness))
        return self.prove(index, payload, witness)

    def catch_up(self) -> None:
        """Apply the changes of keys that were held back."""
        for subject, change in self.held:
            self.changes.setdefault(subject, []).append(change)
        self.held.clear()
        self.is_lagging = False

    # Subjects.

    def register(self, key, *, jti: str = "", service: str = "heptad") -> str:
        """A subject whose registration is in the log, as if a validator had recorded it."""
        payload = sign_registration(
            key,
            aud=self.origin,
            jti=jti or str(uuid.UUID(int=next(self._ids))),
            iat=NOW_S - 1000,
            exp=NOW_S - 900,
            svc=service,
        )
        witness = payload[:32]
        entry = Entry(
            kind=Kind.SUBJECT_REGISTERED,
            service=service,
            action="subject.register",
            outcome=Outcome.ALLOWED,
            time_ms=NOW_MS - 1_000_000,
            validator=1,
            commitment=commitment(witness=witness, payload=payload),
        )
        index = self.append([encode_entry(entry)])
        subject = subject_id(cell_code=self.code, witness=witness, payload=payload)
        self.subjects[subject] = (index, self.new_slot(), payload, witness)
        return subject

    def new_slot(self) -> int:
        self.slot_keys.append(len(self.slot_keys).to_bytes(32, "big"))
        return len(self.slot_keys) - 1

    def apply(self, batch: Batch) -> int:
        """What a ledger does with a committed batch; the index of its first entry."""
        entries = batch.entries()
        first_index = self.append(entries)
        pairs = zip(entries, batch.sealed_records(), strict=True)
        for index, (entry, sealed) in enumerate(pairs, start=first_index):
            if sealed:
                self._file(index, entry, sealed)
            elif decode_entry(entry).kind is Kind.BUNDLE:
                stated = parse_statement(decode_entry(entry).statement)
                name = request_hash(iss=stated.iss, jti=stated.jti)
                self.requests.setdefault(name, (index, bundle_digest(stated), ""))
        return first_index

    def _file(self, index: int, entry: bytes, sealed: bytes) -> None:
        slot, opened = self.open(index, sealed)
        if decode_entry(entry).kind in {Kind.EVENT, Kind.ACCESS}:
            self.events[index] = (slot, opened)
            return
        request = parse_request(opened.payload)
        if decode_entry(entry).kind is Kind.SUBJECT_REGISTERED:
            if request_hash(iss=request.iss, jti=request.jti) in self.requests:
                return  # A later copy registers nobody.
            subject = subject_id(
                cell_code=self.code, witness=opened.witness, payload=opened.payload
            )
            self.subjects[subject] = (index, slot, opened.payload, opened.witness)
        else:
            subject = next(name for name, row in self.subjects.items() if row[1] == slot)
        if decode_entry(entry).kind in (Kind.KEY_ADDED, Kind.KEY_REVOKED):
            self.held.append((subject, (index, opened.payload, opened.witness)))
            if not self.is_lagging:
                self.catch_up()
        name = request_hash(iss=request.iss, jti=request.jti)
        self.requests.setdefault(name, (index, claims_digest(request), subject))

    def open(self, index: int, sealed: bytes):
        """Slot and plaintext of a sealed record."""
        entry = self.entries[index]
        routing = open_routing(sealed, entry=entry, routing_key=self.cell_keys.routing_key)
        assert self.leases[routing.lease_id] == routing.key_ref
        key = lease_key(slot_key=self.slot_keys[routing.key_ref], lease_id=routing.lease_id)
        return routing.key_ref, open_record(sealed, entry=entry, lease=key)

    # The vault port.

    async def ask(self, question, *, timeout_s):
        self.questions.append(question)
        if not self.is_connected or self.is_silent:
            raise Problem("vault_unavailable", "nobody answers", retry_after_s=1)
        await asyncio.sleep(0)
        answer = self.spoil(self.answer(question))
        if isinstance(answer, Problem):
            raise answer
        return answer

    def answer(self, question):
        match question:
            case LeaseSubjects(subject_ids, proved_size_min=size):
                if size > self.applied_size:
                    return Problem("vault_unavailable", "not published yet", retry_after_s=1)
                return Leases(tuple(self._lease(subject) for subject in subject_ids))
            case ReserveSlots(count):
                return Slots(tuple(self._slot() for _ in range(count)), self.ttl_ms)
            case LookUpRequest(request_id, subject):
                return self._look_up(request_id, subject)
        raise AssertionError(question)

    def _lease(self, subject: str) -> SubjectLease:
        if subject not in self.subjects:
            return SubjectLease(subject, refused_code="key_unknown")
        lent = self._lend(self.subjects[subject][1])
        return SubjectLease(
            subject_id=subject,
            key_ref=lent.key_ref,
            lease_id=lent.lease_id,
            lease_key=lent.lease_key,
            ttl_ms=self.ttl_ms,
            keys=self.keys(subject),
            applied_size=self.applied_size,
        )

    @property
    def applied_size(self) -> int:
        return self.held[0][1][0] if self.held else len(self.entries)

    def _slot(self) -> SlotLease:
        return self._lend(self.new_slot())

    def _lend(self, slot: int) -> SlotLease:
        lease_id = next(self._ids).to_bytes(16, "big")
        self.leases[lease_id] = slot
        key = lease_key(slot_key=self.slot_keys[slot], lease_id=lease_id)
        return SlotLease(slot, lease_id, key)

    def _look_up(self, request_id: bytes, subject: str) -> RequestFound:
        found = self.requests.get(request_id)
        if found is None or (subject and found[2] != subject):
            return RequestFound(found=False)
        index, digest, owner = found
        return RequestFound(True, index, digest, self.entries[index], "" if subject else owner)


@pytest.fixture(name="ed_key", scope="session")
def _ed_key():
    return Ed25519Key(b"s" * 32)


@pytest.fixture(name="p256_key", scope="session")
def _p256_key():
    return P256Key.generate()


@pytest.fixture(name="any_key", scope="session", params=["EdDSA", "ES256"])
def _any_key(request, ed_key, p256_key):
    return ed_key if request.param == "EdDSA" else p256_key


@pytest.fixture(name="sign_claims")
def _sign_claims():
    """Sign any bytes as a request's claims, for what no honest signer would write."""
    return lambda key, payload: sign_compact(key, payload, typ=REQUEST_TYP)


@pytest.fixture(name="new_ledger", scope="session")
def _new_ledger():
    """Make a ledger with nothing in it, on a clock that is held."""
    return FakeLedger
