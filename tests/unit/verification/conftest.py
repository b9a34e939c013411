"""A small log with seven cosigners, its tiles in a dict, and a signed request in it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from heptad.crypto.keys import Ed25519Key
from heptad.crypto.requests import sign_request
from heptad.crypto.sealing import commitment
from heptad.model.entry import Entry, Kind, Outcome
from heptad.transparency.checkpoint import Checkpoint, cosign_checkpoint, sign_checkpoint
from heptad.transparency.merkle import CompactRange, leaf_hashes
from heptad.transparency.notes import Note, Sign, SignatureType, VerifierKey
from heptad.transparency.policy import KnownLog, Policy, k_of_n_policy
from heptad.transparency.receipt import Receipt
from heptad.transparency.tiled_tree import append_leaves, inclusion_proof
from heptad.transparency.tiles import FetchedTiles, TilePath, encode_entries
from heptad.verification import ReceiptFile
from heptad.wire.convert.entry import encode_entry

ORIGIN = "cell.example"
NOW_S = 1_760_000_000
COSIGNED_AT_S = NOW_S - 5


def seeded(number: int) -> Ed25519Key:
    return Ed25519Key(bytes([number]) * 32)


LOG_SIGNER = seeded(100)
REPLICA_SIGNERS = [seeded(number) for number in range(1, 8)]
SUBJECT = seeded(50)
LOG_KEY = VerifierKey(ORIGIN, SignatureType.LOG, LOG_SIGNER.public_key)
REPLICA_KEYS = [
    VerifierKey(f"replica-{number}.{ORIGIN}", SignatureType.COSIGNATURE, signer.public_key)
    for number, signer in enumerate(REPLICA_SIGNERS, start=1)
]


def policy_of(threshold: int = 5) -> Policy:
    witnesses = [(f"replica-{n}", key) for n, key in enumerate(REPLICA_KEYS, start=1)]
    return k_of_n_policy(log=LOG_KEY, witnesses=witnesses, threshold=threshold)


def note_of(
    checkpoint: Checkpoint,
    *,
    cosigners: Sequence[int] = (0, 1, 2, 3, 4),
    time_s: int = COSIGNED_AT_S,
    log_key: VerifierKey = LOG_KEY,
    log_sign: Sign = LOG_SIGNER.sign,
) -> bytes:
    signatures = [sign_checkpoint(checkpoint, key=log_key, sign=log_sign)]
    signatures += [
        cosign_checkpoint(
            checkpoint, key=REPLICA_KEYS[n], time_s=time_s, sign=REPLICA_SIGNERS[n].sign
        )
        for n in cosigners
    ]
    return Note(text=checkpoint.body(), signatures=tuple(signatures)).encode()


@dataclass
class SmallLog:
    """A log as a server would hold it: `files` by path, of every size that was published."""

    files: dict[str, bytes] = field(default_factory=dict)
    entries: list[bytes] = field(default_factory=list)
    edge: CompactRange = field(default_factory=CompactRange.empty)
    tiles: dict[tuple[int, int], bytes] = field(default_factory=dict)

    def read(self, path: str) -> bytes | None:
        return self.files.get(path)

    def read_tile(self, *, level: int, index: int, width: int) -> bytes:
        return self.tiles[level, index][: 32 * width]

    def append(self, entries: Sequence[bytes]) -> None:
        """Add entries and publish: full tiles, the partial ones of this size, the checkpoint."""
        grown = append_leaves(before=self.edge, leaf_hashes=leaf_hashes(entries), tiles=self)
        self.entries += entries
        self.edge = grown.after
        for tile in grown.tiles:
            self.tiles[tile.level, tile.index] = tile.hashes
            path = TilePath(level=tile.level, index=tile.index, width=tile.width)
            self.files[path.format()] = tile.hashes
        for start in range(0, len(self.entries), 256):
            bundle = self.entries[start : start + 256]
            path = TilePath(level=None, index=start // 256, width=len(bundle))
            self.files[path.format()] = encode_entries(bundle)
        self.files["checkpoint"] = note_of(self.checkpoint())

    def checkpoint(self) -> Checkpoint:
        return Checkpoint(ORIGIN, self.edge.size, self.edge.root())

    def receipt(self, index: int, note: bytes | None = None) -> Receipt:
        proof = inclusion_proof(
            leaf_index=index, tree_size=self.edge.size, tiles=FetchedTiles(self.read)
        )
        return Receipt(index, tuple(proof), note or self.files["checkpoint"])


def plain_entry(number: int) -> bytes:
    entry = Entry(
        kind=Kind.REQUEST,
        service="tax-portal",
        action="authenticate",
        outcome=Outcome.ALLOWED,
        time_ms=NOW_S * 1000 + number,
        validator=1 + number % 2,
        commitment=bytes([number % 256]) * 32,
    )
    return encode_entry(entry)


PAYLOAD = sign_request(
    SUBJECT,
    iss="kn-abcdefghijklmnopqrstuvwxyz",
    aud=ORIGIN,
    jti="0b8f1f9e-6c1f-4c39-9c57-52a0d2fdd8a1",
    iat=NOW_S,
    exp=NOW_S + 300,
    svc="tax-portal",
    act="consent.grant",
    data={"purpose": "address"},
)
WITNESS = bytes(range(32))
REQUEST_INDEX = 7
REQUEST_ENTRY = Entry(
    kind=Kind.REQUEST,
    service="tax-portal",
    action="consent.grant",
    outcome=Outcome.ALLOWED,
    time_ms=NOW_S * 1000,
    validator=1,
    commitment=commitment(witness=WITNESS, payload=PAYLOAD),
)


def log_of(size: int) -> SmallLog:
    log = SmallLog()
    entries = [plain_entry(number) for number in range(size)]
    if size > REQUEST_INDEX:
        entries[REQUEST_INDEX] = encode_entry(REQUEST_ENTRY)
    log.append(entries)
    return log


@pytest.fixture
def make_log():
    return log_of


@pytest.fixture
def policy() -> Policy:
    return policy_of()


@pytest.fixture
def make_note():
    return note_of


@pytest.fixture
def make_other_note():
    """A good note of another log with the same witnesses, and that log."""

    def make(size):
        signer = seeded(101)
        key = VerifierKey("other.example", SignatureType.LOG, signer.public_key)
        head = Checkpoint("other.example", size, bytes(32))
        return note_of(head, log_key=key, log_sign=signer.sign), KnownLog(key)

    return make


@pytest.fixture
def request_entry() -> Entry:
    return REQUEST_ENTRY


@pytest.fixture
def log() -> SmallLog:
    return log_of(20)


@pytest.fixture
def receipt_file(log) -> ReceiptFile:
    return ReceiptFile(log.entries[REQUEST_INDEX], log.receipt(REQUEST_INDEX), PAYLOAD, WITNESS)


@pytest.fixture
def now_s() -> int:
    return NOW_S
