"""From an admitted request to a record: the public entry and its sealed half, each made once."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from heptad.crypto.bulk_sealing import Unsealed, seal_records
from heptad.crypto.derivation import request_ref
from heptad.crypto.sealing import (
    NO_REQUEST_REF,
    WITNESS_BYTES,
    Routing,
    RoutingKey,
    commitment,
    new_witness,
    seal_record,
)
from heptad.model.bundles import PrivateEvent, PublicEvent, private_half
from heptad.model.entry import Entry, Kind, Outcome
from heptad.model.ids import ValidatorNumber
from heptad.model.lending import CellKeys
from heptad.model.requests import RequestId
from heptad.wire.convert.entry import encode_entry, encode_events

NOT_SEALED: Final = b""
"""The private half of a record that has none."""


class Slot(Protocol):
    """A vault slot on loan, under which a record can be sealed."""

    @property
    def key_ref(self) -> int:
        """The slot."""

    @property
    def lease_id(self) -> bytes:
        """16 bytes."""

    @property
    def lease_key(self) -> bytes:
        """32 bytes."""


@dataclass(frozen=True, slots=True)
class PublicHalf:
    """What an entry will say, but for its commitment; see `heptad.model.entry.Entry`."""

    kind: Kind
    service: str
    action: str
    outcome: Outcome
    time_ms: int


class Recorder:
    """Makes the records of one validator under the cell's current keys."""

    __slots__ = ("_entropy", "_index_key", "_routing_key", "_validator")

    def __init__(
        self, *, validator: ValidatorNumber, entropy: Callable[[int], bytes] = os.urandom
    ) -> None:
        self._validator = validator
        self._entropy = entropy
        self._index_key: bytes | None = None
        self._routing_key: RoutingKey | None = None

    @property
    def has_keys(self) -> bool:
        """Whether the cell's keys have come, without which nothing can be sealed."""
        return self._routing_key is not None

    def use(self, keys: CellKeys) -> None:
        """Seal with these keys of the cell from now on."""
        self._index_key = keys.index_key
        self._routing_key = RoutingKey(keys.routing_key_id, keys.routing_key)

    def new_witness(self) -> bytes:
        """32 random bytes for one record."""
        return new_witness(self._entropy)

    def record(
        self,
        public: PublicHalf,
        *,
        payload: bytes,
        request_id: RequestId,
        slot: Slot,
        witness: bytes | None = None,
    ) -> tuple[bytes, bytes]:
        """Entry and sealed half of a request; `payload` is the JWS as received.

        `witness` (32 bytes) is given where something else was derived from it already.
        """
        assert self._routing_key is not None, "no keys of the cell yet"
        assert self._index_key is not None
        witness = new_witness(self._entropy) if witness is None else witness
        assert len(witness) == WITNESS_BYTES, len(witness)
        entry = self._entry(public, commitment(witness=witness, payload=payload), b"")
        reference = request_ref(cell_index_key=self._index_key, request_id=request_id)
        sealed = seal_record(
            entry=entry,
            witness=witness,
            payload=payload,
            lease=slot.lease_key,
            routing=Routing(slot.key_ref, slot.lease_id, reference),
            routing_key=self._routing_key,
            entropy=self._entropy,
        )
        return entry, sealed

    def bundle(self, service: str, statement: bytes, *, time_ms: int) -> tuple[bytes, bytes]:
        """The record of a bundle: its public statement, in front of its events."""
        public = PublicHalf(Kind.BUNDLE, service, "", Outcome.NONE, time_ms)
        return self._entry(public, b"", statement), NOT_SEALED

    def events(
        self, service: str, events: Sequence[tuple[PrivateEvent, PublicEvent, Slot]]
    ) -> list[tuple[bytes, bytes]]:
        """Entries and sealed halves of a bundle's events, each under its subject's slot."""
        assert self._routing_key is not None, "no keys of the cell yet"
        entries = encode_events(
            [public for _, public, _ in events], service=service, validator=self._validator
        )
        unsealed = [
            Unsealed(
                entry,
                private.witness + private_half(subject=private.subject, payload=private.payload),
                slot.key_ref.to_bytes(8, "big") + slot.lease_id + NO_REQUEST_REF,
                slot.lease_key,
            )
            for entry, (private, _, slot) in zip(entries, events, strict=True)
        ]
        sealed = seal_records(unsealed, routing_key=self._routing_key, entropy=self._entropy)
        return list(zip(entries, sealed, strict=True))

    def statement(self, kind: Kind, statement: bytes, *, time_ms: int) -> tuple[bytes, bytes]:
        """The record of a public statement: it has no private half."""
        public = PublicHalf(kind, "", "", Outcome.NONE, time_ms)
        return self._entry(public, b"", statement), NOT_SEALED

    def _entry(self, public: PublicHalf, commitment_bytes: bytes, statement: bytes) -> bytes:
        return encode_entry(
            Entry(
                kind=public.kind,
                service=public.service,
                action=public.action,
                outcome=public.outcome,
                time_ms=public.time_ms,
                validator=self._validator,
                commitment=commitment_bytes,
                statement=statement,
            )
        )
