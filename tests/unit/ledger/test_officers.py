"""Officers' decisions: recorded first, refused with a code where they would change nothing."""

import asyncio
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import grpc
import pytest

from heptad.crypto.derivation import erasure_salt
from heptad.crypto.keys import Ed25519Key
from heptad.model.entry import Kind
from heptad.model.erasing import SUBJECTS_MAX, DecisionCall, OrderCall, RevokeKeyCall
from heptad.model.erasure import ErasureGround, ErasureState, OrderedBy, RefusalGround
from heptad.model.log_reads import PublishedCheckpoint
from heptad.model.problems import Problem
from heptad.runtime.deadlines import one_month_after
from heptad.runtime.identity import ALL_ROLES, Identity, Role
from heptad.transparency.checkpoint import Checkpoint
from heptad.transparency.merkle import leaf_hash, verify_inclusion
from heptad.transparency.notes import Note, NoteSignature
from heptad.transparency.receipt import Receipt
from heptad.wire.convert import privacy as wire
from heptad.wire.convert.entry import decode_entry
from heptad.wire.privacy.v1 import privacy_pb2 as pb
from heptad_ledger.log_reads import LogReads
from heptad_ledger.privacy import access_door
from heptad_ledger.privacy import door as privacy_door
from heptad_ledger.privacy.door import ROLES, PrivacyDoor
from heptad_ledger.privacy.erasure_reads import ErasureReads
from heptad_ledger.privacy.holds import HoldBook
from heptad_ledger.privacy.officer_desk import OfficerDesk
from heptad_ledger.privacy.ports import ErasureRow
from heptad_ledger.watermark import Watermark

KEY = Ed25519Key(b"A" * 32)
DPO = Identity("log.test", Role.OFFICER, "dpo")
GATEWAY = Identity("log.test", Role.GATEWAY, "gateway-1")
GROUND, LEGAL = ErasureGround.NO_LONGER_NEEDED, RefusalGround.LEGAL_HOLD
REASON = "asked for by letter"
NOBODY = "ab-" + "b" * 26
RECEIVED = ErasureRow(
    number=1,
    request_hash=b"r" * 32,
    state=ErasureState.RECEIVED,
    ordered_by=OrderedBy.SUBJECT,
    ground=ErasureGround.CONSENT_WITHDRAWN,
    received_at_ms=1_760_000_000_000,
)


@dataclass
class Book:
    """The port `Erasures`, as a list."""

    rows: list[ErasureRow] = field(default_factory=list)

    def put(self, row, **changes):
        self.rows.append(replace(row, **changes))

    def find(self, request_hash):
        return next((row for row in self.rows if row.request_hash == request_hash), None)

    def find_of_subject(self, subject_id):
        found = [row for row in self.rows if row.subject_id == subject_id]
        return found[-1] if found else None

    def open_rows(self, *, after, count_max):
        states = (ErasureState.RECEIVED, ErasureState.ORDERED)
        found = [row for row in self.rows if row.number > after and row.state in states]
        return found[:count_max]

    def oldest_received_at_ms(self):
        return min((row.received_at_ms for row in self.rows), default=None)


@dataclass
class World:
    """A ledger whose records of access are committed and applied at once."""

    ledger: object
    office: object
    group: object
    book: Book = field(default_factory=Book)
    recorded: list = field(default_factory=list)
    on_recorded: object = lambda access: None
    applies: bool = True

    def __post_init__(self):
        self.applied_size = Watermark(0)
        self.published = None
        self.people = {}
        self.desk = OfficerDesk(
            store=self.ledger.store, registry=self.ledger.registry, erasures=self.book,
            accesses=self, applied_size=self.applied_size, origin="log.test", holds=HoldBook(),
            keys=lambda: {KEY.public.kid: KEY.public},
        )  # fmt: skip
        index_key = self.ledger.vault.index_key
        reads = LogReads(
            store=self.ledger.store, latest=lambda: self.published, index_key=index_key
        )
        self.reads = ErasureReads(
            self.book, reads=reads, index_key=index_key, holds_of=self.desk.holds_of
        )

    def register(self, seed):
        person = self.office.register(seed)
        self.people[person.subject_id] = person
        self.commit(person.registration)
        return person.subject_id

    def commit(self, record):
        self.group.commit(self.group.batch([record]))
        self.ledger.catch_up()
        return self.ledger.store.state.size - 1

    def publish(self):
        head = self.group.head()
        body = Checkpoint("log.test", head.size, head.root).body()
        note = Note(body, (NoteSignature("log.test", b"1234", b"s" * 64),)).encode()
        self.ledger.store.publish(head.size, note)
        self.published = PublishedCheckpoint(note, head.size)
        return head

    async def record(self, access):
        self.recorded.append(access)
        record, _ = self.office.access(
            self.people[access.subject_id], key=KEY, action=access.action, ground=access.ground,
            reason=access.reason, role=access.caller.role, caller=access.caller.id,
            what=access.what,
        )  # fmt: skip
        index = self.commit(record)
        self.on_recorded(access)
        if self.applies:
            self.applied_size.advance(index + 1)
        return index

    def take_up(self, access):
        """What the part that carries erasures out does with an order."""
        if access.action == "erasure.ordered":
            number = len(self.book.rows) + 1
            self.book.put(
                RECEIVED, number=number, request_hash=bytes([number]) * 32,
                subject_id=access.subject_id, ordered_by=OrderedBy.OFFICER, ground=GROUND,
            )  # fmt: skip


@pytest.fixture
def world(ledger, office, group):
    world = World(ledger, office, group)
    world.on_recorded = world.take_up
    return world


@pytest.fixture
def alice(world):
    return world.register(1)


def order(world, *subjects, reason=REASON):
    call = OrderCall(subjects, GROUND, reason)
    return asyncio.run(world.desk.order(call, caller=DPO))


def decide(method, subject, ground=LEGAL, reason=REASON):
    return asyncio.run(method(DecisionCall(subject, ground, reason), caller=DPO))


def test_an_order_is_recorded_with_who_why_and_on_which_ground(world, alice):
    [ordered] = order(world, alice)
    assert (ordered.subject_id, ordered.request_id, ordered.refused_code) == (
        alice, bytes([1]) * 32, "",
    )  # fmt: skip
    [access] = world.recorded
    assert (access.action, access.subject_id, access.caller) == ("erasure.ordered", alice, DPO)
    assert (access.ground, access.reason) == ("no_longer_needed", REASON)
    with world.ledger.store.snapshot() as snapshot:
        entry = decode_entry(snapshot.entry(world.ledger.store.state.size - 1))
    assert (entry.kind, entry.action) == (Kind.ACCESS, "erasure.ordered")


def test_each_subject_of_an_order_gets_an_answer_of_its_own(world, alice):
    bob = world.register(2)
    ordered = order(world, alice, NOBODY, bob, "nonsense")
    assert [each.refused_code for each in ordered] == [
        "", "subject_unknown", "", "parameter_invalid",
    ]  # fmt: skip
    assert [each.subject_id for each in ordered] == [alice, NOBODY, bob, "nonsense"]
    assert len(world.recorded) == 2


def test_nothing_is_ordered_for_a_subject_on_hold(world, alice):
    decide(world.desk.set_hold, alice)
    [refused] = order(world, alice)
    assert refused.refused_code == "subject_on_hold"
    decide(world.desk.lift_hold, alice)
    [ordered] = order(world, alice)
    assert not ordered.refused_code


@pytest.mark.parametrize("state", [ErasureState.ORDERED, ErasureState.ERASED])
def test_what_is_ordered_or_done_is_not_decided_again(world, alice, state):
    world.book.put(RECEIVED, subject_id=alice, state=state)
    [refused] = order(world, alice)
    assert refused.refused_code == "subject_erased"
    with pytest.raises(Problem, match="subject_erased"):
        decide(world.desk.set_hold, alice)
    with pytest.raises(Problem, match="erasure_decided"):
        decide(world.desk.refuse, alice)
    assert not world.recorded


def test_an_erased_id_is_told_from_one_that_never_was(world):
    world.book.put(RECEIVED, subject_id=NOBODY, state=ErasureState.ERASED)
    [refused] = order(world, NOBODY)
    assert refused.refused_code == "subject_erased"


@pytest.mark.parametrize("reason", ["", "  ", "two\nlines", "r" * 1_001])
def test_nothing_is_decided_without_a_reason_that_can_be_recorded(world, alice, reason):
    with pytest.raises(Problem, match="claim_invalid"):
        order(world, alice, reason=reason)
    for method in (world.desk.set_hold, world.desk.lift_hold, world.desk.refuse):
        with pytest.raises(Problem, match="claim_invalid"):
            decide(method, alice, reason=reason)
    assert not world.recorded


def test_an_order_has_a_limit_and_names_nobody_twice(world, alice):
    for subjects in ((), (alice, alice), (alice,) * (SUBJECTS_MAX + 1)):
        with pytest.raises(Problem, match="parameter_invalid"):
            order(world, *subjects)
    assert not world.recorded


def test_a_request_is_refused_with_its_ground(world, alice):
    world.book.put(RECEIVED, subject_id=alice)

    def refuse(access):
        world.book.put(RECEIVED, subject_id=alice, state=ErasureState.REFUSED, refusal_ground=LEGAL)

    world.on_recorded = refuse
    row = decide(world.desk.refuse, alice)
    assert (row.state, row.refusal_ground) == (ErasureState.REFUSED, LEGAL)
    assert [access.action for access in world.recorded] == ["erasure.refused"]


def test_nothing_is_refused_that_was_not_asked_for(world, alice):
    with pytest.raises(Problem, match="erasure_decided"):
        decide(world.desk.refuse, alice)
    world.book.put(RECEIVED, subject_id=alice)
    with pytest.raises(Problem, match="otherwise"):
        decide(world.desk.refuse, alice)


def test_a_hold_is_answered_with_all_holds(world, alice):
    task = RefusalGround.PUBLIC_TASK
    decide(world.desk.set_hold, alice)
    assert [hold.ground for hold in decide(world.desk.set_hold, alice, task)] == [LEGAL, task]
    assert [hold.ground for hold in decide(world.desk.lift_hold, alice)] == [task]
    actions = [access.action for access in world.recorded]
    assert actions == ["hold.set", "hold.set", "hold.lifted"]


@pytest.mark.parametrize("ground", [RefusalGround.NO_GROUND, RefusalGround.EXCESSIVE])
def test_a_ground_that_answers_one_request_sets_no_hold(world, alice, ground):
    with pytest.raises(Problem, match="parameter_invalid"):
        decide(world.desk.set_hold, alice, ground)
    assert not world.recorded


def test_a_hold_that_is_not_there_is_not_lifted(world, alice):
    with pytest.raises(Problem, match="hold_unknown"):
        decide(world.desk.lift_hold, alice)
    assert not world.recorded


def test_a_hold_that_came_too_late_is_told(world, alice):
    world.on_recorded = lambda _: world.book.put(
        RECEIVED, subject_id=alice, state=ErasureState.ORDERED
    )
    with pytest.raises(Problem, match="subject_erased"):
        decide(world.desk.set_hold, alice)


def test_a_decision_is_answered_once_it_is_applied_and_not_before(world, alice, monkeypatch):
    world.applies = False
    monkeypatch.setattr("heptad_ledger.privacy.officer_desk.APPLY_S_MAX", 0.01)
    with pytest.raises(Problem, match="deadline_exceeded"):
        decide(world.desk.set_hold, alice)


# A lost device.


def revoke(world, subject, key, reason=REASON):
    call = RevokeKeyCall(subject, key.public.kid, reason)
    return asyncio.run(world.desk.revoke_key(call, caller=DPO))


def test_a_lost_key_is_revoked_once_it_is_recorded_with_who_and_why(world, alice):
    key = world.people[alice].key
    index = revoke(world, alice, key)
    [access] = world.recorded
    assert (access.action, access.what, access.reason) == ("key.revoked", key.public.kid, REASON)
    with world.ledger.store.snapshot() as snapshot:
        [row] = world.ledger.registry.find(snapshot, alice).keys
        entry = decode_entry(snapshot.entry(index))
    assert (row.kid, row.revoked_at) == (key.public.kid, index)
    assert (entry.kind, entry.action) == (Kind.ACCESS, "key.revoked")


def test_a_key_that_is_not_active_is_not_revoked_by_an_officer_either(world, alice):
    key = world.people[alice].key
    with pytest.raises(Problem, match="key_not_active"):
        revoke(world, alice, KEY)
    with pytest.raises(Problem, match="subject_unknown"):
        revoke(world, NOBODY, key)
    with pytest.raises(Problem, match="claim_invalid"):
        revoke(world, alice, key, reason="")
    assert not world.recorded
    revoke(world, alice, key)
    with pytest.raises(Problem, match="key_not_active"):
        revoke(world, alice, key)
    assert len(world.recorded) == 1


# What is told of an erasure.


def erased(world, subject):
    """An order, a certificate, each an entry of the log."""
    order_index = world.commit((b"the order", b""))
    index = world.commit((b"the certificate", b""))
    world.book.put(
        RECEIVED, subject_id=subject, state=ErasureState.ERASED, order_index=order_index,
        certificate_index=index,
    )  # fmt: skip


def test_a_certificate_is_told_once_a_checkpoint_covers_it_and_stays_the_same(world, alice):
    world.publish()
    erased(world, alice)
    assert world.reads.find(b"r" * 32, is_officer=False).certificate is None
    head = world.publish()
    parts = world.reads.find(b"r" * 32, is_officer=False).certificate
    world.commit((b"more", b""))
    world.publish()
    assert world.reads.find(b"r" * 32, is_officer=False).certificate == parts
    assert (parts.entry, parts.order_entry) == (b"the certificate", b"the order")
    receipt = Receipt.parse(parts.proof)
    for index, entry, proof in (
        (parts.index, parts.entry, receipt.proof),
        (parts.index - 1, parts.order_entry, parts.order_inclusion),
    ):
        verify_inclusion(
            leaf_index=index, tree_size=head.size, leaf_hash=leaf_hash(entry), proof=proof,
            root_hash=head.root,
        )  # fmt: skip


def test_an_erasure_is_told_with_its_deadline_and_its_salt(world, alice):
    world.book.put(RECEIVED, subject_id=alice)
    told = world.reads.find(b"r" * 32, is_officer=False)
    assert told.decide_by_ms == one_month_after(RECEIVED.received_at_ms)
    assert told.salt == erasure_salt(
        cell_index_key=world.ledger.vault.index_key(), request_hash=b"r" * 32
    )


def test_whose_erasure_it_is_and_what_holds_it_only_officers_are_told(world, alice):
    world.book.put(RECEIVED, subject_id=alice)
    decide(world.desk.set_hold, alice)
    told = world.reads.find(b"r" * 32, is_officer=True)
    assert told.subject_id == alice
    assert [hold.ground for hold in told.holds] == [LEGAL]
    told = world.reads.find(b"r" * 32, is_officer=False)
    assert (told.subject_id, told.holds) == ("", ())


@pytest.mark.parametrize("state", ErasureState)
def test_by_a_subjects_id_a_gateway_is_told_only_of_what_is_ordered_or_done(world, state):
    world.book.put(RECEIVED, subject_id=NOBODY, state=state)
    assert world.reads.find(NOBODY, is_officer=True).state is state
    if state in (ErasureState.ORDERED, ErasureState.ERASED):
        assert world.reads.find(NOBODY, is_officer=False).state is state
    else:
        with pytest.raises(Problem, match="erasure_unknown"):
            world.reads.find(NOBODY, is_officer=False)


def test_an_erasure_that_nobody_asked_for_is_unknown(world):
    with pytest.raises(Problem, match="erasure_unknown"):
        world.reads.find(b"x" * 32, is_officer=True)
    with pytest.raises(Problem, match="parameter_invalid"):
        world.reads.find(b"x" * 31, is_officer=True)


def test_open_erasures_are_listed_page_by_page(world):
    for number in range(1, 6):
        world.book.put(RECEIVED, number=number, request_hash=bytes([number]) * 32)
    world.book.put(RECEIVED, number=6, state=ErasureState.REFUSED)
    token, listed = "", []
    while True:
        page = world.reads.page(2, token)
        listed += [erasure.request_id[0] for erasure in page.erasures]
        if not (token := page.next_page_token):
            break
    assert listed == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("token", ["x", "AAAA", "*"])
def test_a_token_of_another_listing_is_refused(world, token):
    with pytest.raises(Problem, match="page_token_invalid"):
        world.reads.page(0, token)


def test_a_page_has_a_limit(world):
    with pytest.raises(Problem, match="page_size"):
        world.reads.page(1_001, "")


# The door.


def test_only_officers_decide_and_gateways_may_only_ask_for_one():
    officers_only = {name for name, roles in ROLES.items() if roles == {Role.OFFICER}}
    assert {name.rpartition("/")[2] for name in ROLES.keys() - officers_only} == {"GetErasure"}
    assert ROLES[f"/{wire.SERVICE}/GetErasure"] == {Role.OFFICER, Role.GATEWAY, Role.SERVICE}
    assert Role.OPERATOR not in set().union(*ROLES.values()) < ALL_ROLES


class Server:
    def add_generic_rpc_handlers(self, handlers):
        [self.handler] = handlers


@pytest.fixture
def call(world, monkeypatch):
    """Call a method of the door as somebody."""
    server = Server()
    PrivacyDoor(desk=world.desk, reads=world.reads).register(server)
    monkeypatch.setattr(privacy_door, "peer_identity", lambda context: context)

    def call(method, data, caller=DPO):
        details = SimpleNamespace(invocation_metadata=())
        details.method = f"/{wire.SERVICE}/{method}"
        found = server.handler.service(details)
        assert isinstance(found, grpc.RpcMethodHandler)
        return asyncio.run(found.unary_unary(data, caller))

    return call


def test_the_door_answers_each_method(world, alice, call):
    holds = wire.decode_hold_set(
        call("SetHold", wire.encode_set_hold_call(DecisionCall(alice, LEGAL, REASON)))
    )
    assert [hold.ground for hold in holds] == [LEGAL]
    lifted = call("LiftHold", wire.encode_lift_hold_call(DecisionCall(alice, LEGAL, REASON)))
    assert wire.decode_hold_lifted(lifted) == ()
    kid = world.people[alice].key.public.kid
    lost = wire.encode_revoke_key_call(RevokeKeyCall(alice, kid, REASON))
    index = wire.decode_key_revoked(call("RevokeKey", lost))
    assert index == world.ledger.store.state.size - 1
    order_call = wire.encode_order_call(OrderCall((alice,), GROUND, REASON))
    [ordered] = wire.decode_ordered(call("OrderErasure", order_call))
    told = wire.decode_erasure(call("GetErasure", wire.encode_erasure_call(ordered.request_id)))
    assert (told.state, told.subject_id) == (ErasureState.RECEIVED, alice)
    page = wire.decode_page(call("ListErasures", wire.encode_list_call()))
    assert [erasure.request_id for erasure in page.erasures] == [ordered.request_id]

    def refuse(access):
        world.book.put(RECEIVED, subject_id=alice, state=ErasureState.REFUSED)

    world.on_recorded = refuse
    refused = call("RefuseErasure", wire.encode_refuse_call(DecisionCall(alice, LEGAL, REASON)))
    assert wire.decode_refused(refused).state is ErasureState.REFUSED


def test_the_door_tells_a_gateway_less(world, call):
    world.book.put(RECEIVED, subject_id=NOBODY)
    data = wire.encode_erasure_call(b"r" * 32)
    assert wire.decode_erasure(call("GetErasure", data)).subject_id == NOBODY
    assert wire.decode_erasure(call("GetErasure", data, GATEWAY)).subject_id == ""


def test_a_service_asks_by_the_requests_id_and_not_by_a_subjects(world, call):
    world.book.put(RECEIVED, subject_id=NOBODY, state=ErasureState.ERASED)
    service = Identity("log.test", Role.SERVICE, "tax-portal")
    told = call("GetErasure", wire.encode_erasure_call(b"r" * 32), service)
    assert wire.decode_erasure(told).subject_id == ""
    with pytest.raises(Problem, match="role_refused"):
        call("GetErasure", wire.encode_erasure_call(NOBODY), service)


def test_every_method_of_the_proto_has_roles():
    [service] = pb.DESCRIPTOR.services_by_name.values()
    named = {f"/{service.full_name}/{method.name}" for method in service.methods}
    assert named == {*ROLES, *access_door.ROLES}
