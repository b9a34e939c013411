"""The cell's own keys: one for request references, and the rotating routing keys.

They hang under the same effaceable root as the subjects' keys, in a node of their own:

    index key 32 | next routing key id u32be | count u16be | rows: id u32be, ms u64be, key 32

A routing key hides which records belong to one person, so it is destroyed as thoroughly as a
subject's key once every record under it is applied.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Final

from heptad.crypto.sealing import RoutingKey
from heptad.vault.errors import RoutingKeyGoneError, VaultCorruptError, VaultFullError
from heptad.vault.nodes import KEY_BYTES

ROUTING_KEYS_MAX: Final = 1_000

_HEAD_BYTES: Final = KEY_BYTES + 6
_ROW_BYTES: Final = 4 + 8 + KEY_BYTES


@dataclass(frozen=True, slots=True)
class DatedRoutingKey:
    """A routing key and when it was made, in milliseconds since 1970."""

    key: RoutingKey
    created_ms: int


@dataclass(frozen=True, slots=True)
class CellKeys:
    """All keys of the cell node; changes make a new value.

    `index_key` (32 bytes) keys the HMAC behind `by_request`. `routing` runs from the oldest to the
    current key; numbers rise and are never used twice.
    """

    index_key: bytes
    routing_id_next: int
    routing: tuple[DatedRoutingKey, ...]

    @classmethod
    def new(cls, *, now_ms: int, entropy: Callable[[int], bytes]) -> "CellKeys":
        """The keys of a new cell, with a first routing key, number 1."""
        empty = cls(entropy(KEY_BYTES), 1, ())
        return empty.with_new_routing_key(now_ms=now_ms, entropy=entropy)

    def with_new_routing_key(self, *, now_ms: int, entropy: Callable[[int], bytes]) -> "CellKeys":
        """The same with one more routing key, now the current one. Raises: VaultFullError."""
        if len(self.routing) >= ROUTING_KEYS_MAX:
            raise VaultFullError(f"{ROUTING_KEYS_MAX} routing keys are held; destroy some first")
        key = RoutingKey(self.routing_id_next, entropy(KEY_BYTES))
        return replace(
            self,
            routing_id_next=self.routing_id_next + 1,
            routing=(*self.routing, DatedRoutingKey(key, now_ms)),
        )

    def without(self, key_ids: Collection[int]) -> "CellKeys":
        """The same without some routing keys, of which the current one must not be one."""
        if self.current.key.key_id in key_ids:
            raise ValueError(f"routing key {self.current.key.key_id} is in use")
        kept = tuple(dated for dated in self.routing if dated.key.key_id not in key_ids)
        return replace(self, routing=kept)

    @property
    def current(self) -> DatedRoutingKey:
        """The key for new records."""
        return self.routing[-1]

    def routing_key(self, key_id: int) -> RoutingKey:
        """The key of that number. Raises: RoutingKeyGoneError."""
        for dated in reversed(self.routing):
            if dated.key.key_id == key_id:
                return dated.key
        raise RoutingKeyGoneError(f"routing key {key_id} is not held")

    def to_bytes(self) -> bytes:
        """The plaintext of the cell node."""
        head = self.index_key + self.routing_id_next.to_bytes(4, "big")
        return head + len(self.routing).to_bytes(2, "big") + b"".join(map(_row, self.routing))

    @classmethod
    def from_bytes(cls, plaintext: bytes) -> "CellKeys":
        """Raises: VaultCorruptError."""
        count = int.from_bytes(plaintext[KEY_BYTES + 4 : _HEAD_BYTES], "big")
        if count == 0 or len(plaintext) != _HEAD_BYTES + count * _ROW_BYTES:
            raise VaultCorruptError(f"the cell node has {len(plaintext)} bytes for {count} keys")
        routing_id_next = int.from_bytes(plaintext[KEY_BYTES : KEY_BYTES + 4], "big")
        rows = range(_HEAD_BYTES, len(plaintext), _ROW_BYTES)
        routing = tuple(_parse_row(plaintext[at : at + _ROW_BYTES]) for at in rows)
        return cls(plaintext[:KEY_BYTES], routing_id_next, routing)

    def __repr__(self) -> str:
        return f"CellKeys(routing={[dated.key.key_id for dated in self.routing]})"


def _row(dated: DatedRoutingKey) -> bytes:
    ids = dated.key.key_id.to_bytes(4, "big") + dated.created_ms.to_bytes(8, "big")
    return ids + dated.key.key


def _parse_row(row: bytes) -> DatedRoutingKey:
    key = RoutingKey(int.from_bytes(row[:4], "big"), row[12:])
    return DatedRoutingKey(key, int.from_bytes(row[4:12], "big"))
