"""A cell without a network: real drivers and cores, simulated time, keys that are only hashes.

The signatures here are SHA-256 over key and message: the rules under test do not depend on the
curve, and a group of seven runs hundreds of rounds a second.
"""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count

import pytest

from heptad.consensus.certificates import Certificates
from heptad.consensus.codec import (
    decode_block,
    encode_proof,
    new_qc,
    new_tc,
    timeout_signing_bytes,
    vote_signing_bytes,
)
from heptad.consensus.committee import Cell, Committee, Member, Validator
from heptad.consensus.driver import Driver
from heptad.consensus.events import BatchReceived, Event, MessageReceived, TimerFired
from heptad.consensus.genesis import genesis_block, genesis_qc
from heptad.consensus.judging import Judge
from heptad.consensus.kernel.record import first_record
from heptad.consensus.kernel.rules import Kernel
from heptad.consensus.leaders import Schedule
from heptad.consensus.limits import Limits
from heptad.consensus.messages import Message, decode_message, encode_message
from heptad.consensus.objects import (
    QC,
    TC,
    Block,
    CommittedBlock,
    SafetyRecord,
    TimeoutClaim,
    Vote,
)
from heptad.consensus.pool import BatchReader
from heptad.consensus.ports import Restored, StoredCommit, StoredSnapshot
from heptad.consensus.ready import Persist
from heptad.consensus.state import ChainState
from heptad.consensus.tree import Node
from heptad.consensus.validity import Validity
from heptad.consensus.verified import VerifiedBlock
from heptad.model.batch import Batch, batch_signing_bytes, encode_batch, signed, unsigned_batch
from heptad.model.ids import BlockId, Epoch, Height, MemberIndex, Round, ValidatorNumber
from heptad.model.problems import Problem
from heptad.transparency.subtrees import Growth

ORIGIN = "cell.example/log"
START_MS = 1_800_000_000_000


class HashKey:
    """A key pair whose public half is its private half: for tests of rules, not of curves."""

    def __init__(self, name: str) -> None:
        self.public = sha256(name.encode()).digest()
        self.signed: list[bytes] = []

    def sign(self, message: bytes) -> bytes:
        self.signed.append(message)
        return hash_signature(self.public, message)


def hash_signature(key: bytes, message: bytes) -> bytes:
    digest = sha256(key + message).digest()
    return digest + digest


class HashVerifier:
    """Checks what HashKey signs, and counts how often it had to."""

    def __init__(self) -> None:
        self.checked = 0

    def verify(self, *, public_key: bytes, message: bytes, signature: bytes) -> None:
        self.checked += 1
        if signature != hash_signature(public_key, message):
            raise Problem("signature_invalid", "the hashes differ")


class WriteFailedError(OSError):
    """The simulated disk has failed."""


class MemoryStore:
    """A store whose transactions are atomic; it outlives the drivers that use it."""

    def __init__(self) -> None:
        self.record: bytes | None = None
        self.state: bytes | None = None
        self.evidence = b""
        self.headers: dict[bytes, bytes] = {}
        self.uncommitted: set[bytes] = set()
        self.batches: dict[bytes, bytes] = {}
        self.heights: dict[int, StoredCommit] = {}
        self.height = 0
        self.grown: list = []
        self.writes: list[Persist] = []
        self.fails = False

    def load(self) -> Restored | None:
        if self.record is None and self.state is None:
            return None
        blocks = tuple(self.headers[each] for each in self.uncommitted)
        digests = {ref.digest for each in blocks for ref in decode_block(each).batches}
        batches = tuple(self.batches[each] for each in digests if each in self.batches)
        return Restored(self.record, self.state, blocks, batches, self.evidence)

    def write(self, persist: Persist) -> None:
        if self.fails:
            raise WriteFailedError("the simulated disk failed")
        self.writes.append(persist)
        self.record = persist.record or self.record
        self.state = persist.state or self.state
        self.evidence = self.evidence if persist.evidence is None else persist.evidence
        self.batches.update(persist.batches)
        for block in persist.blocks:
            self.headers[block.id] = block.encoded
            self.uncommitted.add(block.id)
        for commit in persist.commits:
            if commit.is_jump:
                assert commit.block.height > self.height
                self.headers[commit.block.id] = commit.block.encoded
            else:
                assert commit.block.id in self.headers
                assert all(ref.digest in self.batches for ref in commit.block.batches)
                assert commit.block.height == self.height + 1
            self.height = commit.block.height
            self.grown += commit.grown
            proof = encode_proof(commit.proof) if commit.proof is not None else b""
            self.heights[commit.block.height] = StoredCommit(commit.block.encoded, proof)
            self.uncommitted.discard(commit.block.id)
        for block_id in persist.blocks_dropped:
            self.uncommitted.discard(block_id)
            self.headers.pop(block_id)
        for digest in persist.batches_dropped:
            self.batches.pop(digest)

    def block(self, block_id: BlockId) -> bytes | None:
        return self.headers.get(block_id)

    def batch(self, digest: bytes) -> bytes | None:
        return self.batches.get(digest)

    def committed(self, height: Height) -> StoredCommit | None:
        return self.heights.get(height)

    def snapshot(self) -> StoredSnapshot | None:
        last = self.heights.get(self.height)
        return StoredSnapshot(self.state, last.proof) if last is not None else None

    def growth(self, size: int) -> Growth | None:
        return next((growth for growth in self.grown if growth.end >= size), None)

    def prune(self, keep: int) -> None:
        for height in [each for each in self.heights if each <= self.height - keep]:
            block = decode_block(self.heights.pop(height).block)
            del self.headers[block.id]
            for ref in block.batches:
                self.batches.pop(ref.digest, None)


@dataclass
class Replica:
    """One member: its disk, its process (None while it is down), and what it has told."""

    index: MemberIndex
    store: MemoryStore
    driver: Driver | None = None
    commits: list[CommittedBlock] = field(default_factory=list)
    cosignatures: list = field(default_factory=list)
    outcomes: list = field(default_factory=list)
    facts: list = field(default_factory=list)

    def committed(self, commits: Sequence[CommittedBlock]) -> None:
        self.commits += commits

    def cosigned(self, cosignatures: Sequence) -> None:
        self.cosignatures += cosignatures

    def answered(self, outcomes: Sequence) -> None:
        self.outcomes += outcomes

    def observed(self, facts: Sequence) -> None:
        self.facts += facts

    def log(self) -> list[tuple[int, int, int]]:
        return [ref.id for commit in self.commits for ref in commit.block.batches]

    def named(self, name: str) -> list[dict]:
        return [dict(fact.fields) for fact in self.facts if fact.name == name]


class Port:
    """A replica's outbox: puts its messages on the world's wire."""

    def __init__(self, world: "World", source: MemberIndex) -> None:
        self._world = world
        self._source = source

    def send(self, targets: tuple[MemberIndex, ...], payload: bytes) -> None:
        for target in targets:
            self._world.post(self._source, target, payload)


class World:
    """Seven (or n) replicas, a wire with 1 ms latency, and a clock that only this world moves."""

    def __init__(self, n: int = 7, limits: Limits | None = None, validators: int = 2) -> None:
        self.limits = limits or Limits()
        self.vote_keys = [HashKey(f"vote {index}") for index in range(n)]
        self.cosign_keys = [HashKey(f"cosign {index}") for index in range(n)]
        self.batch_keys = {
            number: HashKey(f"batch {number}") for number in range(1, validators + 1)
        }
        self.cell = Cell(
            origin=ORIGIN,
            epoch=Epoch(1),
            committee=Committee(
                tuple(
                    Member(vote.public, cosign.public)
                    for vote, cosign in zip(self.vote_keys, self.cosign_keys, strict=True)
                )
            ),
            validators=tuple(
                Validator(ValidatorNumber(number), key.public)
                for number, key in self.batch_keys.items()
            ),
        )
        self.verifier = HashVerifier()
        self.now_ms = START_MS
        self.latency_ms = 1
        self.drop: Callable[[int, int, Message], bool] = lambda *_: False
        self.delay_ms: Callable[[int, int, Message], int] = lambda *_: self.latency_ms
        self.sent: list[tuple[int, int, int, Message]] = []
        self._wire: list[tuple[int, int, int, Event]] = []
        self._order = count()
        self._last: dict[tuple[int, int], int] = {}
        self.replicas = [Replica(MemberIndex(index), MemoryStore()) for index in range(n)]

    def start(self, *indexes: int) -> "World":
        for index in indexes or range(len(self.replicas)):
            self.restart(index, is_new=True)
        return self

    def restart(self, index: int, *, is_new: bool = False) -> None:
        replica = self.replicas[index]
        replica.driver = Driver(
            cell=self.cell,
            me=replica.index,
            limits=self.limits,
            vote_signer=self.vote_keys[index],
            cosigner=self.cosign_keys[index],
            verifier=self.verifier,
            store=replica.store,
            outbox=Port(self, replica.index),
            sink=replica,
            is_new=is_new,
        )
        replica.driver.start(self.now_ms)

    def port(self, index: int) -> Port:
        return Port(self, MemberIndex(index))

    def crash(self, *indexes: int) -> None:
        for index in indexes:
            self.replicas[index].driver = None

    def post(self, source: int, target: int, payload: bytes) -> None:
        message = decode_message(payload)
        self.sent.append((self.now_ms, source, target, message))
        if not self.drop(source, target, message):
            at = self.now_ms + self.delay_ms(source, target, message)
            self.at(at, target, MessageReceived(MemberIndex(source), payload))

    def inject(self, source: int, target: int, message: Message) -> None:
        """Deliver a message that `source` is made to have sent, at once."""
        event = MessageReceived(MemberIndex(source), encode_message(message))
        self.deliver(target, event)

    def at(self, at_ms: int, target: int, event: Event) -> None:
        heapq.heappush(self._wire, (at_ms, next(self._order), target, event))

    def deliver(self, target: int, *events: Event) -> None:
        driver = self.replicas[target].driver
        if driver is not None:
            driver.run(events, self.now_ms)

    def batch(
        self, validator: int = 1, sequence: int = 0, incarnation: int = 1, records: int = 3
    ) -> Batch:
        batch = unsigned_batch(
            validator=ValidatorNumber(validator),
            incarnation=incarnation,
            sequence=sequence,
            created_ms=self.now_ms,
            records=[
                (b"entry %d.%d.%d" % (validator, sequence, i), b"sealed") for i in range(records)
            ],
        )
        message = batch_signing_bytes(origin=ORIGIN, digest=batch.digest)
        return signed(batch, self.batch_keys[validator].sign(message))

    def submit(self, batch: Batch, to: Sequence[int] | None = None) -> None:
        for index in range(len(self.replicas)) if to is None else to:
            self.deliver(index, BatchReceived(batch.header.validator, encode_batch(batch)))

    def next_ms(self) -> int | None:
        timers = [
            replica.driver.timer_at_ms
            for replica in self.replicas
            if replica.driver is not None and replica.driver.timer_at_ms is not None
        ]
        wire = [self._wire[0][0]] if self._wire else []
        return min(timers + wire, default=None)

    def run(self, *, for_ms: int | None = None, until: Callable[[], bool] = lambda: False) -> None:
        """Move time on until nothing is left to happen, or `until` holds; or for `for_ms`."""
        end = self.now_ms + (60_000 if for_ms is None else for_ms)
        while not until():
            at = self.next_ms()
            if at is None or at > end:
                if for_ms is not None or at is not None:
                    self.now_ms = end
                return
            self.now_ms = max(self.now_ms, at)
            self._step()

    def _step(self) -> None:
        arrived: dict[int, list[Event]] = {}
        while self._wire and self._wire[0][0] <= self.now_ms:
            _, _, target, event = heapq.heappop(self._wire)
            arrived.setdefault(target, []).append(event)
        for replica in self.replicas:
            events = arrived.get(replica.index, [])
            driver = replica.driver
            if driver is None:
                continue
            if driver.timer_at_ms is not None and driver.timer_at_ms <= self.now_ms:
                events = [*events, TimerFired()]
            driver.run(events, self.now_ms)

    def live(self) -> list[Replica]:
        return [replica for replica in self.replicas if replica.driver is not None]

    def assert_agreement(self) -> None:
        """No two members have committed different blocks at one height; no batch twice."""
        longest: dict[int, BlockId] = {}
        for replica in self.replicas:
            for height, stored in replica.store.heights.items():
                block_id = decode_block(stored.block).id
                assert longest.setdefault(height, block_id) == block_id, height
            log = replica.log()
            assert len(log) == len(set(log)), log

    # Making protocol objects as somebody who holds all keys.

    def certificates(self) -> Certificates:
        return Certificates(self.cell, self.verifier)

    def validity(self) -> Validity:
        judge = Judge(self.cell, self.verifier)
        return Validity(self.cell, self.cell.membership_hash(), self.schedule(), judge)

    def schedule(self) -> Schedule:
        return Schedule(self.cell.committee, self.limits.term_rounds)

    def genesis(self) -> tuple[Block, QC, ChainState]:
        return genesis_block(self.cell), genesis_qc(self.cell), ChainState.genesis()

    def vote(self, voter: int, round_: int, block_id: bytes, **changes: object) -> Vote:
        values = {"origin": ORIGIN, "epoch": Epoch(1), "round_": round_, "block_id": block_id}
        message = vote_signing_bytes(**(values | changes))  # type: ignore[arg-type]
        key = self.cell.committee.members[voter].vote_key
        return Vote(
            Epoch(1),
            Round(round_),
            BlockId(block_id),
            MemberIndex(voter),
            hash_signature(key, message),
        )

    def qc(self, round_: int, block_id: bytes, voters: Sequence[int] | None = None) -> QC:
        voters = range(self.cell.committee.quorum) if voters is None else voters
        votes = {
            MemberIndex(voter): self.vote(voter, round_, block_id).signature for voter in voters
        }
        return new_qc(epoch=Epoch(1), round_=Round(round_), block_id=BlockId(block_id), votes=votes)

    def claim(self, voter: int, round_: int, high_qc_round: int) -> TimeoutClaim:
        message = timeout_signing_bytes(
            origin=ORIGIN,
            epoch=Epoch(1),
            round_=Round(round_),
            high_qc_round=Round(high_qc_round),
            fast_vote=b"",
        )
        key = self.cell.committee.members[voter].vote_key
        signature = hash_signature(key, message)
        return TimeoutClaim(MemberIndex(voter), Round(high_qc_round), b"", signature)

    def tc(self, round_: int, claims: dict[int, int], high_qc: QC) -> TC:
        """A TC of `round_`; `claims` maps each voter to the round of its high QC."""
        return new_tc(
            epoch=Epoch(1),
            round_=Round(round_),
            claims=[self.claim(voter, round_, high) for voter, high in claims.items()],
            high_qc=high_qc,
        )

    def block(
        self,
        parent: Block,
        state: ChainState,
        round_: int,
        *,
        justify: QC | None = None,
        tc: TC | None = None,
        proposer: int = 0,
        time_ms: int = START_MS,
        batches: Sequence[Batch] = (),
    ) -> VerifiedBlock:
        """A valid block on `parent`, after which `state` stands, made and verified."""
        justify = justify or (
            genesis_qc(self.cell) if parent.height == 0 else self.qc(parent.round, parent.id)
        )
        reader = BatchReader(self.cell, self.verifier)
        pooled = [reader.trusted(each, encode_batch(each), now_ms=0) for each in batches]
        verifier = self.certificates()
        return self.validity().build(
            round_=Round(round_),
            proposer=MemberIndex(proposer),
            time_ms=time_ms,
            parent=Node(parent, state, None),
            justify=verifier.qc(justify),
            tc=verifier.tc(tc) if tc is not None else None,
            batches=pooled,
        )

    def chain(self, rounds: Sequence[int], *, batches: Sequence[Sequence[Batch]] = ()) -> list:
        """Valid blocks from the genesis on, one for each of `rounds`; gaps are bridged by TCs."""
        parent, _, state = self.genesis()
        made: list[VerifiedBlock] = []
        for place, round_ in enumerate(rounds):
            tc = None
            if round_ != parent.round + 1:
                justify = genesis_qc(self.cell) if not made else self.qc(parent.round, parent.id)
                claims = dict.fromkeys(range(self.cell.committee.quorum), int(parent.round))
                tc = self.tc(round_ - 1, claims, justify)
            content = batches[place] if place < len(batches) else ()
            verified = self.block(parent, state, round_, tc=tc, batches=content)
            made.append(verified)
            parent, state = verified.block, verified.state
        return made

    def kernel(self, index: int = 0, record: SafetyRecord | None = None) -> Kernel:
        """A kernel that has never signed, or one with this record."""
        return Kernel(
            cell=self.cell,
            me=MemberIndex(index),
            vote_signer=self.vote_keys[index],
            cosigner=self.cosign_keys[index],
            record=record or first_record(self.cell.epoch, genesis_qc(self.cell)),
        )


@pytest.fixture(scope="session")
def make_world() -> type[World]:
    """`make_world(n=7, limits=…)` builds a world; call `.start()` on it."""
    return World


@pytest.fixture
def world() -> World:
    """A world of seven running replicas."""
    return World().start()
