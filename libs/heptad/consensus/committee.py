"""Who takes part: the members, their keys, the sizes of quorums, and the genesis block.

For n members f = (n - 1) // 3 may be Byzantine, and a quorum is q = n - f, never 2f + 1: the two
differ unless n = 3f + 1, and only n - f makes any two quorums meet in an honest member for every n.
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from heptad.model.canonical import Writer
from heptad.model.ids import Epoch, MemberIndex, ValidatorNumber

MEMBERS_MAX: Final = 64
VALIDATORS_MAX: Final = 256
LATER_KEYS_MAX: Final = 1_000
"""Batch keys of one validator after its first: a rotation a month for eighty years."""


@dataclass(frozen=True, slots=True)
class Member:
    """One replica's public keys, Ed25519, 32 bytes each: one key for each role."""

    vote_key: bytes
    cosign_key: bytes


@dataclass(frozen=True, slots=True)
class LaterKey:
    """A batch key, Ed25519, 32 bytes, that takes over from this incarnation of its validator on."""

    from_incarnation: int
    batch_key: bytes


@dataclass(frozen=True, slots=True)
class Validator:
    """A validator's number, its first batch key (Ed25519, 32 bytes), and those that took over.

    A key takes over at an incarnation and not at a time: a batch says its incarnation itself and
    nobody's clock can be wrong about it, replicas never go back behind the last one committed, and
    so a key that is replaced signs nothing more once its successor's first batch is in the log.
    Keys that have been replaced stay, for what they signed is to be checked for ever.
    """

    number: ValidatorNumber
    batch_key: bytes
    later_keys: tuple[LaterKey, ...] = ()

    def __post_init__(self) -> None:
        """Refuse keys that are not in the order in which they took over."""
        starts = [later.from_incarnation for later in self.later_keys]
        assert all(start > 0 for start in starts), starts
        assert starts == sorted(set(starts)), starts
        assert len(starts) <= LATER_KEYS_MAX, len(starts)

    def batch_key_for(self, incarnation: int) -> bytes:
        """The one key whose signature counts under batches of this incarnation."""
        for later in reversed(self.later_keys):
            if later.from_incarnation <= incarnation:
                return later.batch_key
        return self.batch_key


@dataclass(frozen=True, slots=True)
class Committee:
    """The members in the order of their indexes: `members[0]` is `replica-1`."""

    members: tuple[Member, ...]

    def __post_init__(self) -> None:
        """Refuse a group of a size that a one-byte index or the rules cannot carry."""
        assert 1 <= len(self.members) <= MEMBERS_MAX, len(self.members)

    @property
    def n(self) -> int:
        """How many members there are."""
        return len(self.members)

    @property
    def f(self) -> int:
        """How many of them may be Byzantine."""
        return (len(self.members) - 1) // 3

    @property
    def quorum(self) -> int:
        """How many distinct members make a certificate: n - f."""
        return len(self.members) - self.f

    @property
    def indexes(self) -> tuple[MemberIndex, ...]:
        """All indexes, ascending."""
        return tuple(MemberIndex(index) for index in range(len(self.members)))

    def others(self, me: MemberIndex) -> tuple[MemberIndex, ...]:
        """All indexes but mine, ascending."""
        return tuple(index for index in self.indexes if index != me)


@dataclass(frozen=True, slots=True)
class Cell:
    """All that the replicas of one cell agree on before the first round.

    `origin` is the log's origin line (a scheme-less URL). Two cells that differ in any field have
    different genesis blocks, so nothing of one is ever valid in the other.
    """

    origin: str
    epoch: Epoch
    committee: Committee
    validators: tuple[Validator, ...]

    def __post_init__(self) -> None:
        """Refuse validators that share a number."""
        numbers = [validator.number for validator in self.validators]
        assert len(numbers) == len(set(numbers)) <= VALIDATORS_MAX, numbers

    def membership_hash(self) -> bytes:
        """SHA-256 over origin, epoch, members and validators with their first keys; 32 bytes.

        Keys that took over later are left out: the genesis block is what it was.
        """
        writer = Writer().bytes16(self.origin.encode("utf-8")).u64(self.epoch)
        writer.u8(self.committee.n)
        for member in self.committee.members:
            writer.bytes16(member.vote_key).bytes16(member.cosign_key)
        writer.u16(len(self.validators))
        for validator in sorted(self.validators, key=lambda each: each.number):
            writer.u32(validator.number).bytes16(validator.batch_key)
        return sha256(writer.done()).digest()
