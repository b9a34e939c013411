"""One erasure as the ledger keeps it, from the request to the certificate: the value and its bytes.

A case says nothing that its public statements do not, but for the request's own id, which leads
whoever has it to the answer. There is no subject id in it and no index of a record, for it outlives
both: what ties a case to a person is its slot, whose key is destroyed, and the tombstone, which
only that person's id finds.
"""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, TypeVar

from heptad.model.canonical import MalformedError, Reader, Writer
from heptad.model.erasure import ErasureGround, ErasureState, OrderedBy, RefusalGround
from heptad_ledger.errors import StoreDamagedError

NO_SLOT: Final = 0
"""Slot of a refusal that was found in the log without its request: a refusal names none."""

_VERSION: Final = 1
_NONE: Final = (1 << 64) - 1


class Decision(IntEnum):
    """What is to become of a case that is `received`."""

    OPEN = 0
    """Nobody has said; the ledger decides by its rules."""

    ORDER = 1
    REFUSE = 2


class Progress(IntEnum):
    """How far this ledger has carried an order out."""

    NONE = 0
    ROWS_DELETED = 1
    DESTROYED = 2
    ABSENT = 3
    """The slot is not, or no longer, that of the order: an older vault's. Nothing is done here."""


@dataclass(frozen=True, slots=True)
class ErasureCase:
    """An erasure that was asked for.

    `number` counts cases from 1. Digests and hashes have 32 bytes, or none where they are not
    known: after a rebuild from the log the request's hash is found again only with its record.
    Times are Unix ms, indexes those of the log, None until the entry is applied. `statement` is
    what validators are asked to record next. `epoch` is the vault's after the key was destroyed.
    """

    number: int
    slot: int
    state: ErasureState
    ordered_by: OrderedBy
    ground: ErasureGround
    received_ms: int
    request_digest: bytes = b""
    refusal_digest: bytes = b""
    request_hash: bytes = b""
    pseudonym: bytes = b""
    decision: Decision = Decision.OPEN
    refusal: RefusalGround | None = None
    decided_ms: int = 0
    statement: bytes = field(default=b"", repr=False)
    order_index: int | None = None
    end_index: int | None = None
    progress: Progress = Progress.NONE
    ciphertexts: int = 0
    index_rows: int = 0
    epoch: int = 0
    root_hash: bytes = b""
    destroyed_ms: int = 0
    waits: bool = False
    """An officer has to decide; until one has, the ledger has nothing to do."""

    aliases: int = 0
    """Further requests that this case answers too."""

    @property
    def is_executed(self) -> bool:
        """Nothing is left to be destroyed here."""
        return self.progress in (Progress.DESTROYED, Progress.ABSENT)

    @property
    def is_open(self) -> bool:
        """Somebody still has to do something: decide, destroy, or attest."""
        match self.state:
            case ErasureState.RECEIVED:
                return True
            case ErasureState.ORDERED:
                return self.progress is not Progress.ABSENT
            case ErasureState.ERASED:
                return not self.is_executed
            case ErasureState.REFUSED:
                return False

    @property
    def is_to_execute(self) -> bool:
        """The log has the order, and the key is still here."""
        is_ordered = self.state in (ErasureState.ORDERED, ErasureState.ERASED)
        return is_ordered and not self.is_executed

    def encode(self) -> bytes:
        """The row's bytes."""
        writer = Writer().u8(_VERSION).u64(self.number).u64(self.slot)
        for word in (self.state, self.ordered_by, self.ground, self.refusal or ""):
            writer.bytes16(word.encode("ascii"))
        for data in (
            self.request_digest,
            self.refusal_digest,
            self.request_hash,
            self.pseudonym,
            self.root_hash,
            self.statement,
        ):
            writer.bytes16(data)
        writer.u8(self.decision).u8(self.progress).u8(self.waits)
        for index in (self.order_index, self.end_index):
            writer.u64(_NONE if index is None else index)
        for number in (
            self.received_ms,
            self.decided_ms,
            self.ciphertexts,
            self.index_rows,
            self.epoch,
            self.destroyed_ms,
            self.aliases,
        ):
            writer.u64(number)
        return writer.done()

    @classmethod
    def decode(cls, data: bytes) -> "ErasureCase":
        """Read what `encode` wrote. Raises: StoreDamagedError."""
        try:
            return _decoded(Reader(data))
        except (MalformedError, ValueError) as error:
            raise StoreDamagedError(f"a case of erasure cannot be read: {error}") from error


def _decoded(reader: Reader) -> ErasureCase:
    if (version := reader.u8()) != _VERSION:
        raise MalformedError(f"version {version}, not {_VERSION}")
    number, slot = reader.u64(), reader.u64()
    state, ordered_by = _word(reader, ErasureState), _word(reader, OrderedBy)
    ground, refusal = _word(reader, ErasureGround), reader.bytes16().decode("ascii")
    request_digest, refusal_digest = reader.bytes16(), reader.bytes16()
    request_hash, pseudonym, root_hash = reader.bytes16(), reader.bytes16(), reader.bytes16()
    statement = reader.bytes16()
    decision, progress, waits = Decision(reader.u8()), Progress(reader.u8()), reader.u8() == 1
    order_index, end_index = _index(reader), _index(reader)
    case = ErasureCase(
        number=number,
        slot=slot,
        state=state,
        ordered_by=ordered_by,
        ground=ground,
        refusal=RefusalGround(refusal) if refusal else None,
        request_digest=request_digest,
        refusal_digest=refusal_digest,
        request_hash=request_hash,
        pseudonym=pseudonym,
        root_hash=root_hash,
        statement=statement,
        decision=decision,
        progress=progress,
        waits=waits,
        order_index=order_index,
        end_index=end_index,
        received_ms=reader.u64(),
        decided_ms=reader.u64(),
        ciphertexts=reader.u64(),
        index_rows=reader.u64(),
        epoch=reader.u64(),
        destroyed_ms=reader.u64(),
        aliases=reader.u64(),
    )
    reader.end()
    return case


WordT = TypeVar("WordT", ErasureState, OrderedBy, ErasureGround)


def _word(reader: Reader, words: type[WordT]) -> WordT:
    return words(reader.bytes16().decode("ascii"))


def _index(reader: Reader) -> int | None:
    value = reader.u64()
    return None if value == _NONE else value
