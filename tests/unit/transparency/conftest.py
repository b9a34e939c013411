"""A log small enough to check by its definition, keys that sign, and a store of tiles."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from heptad.transparency.checkpoint import Checkpoint, cosign_checkpoint, sign_checkpoint
from heptad.transparency.merkle import CompactRange, leaf_hash, node_hash
from heptad.transparency.notes import Note, NoteSignature, SignatureType, VerifierKey
from heptad.transparency.policy import Policy, k_of_n_policy
from heptad.transparency.tiled_tree import append_leaves

ORIGIN = "cell.example/heptad"
NOW_S = 1_760_000_000


def root_by_definition(leaf_hashes: Sequence[bytes]) -> bytes:
    """The recursion of RFC 9162, section 2.1.1, word for word: slow, and plainly right."""
    if len(leaf_hashes) == 1:
        return leaf_hashes[0]
    split = 1
    while split * 2 < len(leaf_hashes):
        split *= 2
    left, right = leaf_hashes[:split], leaf_hashes[split:]
    return node_hash(root_by_definition(left), root_by_definition(right))


def inclusion_by_definition(index: int, leaf_hashes: Sequence[bytes]) -> list[bytes]:
    """PATH of RFC 9162, section 2.1.3.1."""
    if len(leaf_hashes) == 1:
        return []
    split = 1
    while split * 2 < len(leaf_hashes):
        split *= 2
    left, right = leaf_hashes[:split], leaf_hashes[split:]
    if index < split:
        return [*inclusion_by_definition(index, left), root_by_definition(right)]
    return [*inclusion_by_definition(index - split, right), root_by_definition(left)]


def consistency_by_definition(
    old_size: int, leaf_hashes: Sequence[bytes], *, known: bool = True
) -> list[bytes]:
    """SUBPROOF of RFC 9162, section 2.1.4.1."""
    if old_size == len(leaf_hashes):
        return [] if known else [root_by_definition(leaf_hashes)]
    split = 1
    while split * 2 < len(leaf_hashes):
        split *= 2
    left, right = leaf_hashes[:split], leaf_hashes[split:]
    if old_size <= split:
        return [*consistency_by_definition(old_size, left, known=known), root_by_definition(right)]
    return [
        *consistency_by_definition(old_size - split, right, known=False),
        root_by_definition(left),
    ]


@dataclass
class Definition:
    root: Callable[[Sequence[bytes]], bytes] = root_by_definition
    inclusion: Callable[[int, Sequence[bytes]], list[bytes]] = inclusion_by_definition
    consistency: Callable[..., list[bytes]] = consistency_by_definition


@dataclass
class MemoryTiles:
    """A `HashReader` over a dict, which counts its reads; it may cut wider tiles, as LMDB does."""

    edge: CompactRange = field(default_factory=CompactRange.empty)
    tiles: dict[tuple[int, int], bytes] = field(default_factory=dict)
    reads: list[tuple[int, int, int]] = field(default_factory=list)

    def read_tile(self, *, level: int, index: int, width: int) -> bytes:
        self.reads.append((level, index, width))
        return self.tiles.get((level, index), b"")[: width * 32]

    def append(self, leaf_hashes: Sequence[bytes]) -> None:
        appended = append_leaves(before=self.edge, leaf_hashes=leaf_hashes, tiles=self)
        for tile in appended.tiles:
            self.tiles[tile.level, tile.index] = tile.hashes
        self.edge = appended.after


@dataclass
class Signer:
    """A key with its name: signs checkpoints or cosigns them, whatever its type is."""

    key: VerifierKey
    private: Ed25519PrivateKey

    def sign(self, checkpoint: Checkpoint, *, time_s: int = NOW_S) -> NoteSignature:
        if self.key.type is SignatureType.LOG:
            return sign_checkpoint(checkpoint, key=self.key, sign=self.private.sign)
        return cosign_checkpoint(checkpoint, key=self.key, time_s=time_s, sign=self.private.sign)


def make_signer(name: str, signature_type: SignatureType, seed: int) -> Signer:
    private = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
    public = private.public_key().public_bytes_raw()
    return Signer(VerifierKey(name, signature_type, public), private)


@dataclass
class Cell:
    """A log's key, seven replicas' keys, and the policy that asks for five of them."""

    log: Signer
    replicas: list[Signer]
    policy: Policy

    def note(self, checkpoint: Checkpoint, *, cosigners: int, time_s: int = NOW_S) -> bytes:
        lines = [self.log.sign(checkpoint)]
        lines += [replica.sign(checkpoint, time_s=time_s) for replica in self.replicas[:cosigners]]
        return Note(checkpoint.body(), tuple(lines)).encode()


@pytest.fixture(scope="session")
def definition() -> Definition:
    return Definition()


@pytest.fixture(scope="session")
def hashes() -> list[bytes]:
    """Leaf hashes of 70,000 entries that all differ: enough for three levels of tiles."""
    return [leaf_hash(index.to_bytes(4, "big")) for index in range(70_000)]


@pytest.fixture(scope="session")
def new_tiles() -> Callable[[], MemoryTiles]:
    return MemoryTiles


@pytest.fixture(scope="session")
def new_signer() -> Callable[[str, SignatureType, int], Signer]:
    return make_signer


@pytest.fixture(scope="session")
def cell() -> Cell:
    log = make_signer(ORIGIN, SignatureType.LOG, 100)
    replicas = [
        make_signer(f"{ORIGIN}/replica-{number}", SignatureType.COSIGNATURE, number)
        for number in range(1, 8)
    ]
    named = [(f"replica-{number}", signer.key) for number, signer in enumerate(replicas, start=1)]
    return Cell(log, replicas, k_of_n_policy(log=log.key, witnesses=named, threshold=5))


@pytest.fixture(scope="session")
def head(hashes: list[bytes]) -> Checkpoint:
    """A log of 300 entries: the big-endian numbers 0 to 299."""
    return Checkpoint(ORIGIN, 300, root_by_definition(hashes[:300]))
