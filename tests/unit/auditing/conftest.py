"""A log that can be evil, its keys, and an auditor of it whose clock stands still."""

import copy
import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from heptad.auditing.alarm_folder import AlarmFolder
from heptad.auditing.auditor import Auditor
from heptad.auditing.look import look
from heptad.auditing.recheck import Chance, Rechecked, recheck
from heptad.auditing.state import AuditState, StateFolder
from heptad.auditing.terms import AuditTerms
from heptad.consensus.committee import Cell, Committee, Member, Validator
from heptad.crypto.keys import Ed25519Key
from heptad.model.entry import Entry, Kind, Outcome
from heptad.observability.logs import EventLog
from heptad.transparency.checkpoint import Checkpoint, cosign_checkpoint, sign_checkpoint
from heptad.transparency.merkle import CompactRange, leaf_hashes
from heptad.transparency.notes import Note, SignatureType, VerifierKey
from heptad.transparency.policy import KnownLog, k_of_n_policy
from heptad.transparency.receipt import Receipt
from heptad.transparency.tiled_tree import TiledTree, append_leaves
from heptad.transparency.tiles import TilePath, encode_entries
from heptad.verification import (
    BundleFile,
    SourceAwayError,
    SourceUnreadableError,
    examine_alarm,
    parse_alarm,
)
from heptad.verification.alarm_file import encode_alarm
from heptad.wire.convert.entry import encode_entry

ORIGIN = "cell.example"
NOW_S = 1_760_000_000
COSIGNED_AT_S = NOW_S - 5
QUORUM = (0, 1, 2, 3, 4)


def seeded(number: int) -> Ed25519Key:
    return Ed25519Key(bytes([number]) * 32)


LOG_SIGNER = seeded(100)
REPLICAS = [seeded(number) for number in range(1, 8)]
VALIDATOR = seeded(60)
OTHER_SIGNER = seeded(101)
LOG_KEY = VerifierKey(ORIGIN, SignatureType.LOG, LOG_SIGNER.public_key)
OTHER_KEY = VerifierKey("other.example", SignatureType.LOG, OTHER_SIGNER.public_key)
REPLICA_KEYS = [
    VerifierKey(f"replica-{number}.{ORIGIN}", SignatureType.COSIGNATURE, signer.public_key)
    for number, signer in enumerate(REPLICAS, start=1)
]
POLICY = k_of_n_policy(
    log=LOG_KEY,
    witnesses=[(f"replica-{n}", key) for n, key in enumerate(REPLICA_KEYS, start=1)],
    threshold=5,
)
CELL = Cell(
    origin=ORIGIN,
    epoch=1,
    committee=Committee(
        tuple(Member(vote_key=key.public_key, cosign_key=key.public_key) for key in REPLICAS)
    ),
    validators=(Validator(1, VALIDATOR.public_key),),
)


def entry_of(number: int, **changes) -> bytes:
    values = {
        "kind": Kind.REQUEST,
        "service": "tax-portal",
        "action": "authenticate",
        "outcome": Outcome.ALLOWED,
        "time_ms": NOW_S * 1000 + number,
        "validator": 1 + number % 2,
        "commitment": number.to_bytes(32, "big"),
    }
    return encode_entry(Entry(**{**values, **changes}))


def note_of(
    head: Checkpoint, *, cosigners=QUORUM, time_s=COSIGNED_AT_S, more=(), log_key=LOG_KEY
) -> bytes:
    """A note; `time_s` is the cosigners' time, or their times by index."""
    times = time_s if isinstance(time_s, dict) else dict.fromkeys(cosigners, time_s)
    signer = LOG_SIGNER if log_key is LOG_KEY else OTHER_SIGNER
    lines = [sign_checkpoint(head, key=log_key, sign=signer.sign)]
    lines += [
        cosign_checkpoint(head, key=REPLICA_KEYS[n], time_s=times[n], sign=REPLICAS[n].sign)
        for n in cosigners
    ]
    return Note(text=head.body(), signatures=(*lines, *more)).encode()


@dataclass
class EvilLog:
    """A log as a server would hold it: `files` by path. Its keys sign whatever they are asked to.

    `is_away` makes it unreachable, `hides` all paths that begin so; `asked` are those that
    were read. It is too `busy` to give a file of the tree so often, each file anew.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    entries: list[bytes] = field(default_factory=list)
    edge: CompactRange = field(default_factory=CompactRange.empty)
    tiles: dict[tuple[int, int], bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    is_away: bool = False
    hides: str = "nothing"
    busy: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    name: str = "https://log.example"

    def read(self, path: str) -> bytes | None:
        if self.is_away or path.startswith(self.hides):
            raise SourceUnreadableError("status 503")
        if path.startswith("tile/") and self.refused[path] < self.busy:
            self.refused[path] += 1
            raise SourceAwayError("status 429")
        self.asked.append(path)
        return self.files.get(path)

    def read_tile(self, *, level: int, index: int, width: int) -> bytes:
        return self.tiles[level, index][: 32 * width]

    def append(self, entries: Sequence[bytes], **of_note) -> None:
        """Add entries and publish: full tiles, the partial ones of this size, the checkpoint."""
        grown = append_leaves(before=self.edge, leaf_hashes=leaf_hashes(entries), tiles=self)
        first = self.edge.size // 256
        self.entries += entries
        self.edge = grown.after
        for tile in grown.tiles:
            self.tiles[tile.level, tile.index] = tile.hashes
            path = TilePath(level=tile.level, index=tile.index, width=tile.width)
            self.files[path.format()] = tile.hashes
        for start in range(first * 256, len(self.entries), 256):
            bundle = self.entries[start : start + 256]
            path = TilePath(level=None, index=start // 256, width=len(bundle))
            self.files[path.format()] = encode_entries(bundle)
        self.publish(**of_note)

    def grow(self, count: int, **of_note) -> None:
        """Add so many ordinary entries."""
        size = len(self.entries)
        self.append([entry_of(number) for number in range(size, size + count)], **of_note)

    def publish(self, **of_note) -> None:
        self.files["checkpoint"] = note_of(self.head(), **of_note)

    def head(self) -> Checkpoint:
        return Checkpoint(ORIGIN, self.edge.size, self.edge.root())

    def twin(self) -> "EvilLog":
        return copy.deepcopy(self)

    def clear_partials(self) -> None:
        """Those that have become full by now, as the standard allows."""
        for path in [path for path in self.files if ".p/" in path]:
            if path.partition(".p/")[0] in self.files:
                del self.files[path]

    def save(self, folder) -> None:
        for path, content in self.files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


@dataclass
class Bench:
    """Looks at a log with one memory, and checks every alarm as a stranger would."""

    log: EvilLog
    terms: AuditTerms = field(default_factory=lambda: AuditTerms(POLICY, "https://log.example"))
    state: AuditState = field(default_factory=AuditState)
    now_s: int = NOW_S

    def look(self):
        result = look(
            self.log.read,
            state=self.state,
            terms=self.terms,
            now_s=self.now_s,
            progress=lambda done, total: None,
        )
        self.state = AuditState.parse(result.state.encode())
        return result

    def alarms(self) -> list[str]:
        """Look, and say which alarms were raised: all of them proved off line, from their files."""
        result = self.look()
        for raised in result.raised:
            report = self.judge(raised)
            assert report.holds, (raised.alarm, raised.detail, report.findings)
        return [str(raised.alarm) for raised in result.raised]

    def recheck(self, bundles=4, *, below=lambda n: 0, clock_s=lambda: 0.0) -> Rechecked:
        """Read a few bundles again, and prove each alarm off line, from its file."""
        result = recheck(
            self.log.read,
            state=self.state,
            terms=dataclasses.replace(self.terms, recheck_bundles=bundles),
            now_s=self.now_s,
            chance=Chance(below, clock_s),
            progress=lambda done, total: None,
        )
        for raised in result.raised:
            report = self.judge(raised)
            assert report.holds, (raised.alarm, raised.detail, report.findings)
        walked = dataclasses.replace(self.state, walk=result.walk)
        self.state = AuditState.parse(walked.encode())
        assert self.state == walked
        return result

    def walk_round(self, bundles=4) -> list[str]:
        """Read on to the end of a round; say what is wrong, each thing once: alarm and file."""
        found = {}
        for _ in range(self.log.edge.size // 256 + 1):
            result = self.recheck(bundles)
            for raised in result.raised:
                found[f"{raised.alarm} {raised.shown.path_served}"] = None
            if result.is_round:
                return list(found)
        raise AssertionError("the round has no end")

    def judge(self, raised, *, cell=CELL, policy=POLICY):
        read_again = parse_alarm(encode_alarm(raised))
        assert read_again == raised
        return examine_alarm(
            read_again, policy=policy, now_s=self.now_s, cell=cell, keys=self.terms.keys
        )


@dataclass
class Tools:
    """What the tests of this folder share."""

    EvilLog = EvilLog
    Bench = Bench
    note_of = staticmethod(note_of)
    entry_of = staticmethod(entry_of)
    policy = POLICY
    cell = CELL
    replicas = REPLICAS
    replica_keys = REPLICA_KEYS
    stranger = VALIDATOR
    stranger_key = VerifierKey(ORIGIN, SignatureType.LOG, VALIDATOR.public_key)
    policy_of_two = dataclasses.replace(POLICY, logs=(*POLICY.logs, KnownLog(OTHER_KEY)))
    other_note = note_of(Checkpoint("other.example", 50, bytes(32)), log_key=OTHER_KEY)
    origin = ORIGIN
    now_s = NOW_S

    @staticmethod
    def range_of(log: EvilLog, start: int, count: int) -> BundleFile:
        """Entries of a log that stand next to each other, with their proofs."""
        tree = TiledTree(size=log.edge.size, tiles=log)
        receipt = Receipt(start, tuple(tree.inclusion_proof(start)), log.files["checkpoint"])
        entry, *behind = log.entries[start : start + count]
        proof = tree.consistency_proof(start + count)
        return BundleFile(entry, receipt, tuple(behind), tuple(proof))

    @staticmethod
    def log_of(size: int) -> EvilLog:
        log = EvilLog()
        log.grow(size)
        return log

    @staticmethod
    def bench_of(size: int, **changes) -> Bench:
        """A bench that has already seen a log of this size, all well."""
        bench = Bench(Tools.log_of(size))
        bench.terms = AuditTerms(POLICY, "https://log.example", **changes)
        assert bench.alarms() == []
        return bench


@pytest.fixture(scope="session")
def tools():
    return Tools()


@pytest.fixture
def watched(tmp_path):
    """Auditors over one state folder; each may be made after the one before was dropped."""
    folders = []

    def make(log, *, others=(), lines=None, now_s=lambda: NOW_S, **terms):
        while folders:
            folders.pop().close()
        folders.append(StateFolder(tmp_path / "state"))
        write = (lambda line: None) if lines is None else lines.append
        return Auditor(
            source=log,
            folder=folders[0],
            terms=AuditTerms(POLICY, log.name, **terms),
            log=EventLog(bound={}, write=write),
            others=others,
            now_s=now_s,
        )

    yield make
    for folder in folders:
        folder.close()


@pytest.fixture
def alarm_folder(tmp_path):
    return AlarmFolder(tmp_path)
