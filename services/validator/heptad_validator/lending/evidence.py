"""Proof that the log holds a subject's key: without it, a lease is worth nothing.

The ledger hands out keys, and the ledger may be evil. So for each key the validator does the
arithmetic itself: the entry commits to the registration, the registration was signed by the key
that it brings, the subject's id follows from both, and the entry is in a log that the log's key and
a quorum of replicas have signed for. What was proved once stays proved, since a log only grows; and
one checkpoint serves for all leases of a moment.

What cannot be proved here is that a key was *not* revoked: a ledger can lie about that only by
making a key look unusable.
"""

from hashlib import sha256
from typing import Final, TypeVar

from heptad.crypto.jwk import PublicKey
from heptad.crypto.registration import verify_registration
from heptad.crypto.requests import SignedRequest, parse_request
from heptad.crypto.sealing import WITNESS_BYTES, commitment
from heptad.crypto.signatures import verify
from heptad.model.canonical import MalformedError
from heptad.model.entry import Kind, Outcome
from heptad.model.lending import SubjectKey
from heptad.model.problems import Problem
from heptad.model.subjects import subject_id
from heptad.transparency.checkpoint import Checkpoint, verify_checkpoint
from heptad.transparency.errors import TransparencyError
from heptad.transparency.merkle import leaf_hash, verify_inclusion
from heptad.transparency.policy import Policy
from heptad.transparency.receipt import Receipt
from heptad.wire.convert.entry import decode_entry

CHECKPOINTS_MAX: Final = 64
ValueT = TypeVar("ValueT")


class EvidenceRefusedError(Exception):
    """What the ledger sent does not prove that the log holds the key; the message says where."""


class EvidenceVerifier:
    """Proves keys of one cell's subjects; remembers what it has proved, within bounds."""

    def __init__(self, *, origin: str, cell_code: str, policy: Policy, keys_max: int) -> None:
        self._origin = origin
        self._cell_code = cell_code
        self._policy = policy
        self._keys_max = keys_max
        self._proved: dict[bytes, PublicKey] = {}
        self._checkpoints: dict[bytes, Checkpoint] = {}

    def prove(self, subject: str, evidence: SubjectKey) -> PublicKey:
        """The key, proved to be one that the log holds for this subject.

        Raises: EvidenceRefusedError.
        """
        name = _name(subject, evidence)
        known = self._proved.get(name)
        if known is not None:
            return known
        try:
            key = self._prove_registration(subject, evidence)
            self._prove_inclusion(evidence)
        except (Problem, MalformedError, TransparencyError, ValueError) as error:
            raise EvidenceRefusedError(
                f"key evidence at index {evidence.index}: {error}"
            ) from error
        _remember(self._proved, name, key, size_max=self._keys_max)
        return key

    def _prove_registration(self, subject: str, evidence: SubjectKey) -> PublicKey:
        """From the subject's id over entry and commitment to the key's own signature."""
        if len(evidence.witness) != WITNESS_BYTES:
            raise EvidenceRefusedError(f"a witness of {len(evidence.witness)} bytes")
        entry = decode_entry(evidence.entry)
        if entry.kind is not Kind.SUBJECT_REGISTERED or entry.outcome is not Outcome.ALLOWED:
            raise EvidenceRefusedError(f"an entry {entry.kind.name}, {entry.outcome.name}")
        if entry.commitment != commitment(witness=evidence.witness, payload=evidence.payload):
            raise EvidenceRefusedError("the entry commits to something else")
        computed = subject_id(
            cell_code=self._cell_code, witness=evidence.witness, payload=evidence.payload
        )
        if computed != subject:
            raise EvidenceRefusedError("witness and payload are another subject's")
        request = parse_request(evidence.payload)
        self._require_meant_for_us(request, entry.service, entry.action)
        key = verify_registration(request)
        if key.kid != evidence.kid:
            raise EvidenceRefusedError("the registration brings another key")
        return key

    def _require_meant_for_us(self, request: SignedRequest, service: str, action: str) -> None:
        if request.aud != self._origin:
            raise EvidenceRefusedError("the registration is for another cell")
        if (service, action) != (request.svc, request.act):
            raise EvidenceRefusedError("the entry names another service or action than was signed")

    def _prove_inclusion(self, evidence: SubjectKey) -> None:
        receipt = Receipt.parse(evidence.proof)
        if receipt.leaf_index != evidence.index:
            raise EvidenceRefusedError(f"a proof for index {receipt.leaf_index}")
        checkpoint = self._checkpoint(receipt.checkpoint)
        verify_inclusion(
            leaf_index=receipt.leaf_index,
            tree_size=checkpoint.size,
            leaf_hash=leaf_hash(evidence.entry),
            proof=receipt.proof,
            root_hash=checkpoint.root,
        )

    def _checkpoint(self, note: bytes) -> Checkpoint:
        """The checkpoint in `note`, proved to carry the log's signature and a quorum's."""
        name = sha256(note).digest()
        known = self._checkpoints.get(name)
        if known is None:
            known = verify_checkpoint(note, policy=self._policy, verify=verify)
            _remember(self._checkpoints, name, known, size_max=CHECKPOINTS_MAX)
        return known


def _name(subject: str, evidence: SubjectKey) -> bytes:
    """32 bytes that name everything that was proved; each part is hashed, so none runs over."""
    parts = (
        subject.encode(), evidence.kid.encode(), evidence.index.to_bytes(8, "big"),
        evidence.entry, evidence.payload, evidence.witness,
    )  # fmt: skip
    return sha256(b"".join(sha256(part).digest() for part in parts)).digest()


def _remember(known: dict[bytes, ValueT], name: bytes, value: ValueT, *, size_max: int) -> None:
    known[name] = value
    if len(known) > size_max:
        del known[next(iter(known))]
