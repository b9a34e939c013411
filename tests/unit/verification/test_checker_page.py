"""The receipt checker in a browser says what `heptad verify` says, of good receipts and bad ones.

Both judge the same files; verdict, steps, their order and which of them fail must be equal. The
page is opened from disk, as a file of its own, and is watched for requests: it makes none.
"""

import asyncio
import base64
import json
import random
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

import chromium
import pytest
from nacl import bindings

from heptad.crypto.bundles import Event, membership_path, public_events, sign_bundle
from heptad.crypto.keys import Ed25519Key
from heptad.crypto.requests import sign_request
from heptad.crypto.sealing import commitment
from heptad.model.bundles import event_leaves, private_half
from heptad.model.entry import Entry, Kind, Outcome
from heptad.model.log_reads import BundleMembership
from heptad.transparency.errors import FormatError
from heptad.transparency.notes import Note, NoteSignature, SignatureType, VerifierKey
from heptad.transparency.policy import KnownLog, Policy, Witness
from heptad.verification import (
    ReceiptFile,
    ReceiptUnreadableError,
    examine_receipt_file,
    examine_signed,
    has_bundle,
)
from heptad.wire.convert.entry import decode_entry, encode_entry, encode_events

CHECKER = Path(str(files("heptad_gateway").joinpath("web", "checker.html")))
SEED = 20_250_101
JUDGE = """
(async (cases) => {
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const judged = [];
  for (const [receipt, policy, nowS] of cases) {
    const found = await heptad.judge(bytes(receipt), bytes(policy), BigInt(nowS));
    judged.push([found.verdict, found.holds, (found.findings ?? []).map((f) => [f.step, f.holds])]);
  }
  return judged;
})(%s)
"""
GOOD = {
    "good", "good, for an auditor", "all seven cosign", "the log has one entry", "links",
    "the last of an odd tree", "just not from the future", "denied and silent", "an export",
    "evidence", "the end of time", "two log keys",
}  # fmt: skip
NEXT_LOG_KEY = Ed25519Key(b"n" * 32)
NO_ED25519 = "crypto.subtle.importKey = () => Promise.reject(new Error('no Ed25519 here'))"

pytestmark = pytest.mark.skipif(chromium.executable() is None, reason="there is no Chromium here")


def by_python(receipt: bytes, policy: bytes, now_s: int):
    try:
        file = ReceiptFile.parse(receipt)
    except ReceiptUnreadableError:
        return ["receipt unreadable", False, []]
    try:
        judged_by = Policy.parse(policy)
    except FormatError:
        return ["policy unreadable", False, []]
    findings = list(examine_receipt_file(file, policy=judged_by, now_s=now_s).findings)
    if has_bundle(file):
        findings += examine_signed(file, keys=None).findings
    steps = [[finding.subject, finding.holds] for finding in findings]
    return ["judged", all(finding.holds for finding in findings), steps]


def by_the_page(port, cases, *, first="0"):
    coded = [
        [base64.b64encode(receipt).decode(), base64.b64encode(policy).decode(), now_s]
        for receipt, policy, now_s in cases
    ]

    async def story():
        async with chromium.page(port) as page:
            await page.open(CHECKER.as_uri())
            await page.run(first)
            return await page.run(JUDGE % json.dumps(coded))

    return asyncio.run(story())


def flipped(data: bytes, at: int = 0) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def noted(file: ReceiptFile, **lines: bytes) -> ReceiptFile:
    """The same receipt with another origin, size or root in its checkpoint."""
    origin, size, root, rest = file.receipt.checkpoint.split(b"\n", 3)
    body = {"origin": origin, "size": size, "root": root} | lines
    note = b"\n".join([body["origin"], body["size"], body["root"], rest])
    return replace(file, receipt=replace(file.receipt, checkpoint=note))


def with_receipt(file: ReceiptFile, **changes: object) -> ReceiptFile:
    return replace(file, receipt=replace(file.receipt, **changes))


def with_members(file: ReceiptFile, **members: object) -> bytes:
    return json.dumps(json.loads(file.encode()) | members).encode()


def both_keys(file: ReceiptFile) -> ReceiptFile:
    """The log is changing its key: the checkpoint carries a second signature under its name."""
    note = Note.parse(file.receipt.checkpoint)
    first, *cosignatures = note.signatures
    key = VerifierKey(first.key_name, SignatureType.LOG, NEXT_LOG_KEY.public_key)
    line = NoteSignature(key.name, key.key_id, NEXT_LOG_KEY.sign(note.text))
    both = replace(note, signatures=(first, line, *cosignatures)).encode()
    return with_receipt(file, checkpoint=both)


@pytest.fixture
def receipts(receipt_file, make_log, make_note, request_entry, now_s):
    """Receipts by what is the matter with them."""
    proof, head = receipt_file.receipt.proof, make_log(20).checkpoint()

    def cosigned(**how):
        return with_receipt(receipt_file, checkpoint=make_note(head, **how))

    def proved(*hashes):
        return with_receipt(receipt_file, proof=hashes)

    body_less = json.loads(receipt_file.encode())
    del body_less["entry"]
    found = {
        "good": receipt_file,
        "good, for an auditor": replace(receipt_file, payload=None, witness=None),
        "all seven cosign": cosigned(cosigners=range(7)),
        "the log has one entry": ReceiptFile(make_log(1).entries[0], make_log(1).receipt(0)),
        "the last of an odd tree": ReceiptFile(make_log(17).entries[16], make_log(17).receipt(16)),
        "the entry is altered": replace(receipt_file, entry=flipped(receipt_file.entry, 9)),
        "the entry is empty": replace(receipt_file, entry=b""),
        "the entry is no message": replace(receipt_file, entry=b"\xff" * 9),
        "a hash of the proof is altered": proved(flipped(proof[0]), *proof[1:]),
        "a hash too many": proved(*proof, bytes(32)),
        "a hash too few": proved(*proof[:-1]),
        "another index": with_receipt(receipt_file, leaf_index=8),
        "an index beyond the size": with_receipt(receipt_file, leaf_index=20),
        "an index far beyond": with_receipt(receipt_file, leaf_index=2**63 - 2),
        "extra bytes": with_receipt(receipt_file, extra=b"paid: yes"),
        "another size": noted(receipt_file, size=b"21"),
        "another root": noted(receipt_file, root=base64.b64encode(bytes(32))),
        "another origin": noted(receipt_file, origin=b"other.example"),
        "four cosign": cosigned(cosigners=(0, 1, 2, 6)),
        "one cosigns five times": cosigned(cosigners=[0] * 5),
        "from the future": cosigned(time_s=now_s + 61),
        "just not from the future": cosigned(time_s=now_s + 60),
        "another witness": replace(receipt_file, witness=flipped(receipt_file.witness)),
        "a short witness": replace(receipt_file, witness=receipt_file.witness[:-1]),
        "another payload": replace(receipt_file, payload=receipt_file.payload + b"A"),
        "no JSON": b"c2sp.org", "empty": b"", "a list": b"[]", "a mark": b"\xef\xbb\xbf{}",
        "another format": with_members(receipt_file, format="heptad-receipt/v2"),
        "a member too many": with_members(receipt_file, outcome="allowed"),
        "a member too few": json.dumps(body_less).encode(),
        "one member twice": receipt_file.encode().replace(b"{", b'{"entry": "AA==",', 1),
        "links": with_members(receipt_file, links={"self": 1.5e3, "of": [None, True]}),
        "deep links": with_members(receipt_file, links=json.loads("[" * 16 + "]" * 16)),
        "half a surrogate pair": receipt_file.encode().replace(b"{", b'{"links": "\\ud800",', 1),
        "lax base64": with_members(receipt_file, entry="AB=="),
        "two log keys": both_keys(receipt_file),
        "not a number": receipt_file.encode().replace(b"{", b'{"links": NaN,', 1),
    }  # fmt: skip
    for name, change in {
        "another action than signed": {"action": "consent.withdraw"},
        "another service than signed": {"service": "other-portal"},
        "denied and silent": {"outcome": Outcome.DENIED, "service": "", "action": ""},
        "allowed and silent": {"service": "", "action": ""},
        "denied and another action": {"outcome": Outcome.DENIED, "action": "x"},
        "an export": {"kind": Kind.EXPORT},
        "evidence": {"kind": Kind.MISBEHAVIOUR_EVIDENCE, "validator": 0},
        "the end of time": {"time_ms": 2**64 - 1},
    }.items():
        other = make_log(3)
        other.append([encode_entry(replace(request_entry, **change))])
        found[name] = replace(receipt_file, entry=other.entries[3], receipt=other.receipt(3))
    return {n: f.encode() if isinstance(f, ReceiptFile) else f for n, f in found.items()}


def differences(receipts, policy, now_s, port, **options):
    """Where page and Python part, by the receipts' names; and what Python says of all of them."""
    cases = {name: (receipt, policy.format(), now_s) for name, receipt in receipts.items()}
    return compared(cases, port, **options)


def compared(cases, port, **options):
    expected = {name: by_python(*case) for name, case in cases.items()}
    found = by_the_page(port, list(cases.values()), **options)
    heard = dict(zip(cases, found, strict=True))
    return {n: (expected[n], heard[n]) for n in cases if expected[n] != heard[n]}, expected


@pytest.mark.parametrize("first", ["0", NO_ED25519], ids=["by the browser", "by hand"])
def test_the_page_and_heptad_verify_fail_the_same_steps(
    chromium_port, receipts, policy, now_s, first
):
    apart, expected = differences(receipts, policy, now_s, chromium_port, first=first)
    assert apart == {}
    assert {name for name, verdict in expected.items() if verdict[1]} == GOOD
    assert len({json.dumps(verdict) for verdict in expected.values()}) > 20


def test_a_policy_with_two_log_keys_is_read_alike(chromium_port, receipts, policy, now_s):
    name = policy.logs[0].key.name
    next_key = VerifierKey(name, SignatureType.LOG, NEXT_LOG_KEY.public_key)
    for logs in ((*policy.logs, KnownLog(next_key)), (KnownLog(next_key),)):
        rotated = replace(policy, logs=logs)
        apart, expected = differences(receipts, rotated, now_s, chromium_port)
        assert apart == {}
        assert expected["two log keys"][1]
        assert expected["good"][1] == (len(logs) == 2)


@dataclass
class Bundled:
    """Five events of one bundle in a log, behind nine other entries."""

    log: object
    bundle: object

    def receipt(self, event: int) -> ReceiptFile:
        """The receipt of an event, with its place in the bundle."""
        leaves = event_leaves(public_events(self.bundle.events), service="tax-portal")
        private, at = self.bundle.events[event], 10 + event
        return ReceiptFile(
            self.log.entries[at],
            self.log.receipt(at),
            payload=private_half(subject=private.subject, payload=private.payload),
            witness=private.witness,
            bundle=BundleMembership(
                9, self.log.entries[9], self.log.receipt(9).proof, membership_path(leaves, event)
            ),
        )


@pytest.fixture
def bundled(make_log, now_s):
    subject = "kn-" + "a" * 26
    events = [Event(subject, "record.access", b"R-%d" % n, 1_000 * now_s) for n in range(5)]
    bundle = sign_bundle(
        Ed25519Key(bytes(32)), events, iss="tax-portal", aud="cell.example",
        jti="0b8f1f9e-6c1f-4c39-9c57-52a0d2fdd8a1", iat=now_s, exp=now_s + 300,
    )  # fmt: skip
    head = Entry(Kind.BUNDLE, "tax-portal", "", Outcome.NONE, 1, 2, b"", bundle.statement)
    log = make_log(9)
    log.append([
        encode_entry(head),
        *encode_events(public_events(bundle.events), service="tax-portal", validator=2),
    ])  # fmt: skip
    return Bundled(log, bundle)


def test_receipts_of_bundles_are_judged_alike(chromium_port, bundled, receipt_file, policy, now_s):
    good = bundled.receipt(3)
    other = bundled.receipt(1).bundle

    def placed(**changes):
        return replace(good, bundle=replace(good.bundle, **changes))

    head = decode_entry(good.bundle.entry)
    receipts = {
        "event": good,
        "bundle": ReceiptFile(bundled.log.entries[9], bundled.log.receipt(9)),
        "an event without its bundle": replace(good, bundle=None),
        "a request with a bundle": replace(receipt_file, bundle=good.bundle),
        "a bundle with a bundle": ReceiptFile(
            bundled.log.entries[9], bundled.log.receipt(9), bundle=good.bundle
        ),
        "another event's path": placed(path=other.path),
        "a path too short": placed(path=good.bundle.path[:-1]),
        "an altered path": placed(path=(bytes(32), *good.bundle.path[1:])),
        "another index": placed(index=8),
        "an index behind": placed(index=14),
        "an altered inclusion": placed(inclusion=(bytes(32), *good.bundle.inclusion[1:])),
        "a bundle that is none": placed(entry=good.entry),
        "a bundle that cannot be read": placed(entry=b"\xff"),
        "a bundle with more bytes": placed(entry=good.bundle.entry + b"\x50\x01"),
        "no statement": placed(entry=encode_entry(replace(head, statement=b"a.b.c"))),
        "another service": placed(entry=encode_entry(replace(head, service="bank"))),
        "another validator": placed(entry=encode_entry(replace(head, validator=1))),
        "nobody's event": replace(good, payload=b"no subject"),
    }
    files = {name: file.encode() for name, file in receipts.items()}
    for name, value in {"index": True, "path": ["AA=="], "inclusion": [1], "entry": None}.items():
        members = json.loads(good.encode())
        members["bundle"][name] = value
        files[f"{name} is {value}"] = json.dumps(members).encode()
    apart, expected = differences(files, policy, now_s, chromium_port)
    assert apart == {}
    assert [name for name, verdict in expected.items() if verdict[1]] == ["event", "bundle"]


def test_policies_are_read_and_refused_alike(chromium_port, receipt_file, policy, now_s):
    text, receipt = policy.format(), receipt_file.encode()
    policies = {
        "comments and tabs": b"# ours\n\n" + text.replace(b" ", b"\t"),
        "another log": replace(policy, logs=()).format(),
        "no quorum": text.replace(b"quorum replicas", b"quorum none"),
        "one replica is enough": text.replace(b"quorum replicas", b"quorum replica-2"),
        "one that has not signed": text.replace(b"quorum replicas", b"quorum replica-7"),
        "all": text.replace(b"replicas 5", b"replicas all"),
        "any": text.replace(b"replicas 5", b"replicas any"),
        "six": text.replace(b"replicas 5", b"replicas 6"),
        "eight": text.replace(b"replicas 5", b"replicas 8"),
        "none of them": text.replace(b"replicas 5", b"replicas 0"),
        "no newline": text[:-1],
        "empty": b"",
        "no quorum line": text.replace(b"quorum replicas\n", b""),
        "two quorum lines": text + b"quorum none\n",
        "an unknown line": text + b"believe me\n",
        "carriage returns": text.replace(b"\n", b"\r\n"),
        "a comment that is no UTF-8": b"# \xff\xfe\n" + text,
        "a name that is no UTF-8": text.replace(b"replica-3 ", b"r\xff\xc3 "),
        "a word that is no UTF-8": text + b"log \xff+00+AA==\n",
        "a group of groups": text.replace(
            b"quorum replicas", b"group both all replicas\nquorum both"
        ),
        "a member twice": text.replace(b"replica-1 replica-2", b"replica-1 replica-1"),
        "a name taken": text + b"group replica-1 1 replicas\n",
        "a url": text.replace(b"\nwitness replica-2", b" https://a.example\nwitness replica-2"),
        "one key under two names": text.replace(
            b"quorum",
            b"witness again "
            + replace(policy.witnesses[0].key, name="again.example").format().encode()
            + b"\nquorum",
        ),
        "one key for two witnesses": text.replace(
            b"quorum", b"witness again " + policy.witnesses[0].key.format().encode() + b"\nquorum"
        ),
        "a witness that is a log": text.replace(
            b"quorum", b"witness again " + policy.logs[0].key.format().encode() + b"\nquorum"
        ),
        "two words too many": text.replace(b"\nwitness replica-2", b" a b\nwitness replica-2"),
    }
    spot = random.Random(SEED)
    for number in range(100):
        at = spot.randrange(len(text))
        policies[f"byte {at}, {number}"] = text[:at] + spot.randbytes(1) + text[at + 1 :]
    apart, _ = compared({n: (receipt, p, now_s) for n, p in policies.items()}, chromium_port)
    assert apart == {}


def test_another_known_log_cannot_sign_for_this_one(
    chromium_port, receipt_file, make_other_note, policy, now_s
):
    _, other_log = make_other_note(20)
    note = Note.parse(receipt_file.receipt.checkpoint)
    signer = Ed25519Key(bytes([101]) * 32)
    line = NoteSignature(other_log.key.name, other_log.key.key_id, signer.sign(note.text))
    lines = (line, *note.signatures[1:])
    file = with_receipt(receipt_file, checkpoint=Note(note.text, lines).encode())
    both = replace(policy, logs=(*policy.logs, other_log))
    apart, expected = differences({"both are known": file.encode()}, both, now_s, chromium_port)
    assert apart == {}
    [[_, _, steps]] = expected.values()
    assert [step for step, holds in steps if not holds] == ["log"]


def test_bytes_that_are_altered_at_random_are_judged_alike(
    chromium_port, receipt_file, policy, now_s
):
    text, spot, cases = receipt_file.encode(), random.Random(SEED), {}
    for number in range(120):
        at, byte = spot.randrange(len(text)), spot.choice([spot.randbytes(1), b"A", b"9", b"\n"])
        cases[f"receipt, byte {at}, {number}"] = text[:at] + byte + text[at + 1 :]
    for number in range(250):
        entry = bytearray(receipt_file.entry)
        for _ in range(spot.randrange(1, 4)):
            at = spot.randrange(len(entry))
            entry[at : at + spot.randrange(3)] = spot.randbytes(spot.randrange(4))
        cases[f"entry {bytes(entry).hex()}, {number}"] = replace(
            receipt_file, entry=bytes(entry), payload=None, witness=None
        ).encode()
    apart, _ = differences(cases, policy, now_s, chromium_port)
    assert apart == {}


def payloads_of(now_s):
    """Signed requests: good ones, ones with a wrong claim, ones with a byte altered at random."""
    claims = {
        "iss": "kn-a", "aud": "cell.example", "jti": "0b8f1f9e-6c1f-4c39-9c57-52a0d2fdd8a1",
        "iat": now_s, "exp": now_s + 9, "svc": "tax-portal", "act": "consent.grant", "data": {},
    }  # fmt: skip
    numbers = [1e16, 1.5e-5, -0.0, 0.0001, 123456.75]
    changes = [
        {}, {"iss": ""}, {"aud": "a b"}, {"jti": "1"}, {"iat": 0}, {"iat": True}, {"iat": 1.0},
        {"exp": now_s}, {"exp": 253_402_300_800}, {"svc": "Tax"}, {"act": "a..b"},
        {"act": "a" * 65}, {"svc": "tax-portal\n"}, {"data": []}, {"data": {"x": "é" * 4085}},
        {"data": {"x": "é" * 4093}}, {"data": {"x": numbers * 210}}, {"data": {"x": numbers * 215}},
        {"data": {"x": 10**40}},
    ]  # fmt: skip
    key, spot = Ed25519Key(bytes(32)), random.Random(SEED)
    payloads = [sign_request(key, **(claims | change)) for change in changes]
    for _ in range(60):
        at = spot.randrange(len(payloads[0]))
        payloads.append(payloads[0][:at] + spot.randbytes(1) + payloads[0][at + 1 :])
    return [*payloads, b"a.b.c", b""]


def test_odd_protobuf_is_read_and_refused_alike(chromium_port, receipt_file, policy, now_s):
    tails = [
        b"\x50\x01", b"\x00\x01", b"\xd0\x80\x80\x80\x00\x01", b"\xd0\x80\x80\x80\x80\x00\x01",
        b"\xd0\x80\x80\x80\x80\x01\x01", b"\xd0\x80\x80\x80\x10\x01", b"\x53\x54",
        b"\x53\x50\x01\x54",
        b"\x53\x5c", b"\x54", b"\x50" + b"\xff" * 9 + b"\x01", b"\x50" + b"\xff" * 10 + b"\x01",
        b"\x50" + b"\xff" * 9 + b"\x7f", b"\x56", b"\x57", b"\x51" + bytes(8), b"\x51" + bytes(7),
        b"\x55" + bytes(4), b"\x08\x81\x80\x80\x80\x10", b"\x08\x82\x80\x80\x80\x10", b"\x18\x01",
        b"\x1a\x01\xff", b"\x1a\x03\xed\xa0\x80", b"\x52\x02\x01", b"\x10\x00", b"\x10\x91\x01",
        b"\x42\x00", b"\x42\x01\x01", b"\x53" * 90 + b"\x54" * 90, b"\x53" * 110 + b"\x54" * 110,
    ]  # fmt: skip
    receipts = {
        tail.hex(): replace(receipt_file, entry=receipt_file.entry + tail).encode()
        for tail in tails
    }
    apart, expected = differences(receipts, policy, now_s, chromium_port)
    assert apart == {}
    assert 8 < sum(steps[0][1] for _, _, steps in expected.values()) < len(tails) - 8


def test_signed_requests_are_read_and_refused_alike(
    chromium_port, make_log, request_entry, policy, now_s
):
    """The commitment is made anew for each payload, so that it is the request that decides."""
    witness, log, payloads = bytes(32), make_log(3), payloads_of(now_s)
    sealed = [commitment(witness=witness, payload=payload) for payload in payloads]
    log.append([encode_entry(replace(request_entry, commitment=value)) for value in sealed])
    receipts = {
        f"{n} {payload[:20]!r}": ReceiptFile(
            log.entries[3 + n], log.receipt(3 + n), payload, witness
        ).encode()
        for n, payload in enumerate(payloads)
    }
    apart, expected = differences(receipts, policy, now_s, chromium_port)
    assert apart == {}
    assert sum(verdict[1] for verdict in expected.values()) >= 4


def strange_signatures(body: bytes, time_s: int):
    """Keys and signatures at the edge of Ed25519, as (public key, signature)."""
    message = f"cosignature/v1\ntime {time_s}\n".encode() + body
    order = 2**252 + 27742317777372353535851937790883648493
    key = Ed25519Key(bytes([77]) * 32)
    good = key.sign(message)
    s = int.from_bytes(good[32:], "little")
    yield key.public_key, good
    yield key.public_key, good[:32] + (s + order).to_bytes(32, "little")
    scalar = (5).to_bytes(32, "little")
    point = bindings.crypto_scalarmult_ed25519_base_noclamp(scalar)
    order_8 = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
    ys = (0, 1, 2**255 - 20, 2**255 - 19, 2**255 - 18)
    for small in [order_8, *(y.to_bytes(32, "little") for y in ys)]:
        yield small, point + scalar  # holds by the equation alone where h times the key vanishes
        yield key.public_key, small + good[32:]
    for y in range(2, 19):  # not canonical: p + y
        yield (2**255 - 19 + y).to_bytes(32, "little"), good


def test_signatures_at_the_edge_of_ed25519_are_judged_as_libsodium_judges_them(
    chromium_port, receipt_file, policy, now_s
):
    head = receipt_file.receipt.checkpoint.partition(b"\n\n")[0] + b"\n"
    signed = Note.parse(receipt_file.receipt.checkpoint).signatures[0]
    cases = {}
    for n, (public_key, signature) in enumerate(strange_signatures(head, now_s)):
        key = VerifierKey("edge.example", SignatureType.COSIGNATURE, public_key)
        line = NoteSignature(key.name, key.key_id, now_s.to_bytes(8, "big") + signature)
        note = Note(head, (signed, line)).encode()
        file = with_receipt(receipt_file, checkpoint=note)
        judged_by = replace(policy, witnesses=(Witness("edge", key),), groups=(), quorum="edge")
        cases[str(n)] = (file.encode(), judged_by.format(), now_s)
    for first in ("0", NO_ED25519):
        apart, expected = compared(cases, chromium_port, first=first)
        assert apart == {}
        assert [n for n, verdict in expected.items() if verdict[1]] == ["0"]
