"""Proof that the log holds a subject's keys: without it, a lease is worth nothing.

The ledger hands out keys, and the ledger may be evil. So for each key the validator does the
arithmetic itself. Of the first one: the entry commits to the registration, the registration was
signed by the key that it brings, the subject's id follows from both. Of a later one: the entry
commits to a request of that very subject, signed by a key that is itself proved and that was not
revoked before, as far as the ledger tells, and the new key has signed for itself. And each entry is
in a log that the log's key and a quorum of replicas have signed for. The rules are those by which
an honest ledger applies the log (`heptad.crypto.key_history`), gone through in the log's order.

What was proved once stays proved, since a log only grows; and one checkpoint serves for all leases
of a moment. What cannot be proved here is that a key was *not* revoked: that a ledger withholds a
revocation is seen by the subject, whose receipt for it is in the log.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from types import MappingProxyType
from typing import Final, TypeVar

from heptad.crypto.jwk import PublicKey
from heptad.crypto.key_history import (
    KEYS_MAX,
    KeyChangeRefusedError,
    KeyStep,
    changed,
    read_change,
)
from heptad.crypto.registration import verify_registration
from heptad.crypto.registry_rows import KeyRow
from heptad.crypto.requests import SignedRequest, parse_request
from heptad.crypto.sealing import WITNESS_BYTES, Opened, commitment
from heptad.crypto.signatures import verify
from heptad.model.canonical import MalformedError
from heptad.model.entry import Kind, Outcome
from heptad.model.lending import EntryEvidence, SubjectKey
from heptad.model.problems import Problem
from heptad.model.subjects import subject_id
from heptad.transparency.checkpoint import Checkpoint, verify_checkpoint
from heptad.transparency.errors import TransparencyError
from heptad.transparency.merkle import leaf_hash, verify_inclusion
from heptad.transparency.policy import Policy
from heptad.transparency.receipt import Receipt
from heptad.wire.convert.entry import decode_entry
from heptad_validator.lending.leases import RegisteredKey

CHECKPOINTS_MAX: Final = 64
ValueT = TypeVar("ValueT")


class EvidenceRefusedError(Exception):
    """What the ledger sent does not prove that the log holds the key; the message says where."""


class EvidenceVerifier:
    """Proves keys of one cell's subjects; remembers what it has proved, within bounds."""

    def __init__(
        self,
        *,
        origin: str,
        cell_code: str,
        policy: Policy,
        keys_max: int,
        attestation_keys: Mapping[str, PublicKey] = MappingProxyType({}),
    ) -> None:
        """`attestation_keys` are the ledger's, by kid: they revoke for officers, add nothing."""
        self._attestation_keys = attestation_keys
        self._origin = origin
        self._cell_code = cell_code
        self._policy = policy
        self._keys_max = keys_max
        self._registered: dict[bytes, PublicKey] = {}
        self._steps: dict[bytes, KeyStep] = {}
        self._checkpoints: dict[bytes, Checkpoint] = {}

    def prove(self, subject: str, offered: Sequence[SubjectKey]) -> dict[str, RegisteredKey]:
        """A subject's keys by their ids, each proved to be one that the log holds for it.

        Raises: EvidenceRefusedError.
        """
        if not 1 <= len(offered) <= KEYS_MAX:
            raise EvidenceRefusedError(f"a lease with {len(offered)} keys")
        first, *rest = sorted(_evidence(offered), key=lambda evidence: evidence.index)
        try:
            key = self._registration(subject, first)
            keys = {key.kid: key}
            rows: tuple[KeyRow, ...] = (KeyRow(key.kid, first.index),)
            for evidence in rest:
                step = self._step(subject, evidence, keys)
                rows = changed(rows, step, index=evidence.index)
                if step.added is not None:
                    keys[step.added.kid] = step.added
        except KeyChangeRefusedError as error:
            raise EvidenceRefusedError(f"the history of a key: {error}") from error
        if [key.kid for key in offered] != [row.kid for row in rows]:
            raise EvidenceRefusedError("the entries bring other keys than the lease names")
        said = {key.kid for key in offered if key.revoked}
        return {
            row.kid: RegisteredKey(keys[row.kid], row.revoked or row.kid in said) for row in rows
        }

    def _registration(self, subject: str, evidence: EntryEvidence) -> PublicKey:
        """The first key, proved by the registration."""
        name = _name(subject, evidence)
        known = self._registered.get(name)
        if known is None:
            known = self._proved(evidence, lambda: self._prove_registration(subject, evidence))
            _remember(self._registered, name, known, size_max=self._keys_max)
        return known

    def _step(
        self, subject: str, evidence: EntryEvidence, keys: Mapping[str, PublicKey]
    ) -> KeyStep:
        """A change, proved to be signed by the key of `keys` that it names."""
        name = _name(subject, evidence)
        known = self._steps.get(name)
        if known is None:
            known = self._proved(evidence, lambda: self._prove_change(subject, evidence, keys))
            _remember(self._steps, name, known, size_max=self._keys_max)
        return known

    def _proved(self, evidence: EntryEvidence, prove: Callable[[], ValueT]) -> ValueT:
        """What `prove` makes of evidence whose entry is in the log."""
        try:
            if len(evidence.witness) != WITNESS_BYTES:
                raise EvidenceRefusedError(f"a witness of {len(evidence.witness)} bytes")
            value = prove()
            self._prove_inclusion(evidence)
        except (Problem, MalformedError, TransparencyError, ValueError) as error:
            raise EvidenceRefusedError(
                f"key evidence at index {evidence.index}: {error}"
            ) from error
        return value

    def _prove_change(
        self, subject: str, evidence: EntryEvidence, keys: Mapping[str, PublicKey]
    ) -> KeyStep:
        opened = Opened(evidence.witness, evidence.payload)
        change = read_change(decode_entry(evidence.entry), opened, origin=self._origin)
        if change.subject_id != subject:
            raise EvidenceRefusedError("another subject's request")
        signers = self._attestation_keys if change.step.by_officer else keys
        signer = signers.get(change.step.signer_kid)
        if signer is None:
            raise EvidenceRefusedError("signed by a key that is not proved")
        change.verify(signer)
        return change.step

    def _prove_registration(self, subject: str, evidence: EntryEvidence) -> PublicKey:
        """From the subject's id over entry and commitment to the key's own signature."""
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
        return verify_registration(request)

    def _require_meant_for_us(self, request: SignedRequest, service: str, action: str) -> None:
        if request.aud != self._origin:
            raise EvidenceRefusedError("the registration is for another cell")
        if (service, action) != (request.svc, request.act):
            raise EvidenceRefusedError("the entry names another service or action than was signed")

    def _prove_inclusion(self, evidence: EntryEvidence) -> None:
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


def _evidence(offered: Sequence[SubjectKey]) -> Iterator[EntryEvidence]:
    """All entries that a lease brings."""
    for key in offered:
        yield key.addition
        if key.revocation is not None:
            yield key.revocation


def _name(subject: str, evidence: EntryEvidence) -> bytes:
    """32 bytes that name everything that was proved; each part is hashed, so none runs over."""
    parts = (
        subject.encode(), evidence.index.to_bytes(8, "big"),
        evidence.entry, evidence.payload, evidence.witness,
    )  # fmt: skip
    return sha256(b"".join(sha256(part).digest() for part in parts)).digest()


def _remember(known: dict[bytes, ValueT], name: bytes, value: ValueT, *, size_max: int) -> None:
    known[name] = value
    if len(known) > size_max:
        del known[next(iter(known))]
