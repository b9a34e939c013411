"""A validator without its network: its real parts around a ledger in memory, and a group of
replicas that commits when a test says so, and says what the test wants it to say."""

import asyncio
import itertools
import json
import uuid
from dataclasses import dataclass, field

import pytest
from spans import Traced

from heptad.crypto.bundles import ServiceKey
from heptad.crypto.keys import Ed25519Key
from heptad.crypto.requests import sign_request
from heptad.crypto.signatures import verify
from heptad.crypto.verifier import BatchVerifier
from heptad.model.answers import Recorded, SubmitItem, Wait
from heptad.model.batch import Batch, batch_signing_bytes, decode_batch
from heptad.model.entry import Entry
from heptad.model.ids import ValidatorNumber
from heptad.model.problems import Problem
from heptad.model.routing import ranked
from heptad.observability.logs import EventLog
from heptad.wire.convert.entry import decode_entry
from heptad.wire.streams import CommittedBatch, CommittedFrame, decode_from_validator
from heptad_validator.admission import Admission, Queues
from heptad_validator.bundles import BundleRules, Bundles
from heptad_validator.dispatching.batching import Batcher, BatchLimits
from heptad_validator.dispatching.dispatcher import Bounds, Dispatcher
from heptad_validator.dispatching.submission import Submission
from heptad_validator.lending.desk import Home, LeaseDesk
from heptad_validator.lending.evidence import EvidenceVerifier
from heptad_validator.lending.leases import LeaseBook
from heptad_validator.lending.look_ups import LookUps
from heptad_validator.lending.slots import SlotStock
from heptad_validator.memory.limits import ServiceLimits, SubjectLimits
from heptad_validator.memory.recent_answers import RecentAnswers
from heptad_validator.memory.replay import ReplayWindow
from heptad_validator.parts import Parts, Rules
from heptad_validator.private_records import PrivateLimits, PrivateRecords
from heptad_validator.recording import Recorder
from heptad_validator.registration import Registrar
from heptad_validator.statements import Statements
from heptad_validator.tracing import RequestTraces
from heptad_validator.waiting import CommitWaits, LeaseQueue

ORIGIN = "cell.example"
CODE = "kn"
NOW_MS = 1_760_000_000_000
REPLICAS = tuple(f"replica-{n}" for n in range(1, 8))
POLICY = {"tax-portal": frozenset({"authenticate", "consent.grant", "key.add"})}


class Answers:
    """A sink that remembers every answer, by item."""

    def __init__(self) -> None:
        self.given: list[tuple[int, Recorded | Problem]] = []

    def recorded(self, number, ticket, *, replayed):
        self.given.append((number, ticket.as_recorded(replayed=replayed)))

    def refused(self, number, problem):
        self.given.append((number, problem))

    def of(self, number: int) -> Recorded | Problem:
        """The one answer to an item."""
        [answer] = [answer for item, answer in self.given if item == number]
        return answer

    def codes(self) -> list[str]:
        return [a.code if isinstance(a, Problem) else "" for _, a in self.given]


@dataclass
class FakeLink:
    """A link that remembers what it was told."""

    replica_id: str
    told: list[tuple[str, int]] = field(default_factory=list)

    def wake(self):
        self.told.append(("wake", 0))

    def rewind(self, sequence):
        self.told.append(("rewind", sequence))

    def pause(self, sequence):
        self.told.append(("pause", sequence))

    def relax(self):
        self.told.append(("relax", 0))


class NoMeasures:
    def batch_sent(self, *, records, byte_count):
        pass

    def batch_settled(self, *, duration_s):
        pass

    def batches_resent(self):
        pass


class World:
    """A validator's real parts around the fakes, fenced and with the cell's keys."""

    def __init__(
        self,
        ledger,
        *,
        number=1,
        validators=(1,),
        records_max=1_000,
        limits_per_minute=600,
        **bounds,
    ):
        self.lines: list[dict] = []
        self.clock = ledger.clock
        self.ledger = ledger
        self.batch_key = Ed25519Key(b"B" * 32)
        log = EventLog(bound={}, write=lambda line: self.lines.append(json.loads(line)))
        home = Home(
            number=number, validators=validators, lease_s_max=bounds.get("lease_s_max", 60.0)
        )
        self.submission = Submission(
            validator=ValidatorNumber(number),
            origin=ORIGIN,
            incarnation=7,
            fault_count=2,
            resend_s=2.0,
            sign=self.batch_key.sign,
        )
        self.traced = Traced(one_in=bounds.get("trace_one_in", 0))
        self.traces = RequestTraces(self.traced.tracer)
        self.dispatcher = Dispatcher(
            batcher=Batcher(
                BatchLimits(
                    records_max=records_max,
                    bytes_target=1 << 19,
                    bytes_max=1 << 20,
                    age_s_max=0.01,
                    age_loaded_s_max=0.04,
                )
            ),
            submission=self.submission,
            bounds=Bounds(
                batches_outstanding_max=bounds.get("batches_outstanding_max", 32),
                records_max=bounds.get("records_pending_max", 20_000),
                stuck_s=5.0,
            ),
            fault_count=2,
            clock=self.clock,
            measures=NoMeasures(),
            log=log,
            traces=self.traces,
        )
        self.links = [FakeLink(name) for name in REPLICAS]
        self.book = LeaseBook(leases_max=bounds.get("leases_max", 100))
        evidence = EvidenceVerifier(
            origin=ORIGIN, cell_code=CODE, policy=self.ledger.policy, keys_max=100
        )
        self.desk = LeaseDesk(
            book=self.book, vault=self.ledger, evidence=evidence, home=home,
            clock=self.clock, log=log,
        )  # fmt: skip
        self.window = ReplayWindow(entries_max=bounds.get("replay_entries_max", 1_000))
        self.dispatcher.on_committed = self.window.committed
        self.parts = Parts(
            rules=Rules(
                origin=ORIGIN, cell_code=CODE, skew_s_max=30,
                request_bytes_max=bounds.get("request_bytes_max", 16_384),
                lifetime_s_max=300, policy=POLICY, chunk=128,
                open_registration=bounds.get("open_registration", True),
            ),
            home=home,
            clock=self.clock,
            window=self.window,
            recent=RecentAnswers(period_ms=1_000, size_max=1_000),
            limits=SubjectLimits(per_minute_max=limits_per_minute),
            book=self.book,
            desk=self.desk,
            slots=SlotStock(
                vault=self.ledger, clock=self.clock, lease_s_max=home.lease_s_max
            ),
            look_ups=LookUps(vault=self.ledger, policy=POLICY),
            recorder=Recorder(validator=ValidatorNumber(number)),
            dispatcher=self.dispatcher,
        )  # fmt: skip
        self.parts.recorder.use(ledger.cell_keys)
        self.admission = Admission(
            self.parts,
            verifier=BatchVerifier(),
            queues=Queues(
                for_lease=LeaseQueue(
                    count_max=bounds.get("lease_waits_max", 1_000), wait_s_max=2.5
                ),
                for_commit=CommitWaits(wait_s_max=5.0),
            ),
        )
        self.registrar = Registrar(self.parts, admission=self.admission)
        self.service_key = Ed25519Key(b"V" * 32)
        public = self.service_key.public
        self.service_keys = {public.kid: ServiceKey(public)}
        self.bundles = Bundles(
            self.parts,
            admission=self.admission,
            rules=BundleRules(
                keys={"tax-portal": self.service_keys, "bank": {}},
                batch_records_max=records_max,
                batch_bytes_max=1 << 20,
                commit_wait_s=bounds.get("commit_wait_s", 5.0),
            ),
            limits=ServiceLimits(per_minute_max=bounds.get("events_per_minute", 100_000)),
        )
        self.statements = Statements(
            clock=self.clock, window=self.window, recorder=self.parts.recorder,
            dispatcher=self.dispatcher,
        )  # fmt: skip
        self.attestation_key = Ed25519Key(b"A" * 32)
        attesting = self.attestation_key.public
        self.private_records = PrivateRecords(
            self.parts,
            admission=self.admission,
            keys={attesting.kid: attesting},
            limits=PrivateLimits(per_minute_max=bounds.get("private_per_minute", 1_000)),
        )
        self.committed: list[Batch] = []
        self.answers = Answers()
        self._items = itertools.count(1)
        self._jtis = itertools.count(1_000_000)

    # Time.

    async def settle_down(self):
        """Let everything that is ready happen; nothing here waits for a real clock."""
        for _ in range(50):
            await asyncio.sleep(0)

    # The group.

    def outstanding(self) -> list[Batch]:
        """The batches that are on their way, oldest first."""
        batches, sequence = [], 0
        while (found := self.submission.frame_from(sequence)) is not None:
            batches.append(decode_batch(decode_from_validator(found[1]).batch))
            sequence = found[0] + 1
        return batches

    def row(self, batch: Batch, *, first_index: int) -> CommittedBatch:
        header = batch.header
        return CommittedBatch(
            header.incarnation, header.sequence, batch.digest, first_index, b"b" * 32, NOW_MS
        )

    async def commit(self, *, replicas=3) -> list[Batch]:
        """Commit all that is outstanding, as so many replicas report it."""
        done: list[Batch] = []
        while batches := self.outstanding():
            for batch in batches:
                verify(
                    public_key=self.batch_key.public_key,
                    message=batch_signing_bytes(origin=ORIGIN, digest=batch.digest),
                    signature=batch.signature,
                )
                row = self.row(batch, first_index=self.ledger.apply(batch))
                for replica in REPLICAS[:replicas]:
                    self.dispatcher.received(replica, CommittedFrame((row,)))
                done.append(batch)
            await self.settle_down()
        self.committed += done
        return done

    async def fence(self):
        """The first batch of this life."""
        self.dispatcher.begin(self.links)
        await self.commit()

    @property
    def entries(self) -> list[Entry]:
        """What this validator has brought into the log, in order."""
        return [decode_entry(entry) for batch in self.committed for entry in batch.entries()]

    # Requests.

    def subject(self, key, *, home=1) -> str:
        """A registered subject whose first validator is `home`."""
        while True:
            subject = self.ledger.register(key)
            if ranked(subject, self.parts.home.validators)[0] == home:
                return subject

    def sign(self, key, subject, **claims) -> bytes:
        values = {
            "iss": subject,
            "aud": ORIGIN,
            "jti": str(uuid.UUID(int=next(self._jtis))),
            "iat": self.clock.wall_ms // 1000 - 1,
            "exp": self.clock.wall_ms // 1000 + 60,
            "svc": "tax-portal",
            "act": "authenticate",
            "data": {"n": 1},
        }
        return sign_request(key, **{**values, **claims})

    async def submit(self, *jwss: bytes, wait=Wait.COMMITTED, trace=b"") -> list[int]:
        """Send requests in one message; the numbers of their items."""
        items = [SubmitItem(next(self._items), jws, wait, trace) for jws in jwss]
        await self.admission.submit(items, self.answers)
        await self.settle_down()
        return [item.id for item in items]

    async def refused(self, jws: bytes) -> str:
        """Send a request that must be refused at once; its code."""
        [number] = await self.submit(jws)
        answer = self.answers.of(number)
        assert isinstance(answer, Problem), answer
        return answer.code


@pytest.fixture(name="new_world")
def _new_world():
    """Make a validator over a ledger; fence it first."""
    return World


@pytest.fixture(name="play")
def _play(new_ledger):
    """Run a scenario against a fresh, fenced world."""

    def run(scenario, **settings):
        async def main():
            world = World(new_ledger(), **settings)
            await world.fence()
            await scenario(world)
            return world

        return asyncio.run(main())

    return run
