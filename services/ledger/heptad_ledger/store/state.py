"""Where the ledger stands: one row, written by the same transaction as what it describes."""

from dataclasses import dataclass
from typing import Self

from heptad.model.canonical import MalformedError, Reader, Writer
from heptad.transparency.errors import FormatError
from heptad.transparency.merkle import CompactRange
from heptad_ledger.errors import StoreDamagedError

_STATE_VERSION = 1
_EDGE_BYTES_MAX = 8 + 64 * 32


@dataclass(frozen=True, slots=True)
class AppliedState:
    """The ledger after some block.

    `height`, `block_id` (32 bytes) and `time_ms` (Unix) are those of the last applied block, `edge`
    is the log's right edge after it. `subjects` counts registrations, `duplicates` later copies of
    requests, `unfiled` sealed records that could not be filed (see `heptad_ledger.filing`).
    """

    height: int
    block_id: bytes
    time_ms: int
    edge: CompactRange
    subjects: int = 0
    duplicates: int = 0
    unfiled: int = 0

    @property
    def size(self) -> int:
        """Entries in the log."""
        return self.edge.size

    def encode(self) -> bytes:
        """The row's bytes."""
        writer = Writer().u8(_STATE_VERSION).u64(self.height).digest(self.block_id)
        writer.u64(self.time_ms).u64(self.subjects).u64(self.duplicates).u64(self.unfiled)
        return writer.bytes32(self.edge.encode()).done()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read what `encode` wrote. Raises: StoreDamagedError."""
        reader = Reader(data)
        try:
            version = reader.u8()
            if version != _STATE_VERSION:
                raise StoreDamagedError(f"the state has version {version}, not {_STATE_VERSION}")
            height, block_id, time_ms = reader.u64(), reader.digest(), reader.u64()
            subjects, duplicates, unfiled = reader.u64(), reader.u64(), reader.u64()
            edge = CompactRange.decode(reader.bytes32(size_max=_EDGE_BYTES_MAX))
            reader.end()
        except (MalformedError, FormatError) as error:
            raise StoreDamagedError(f"the state cannot be read: {error}") from error
        return cls(
            height=height,
            block_id=block_id,
            time_ms=time_ms,
            edge=edge,
            subjects=subjects,
            duplicates=duplicates,
            unfiled=unfiled,
        )
