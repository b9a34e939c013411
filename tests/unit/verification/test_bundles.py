"""A service signed exactly these entries: proved step by step, and refused for one altered bit."""

import dataclasses
import json
from base64 import b64encode
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heptad.crypto.bundles import Event, ServiceKey, membership_path, public_events, sign_bundle
from heptad.crypto.keys import Ed25519Key
from heptad.model.bundles import event_leaves, private_half
from heptad.model.entry import Entry, Kind, Outcome
from heptad.model.log_reads import BundleMembership
from heptad.transparency.tiled_tree import consistency_proof, inclusion_proof
from heptad.transparency.tiles import FetchedTiles
from heptad.verification import (
    BundleFile,
    ReceiptFile,
    ReceiptUnreadableError,
    examine_bundle_file,
    examine_receipt_file,
    examine_signed,
    has_bundle,
    is_bundle_file,
)
from heptad.wire.convert.entry import decode_entry, encode_entry, encode_events

KEY = Ed25519Key(b"V" * 32)
KEYS = {"tax-portal": {KEY.public.kid: ServiceKey(KEY.public)}, "bank": {}}
SUBJECT = "kn-" + "a" * 26


def make_bundle(count):
    events = [
        Event(SUBJECT, "record.access", b"R-%d" % n, 1_759_999_999_000 + n) for n in range(count)
    ]
    return sign_bundle(
        KEY, events, iss="tax-portal", aud="cell.example",
        jti="0b8f1f9e-6c1f-4c39-9c57-52a0d2fdd8a1", iat=1_760_000_000, exp=1_760_000_300,
    )  # fmt: skip


@dataclasses.dataclass
class Logged:
    """A bundle in a log, `before` entries in front of it and `after` behind."""

    log: object
    bundle: object
    index: int

    @property
    def count(self):
        return len(self.bundle.events)

    def file(self):
        end = self.index + 1 + self.count
        proof = consistency_proof(
            old_size=end, new_size=self.log.edge.size, tiles=FetchedTiles(self.log.read)
        )
        events = tuple(self.log.entries[self.index + 1 : end])
        receipt = self.log.receipt(self.index)
        return BundleFile(self.log.entries[self.index], receipt, events, tuple(proof))

    def receipt(self, event):
        leaves = event_leaves(public_events(self.bundle.events), service="tax-portal")
        inclusion = inclusion_proof(
            leaf_index=self.index, tree_size=self.log.edge.size, tiles=FetchedTiles(self.log.read)
        )
        private = self.bundle.events[event]
        return ReceiptFile(
            self.log.entries[self.index + 1 + event],
            self.log.receipt(self.index + 1 + event),
            payload=private_half(subject=private.subject, payload=private.payload),
            witness=private.witness,
            bundle=BundleMembership(
                self.index, self.log.entries[self.index], tuple(inclusion),
                membership_path(leaves, event),
            ),
        )  # fmt: skip


@pytest.fixture
def logged(make_log):
    def make(count=5, *, before=9, after=4):
        bundle = make_bundle(count)
        head = Entry(Kind.BUNDLE, "tax-portal", "", Outcome.NONE, 1, 2, b"", bundle.statement)
        entries = encode_events(public_events(bundle.events), service="tax-portal", validator=2)
        log = make_log(before)
        log.append([encode_entry(head), *entries])
        filler = replace(head, kind=Kind.REQUEST, statement=b"", commitment=b"c" * 32)
        log.append([encode_entry(replace(filler, time_ms=n + 1)) for n in range(after)])
        return Logged(log, bundle, before)

    return make


def failures(*reports):
    return [
        finding.subject for report in reports for finding in report.findings if not finding.holds
    ]


def judged(file, policy, now_s, keys=KEYS):
    return failures(*examine_bundle_file(file, policy=policy, keys=keys, now_s=now_s))


def receipt_failures(file, policy, now_s, keys=KEYS):
    in_log = examine_receipt_file(file, policy=policy, now_s=now_s)
    return failures(in_log, examine_signed(file, keys=keys))


@pytest.mark.parametrize("before", [0, 1, 7, 8, 255, 256, 300])
@pytest.mark.parametrize(("count", "after"), [(1, 0), (1, 3), (8, 1), (300, 0), (300, 77)])
def test_a_whole_bundle_is_proved_wherever_it_stands(logged, policy, before, count, after):
    file, now_s = logged(count, before=before, after=after).file(), 1_760_000_000
    in_log, signed = examine_bundle_file(file, policy=policy, keys=KEYS, now_s=now_s)
    assert failures(in_log, signed) == []
    subjects = [finding.subject for finding in signed.findings]
    assert subjects == [
        "bundle", "statement", "service signature", "range in log", "events", "signed root",
    ]  # fmt: skip


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 13])
def test_every_event_of_a_bundle_is_proved_by_itself(logged, policy, now_s, count):
    known = logged(count)
    for event in range(count):
        file = ReceiptFile.parse(known.receipt(event).encode())
        assert has_bundle(file)
        assert receipt_failures(file, policy, now_s) == []
        report = examine_receipt_file(file, policy=policy, now_s=now_s)
        [subject] = [finding for finding in report.findings if finding.subject == "subject"]
        assert SUBJECT in subject.detail


def test_a_bundles_own_receipt_says_who_signed(logged, policy, now_s):
    known = logged()
    file = ReceiptFile(known.log.entries[9], known.log.receipt(9))
    assert receipt_failures(file, policy, now_s) == []
    assert receipt_failures(file, policy, now_s, keys={}) == ["service signature"]
    assert receipt_failures(file, policy, now_s, keys=None) == []


def test_a_bundle_file_reads_back_as_it_was_written(logged):
    file = logged().file()
    assert BundleFile.parse(file.encode()) == file
    assert is_bundle_file(file.encode())
    assert not is_bundle_file(b"{}")
    assert not is_bundle_file(b"")


def test_another_services_key_and_an_unknown_one_are_no_signature(logged, policy, now_s):
    file = logged().file()
    other = Ed25519Key(b"W" * 32).public
    for keys in ({}, {"tax-portal": {}}, {"bank": KEYS["tax-portal"]}):
        assert judged(file, policy, now_s, keys) == ["service signature"]
    forged = {"tax-portal": {KEY.public.kid: ServiceKey(other)}}
    assert judged(file, policy, now_s, forged) == ["service signature"]


@pytest.mark.parametrize(
    ("until", "failed"),
    [
        ((1_760_000_001, 1_760_000_331), []),
        ((1_760_000_000, 1_760_000_330), ["service signature"]),
        ((1_760_000_001, 1), []),
        ((1_760_000_001, 0), ["service signature"]),
    ],
)
def test_a_retired_key_counts_for_what_it_signed_and_entered_before(
    logged, policy, now_s, until, failed
):
    """The bundle was signed at 1,760,000,000 s; its entry says that it came at 1 ms."""
    retired = {"tax-portal": {KEY.public.kid: ServiceKey(KEY.public, *until)}}
    assert judged(logged().file(), policy, now_s, retired) == failed


@pytest.mark.parametrize(
    "change",
    [
        {"validator": 1},
        {"service": "bank"},
        {"action": "record.acces"},
        {"outcome": Outcome.DENIED},
        {"time_ms": 1},
        {"commitment": b"c" * 32},
        {"commitment": b""},
        {"kind": Kind.REQUEST},
        {"statement": b"more"},
    ],
)
def test_a_log_that_holds_something_else_than_was_signed_is_found_out(
    logged, policy, now_s, change
):
    """Not a changed file: a validator wrote the entry so, and the log has it under its root."""
    known = logged(after=0)
    honest = known.log.entries
    altered = encode_entry(replace(decode_entry(honest[11]), **change))
    other = type(known.log)()
    other.append([*honest[:11], altered, *honest[12:]])
    evil = Logged(other, known.bundle, known.index)
    assert set(judged(evil.file(), policy, now_s)) <= {"event 1", "events", "signed root"}
    assert judged(evil.file(), policy, now_s)
    public = replace(evil.receipt(1), payload=None, witness=None)
    assert receipt_failures(public, policy, now_s)


def test_bytes_that_a_validator_adds_to_an_event_are_found(logged, policy, now_s):
    known = logged(after=0)
    honest = known.log.entries
    other = type(known.log)()
    other.append([*honest[:11], honest[11] + b"\xfa\x06\x01x", *honest[12:]])
    assert judged(Logged(other, known.bundle, known.index).file(), policy, now_s) == ["event 1"]


def test_events_left_out_added_or_exchanged_are_found(logged, policy, now_s):
    file = logged().file()
    first, second, *rest = file.events
    for events in ((second, first, *rest), (first, second), (*file.events, first)):
        assert "range in log" in judged(replace(file, events=events), policy, now_s)


def test_an_event_of_another_place_is_found(logged, policy, now_s):
    known = logged()
    one, other = known.receipt(1), known.receipt(2)
    assert receipt_failures(replace(one, bundle=other.bundle), policy, now_s) == ["signed root"]
    far = replace(one, bundle=replace(one.bundle, index=1))
    assert "place" in receipt_failures(far, policy, now_s)


def test_a_request_with_a_bundle_is_refused(logged, policy, now_s):
    known = logged()
    file = ReceiptFile(known.log.entries[0], known.log.receipt(0), bundle=known.receipt(0).bundle)
    assert "bundle in log" in failures(examine_receipt_file(file, policy=policy, now_s=now_s))


def _bits(encoded, data):
    """The JSON with one bit of one of its values flipped."""
    members = json.loads(encoded)
    places = [("entry",), ("payload",), ("witness",), ("proof",)]
    places += [("events", n) for n in range(len(members.get("events", [])))]
    places += [("consistency", n) for n in range(len(members.get("consistency", [])))]
    for name in ("inclusion", "path"):
        listed = members.get("bundle", {}).get(name, [])
        places += [("bundle", name, n) for n in range(len(listed))]
    places.append(("bundle", "entry"))
    place = data.draw(st.sampled_from([p for p in places if _at(members, p) is not None]))
    *way, last = place
    holder = _at(members, tuple(way)) if way else members
    text = holder[last].encode()
    bit = data.draw(st.integers(0, 8 * len(text) - 1))
    changed = bytearray(text)
    changed[bit // 8] ^= 1 << (bit % 8)
    holder[last] = changed.decode("latin-1")
    return json.dumps(members).encode()


def _at(members, place):
    for part in place:
        try:
            members = members[part]
        except (KeyError, IndexError, TypeError):
            return None
    return members


@given(st.data())
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_one_flipped_bit_of_a_bundle_is_noticed(logged, policy, now_s, data):
    good = logged().file()
    raw = _bits(good.encode(), data)
    try:
        file = BundleFile.parse(raw)
    except ReceiptUnreadableError:
        return
    if file == good:
        return
    assert judged(file, policy, now_s)


@given(st.data())
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_one_flipped_bit_of_an_events_receipt_is_noticed(logged, policy, now_s, data):
    good = logged().receipt(2)
    try:
        file = ReceiptFile.parse(_bits(good.encode(), data))
    except ReceiptUnreadableError:
        return
    if file == good:
        return
    assert receipt_failures(file, policy, now_s)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "heptad-bundle/v2"},
        {"events": {}},
        {"events": ["?"]},
        {"events": [b64encode(b"e").decode()] * 1_000},
        {"consistency": [b64encode(b"short").decode()]},
        {"consistency": [b64encode(bytes(32)).decode()] * 127},
        {"consistency": 1},
        {"proof": "none"},
        {"entry": 1},
        {"more": 1},
    ],
)
def test_a_bundle_file_of_another_form_is_refused(logged, change):
    members = json.loads(logged().file().encode()) | change
    with pytest.raises(ReceiptUnreadableError):
        BundleFile.parse(json.dumps(members).encode())
    with pytest.raises(ReceiptUnreadableError):
        BundleFile.parse(b" " * ((4 << 20) + 1))


@pytest.mark.parametrize(
    "change", [{"index": -1}, {"index": True}, {"path": 1}, {"path": ["x"]}, {"more": 1}]
)
def test_a_membership_of_another_form_is_refused(logged, change):
    members = json.loads(logged().receipt(0).encode())
    members["bundle"] |= change
    with pytest.raises(ReceiptUnreadableError):
        ReceiptFile.parse(json.dumps(members).encode())
