"""A small log with one subject's entries of every kind in it, among others', and its export."""

import io
import itertools
import json
import uuid
import zipfile
from dataclasses import dataclass, field, replace

import pytest

from heptad.crypto.accesses import sign_access
from heptad.crypto.bundles import (
    Event,
    ServiceKey,
    membership_path,
    public_events,
    sign_bundle,
)
from heptad.crypto.keys import Ed25519Key
from heptad.crypto.registration import sign_registration
from heptad.crypto.requests import sign_request
from heptad.crypto.sealing import commitment
from heptad.exports import About, Archive, Held, ServiceFacts, Trusted, check_export
from heptad.model.access import AccessRecord
from heptad.model.bundles import event_leaves, private_half
from heptad.model.entry import Entry, Kind, Outcome
from heptad.model.log_reads import BundleMembership, PublishedCheckpoint
from heptad.model.subjects import subject_id
from heptad.transparency.checkpoint import Checkpoint, cosign_checkpoint, sign_checkpoint
from heptad.transparency.merkle import CompactRange, leaf_hashes
from heptad.transparency.notes import Note, SignatureType, VerifierKey
from heptad.transparency.policy import k_of_n_policy
from heptad.transparency.receipt import Receipt
from heptad.transparency.tiled_tree import TiledTree, append_leaves
from heptad.verification import ReceiptFile
from heptad.wire.convert.entry import encode_entry
from heptad.wire.convert.entry_facts import entry_facts

ORIGIN = "cell.example"
NOW_MS = 1_760_000_000_000
NOW_S = NOW_MS // 1000
LOG_KEY = Ed25519Key(b"L" * 32)
COSIGN_KEYS = [Ed25519Key(bytes([n]) * 32) for n in range(1, 8)]
SERVICE_KEY = Ed25519Key(b"S" * 32)
ATTESTATION_KEY = Ed25519Key(b"A" * 32)
SUBJECT_KEY = Ed25519Key(b"s" * 32)


@dataclass
class Log:
    """Leaves, and what one subject holds of them."""

    entries: list[bytes] = field(default_factory=list)
    helds: list[Held] = field(default_factory=list)
    bundles: dict[int, tuple[int, list[bytes]]] = field(default_factory=dict)
    tiles: dict[tuple[int, int], bytes] = field(default_factory=dict)
    checkpoint: PublishedCheckpoint | None = None
    continues_at: int | None = None
    _numbers: itertools.count = field(default_factory=lambda: itertools.count(1))

    def add(self, entry: Entry) -> int:
        """A leaf of anybody's."""
        self.entries.append(encode_entry(entry))
        return len(self.entries) - 1

    def hold(self, payload, *, kind, service="heptad", action="", outcome=Outcome.ALLOWED):
        """A leaf of the subject's, with its private half."""
        witness = next(self._numbers).to_bytes(32, "big")
        index = self.add(
            Entry(
                kind=kind, service=service, action=action, outcome=outcome,
                time_ms=NOW_MS + 1_000 * len(self.entries), validator=1,
                commitment=commitment(witness=witness, payload=payload),
            )
        )  # fmt: skip
        self.helds.append(Held(index, self.entries[index], payload, witness))
        return index

    def jti(self):
        return str(uuid.UUID(int=next(self._numbers)))

    def publish(self):
        """Sign the head, as a quorum has."""
        hashes = leaf_hashes(self.entries)
        grown = append_leaves(before=CompactRange.empty(), leaf_hashes=hashes, tiles=self)
        self.tiles = {(tile.level, tile.index): tile.hashes for tile in grown.tiles}
        head = Checkpoint(ORIGIN, grown.after.size, grown.after.root())
        lines = [sign_checkpoint(head, key=log_vkey(), sign=LOG_KEY.sign)]
        lines += [
            cosign_checkpoint(head, key=vkey, time_s=NOW_S, sign=key.sign)
            for (_, vkey), key in zip(witness_vkeys()[:5], COSIGN_KEYS, strict=False)
        ]
        self.checkpoint = PublishedCheckpoint(Note(head.body(), tuple(lines)).encode(), head.size)
        self.tree = TiledTree(size=head.size, tiles=self)

    def read_tile(self, *, level, index, width):
        return self.tiles[level, index][: width * 32]

    # heptad.exports.Source

    @property
    def indexes(self):
        return [held.index for held in self.helds]

    def held(self, kinds=None):
        for held in self.helds:
            if kinds is None or entry_facts([held.data])[0][0] in kinds:
                yield held

    def receipt(self, held):
        receipt = Receipt(held.index, self.proof(held.index), self.checkpoint.note)
        bundle = None
        if held.index in self.bundles:
            own, leaves = self.bundles[held.index]
            path = membership_path(leaves, held.index - own - 1)
            bundle = BundleMembership(own, self.entries[own], self.proof(own), path)
        return ReceiptFile(held.data, receipt, held.payload, held.witness, bundle)

    def proof(self, index):
        return tuple(self.tree.inclusion_proof(index))


def log_vkey():
    return VerifierKey(ORIGIN, SignatureType.LOG, LOG_KEY.public_key)


def witness_vkeys():
    return [
        (f"replica-{n}", VerifierKey(f"replica-{n}.{ORIGIN}", SignatureType.COSIGNATURE,
                                     key.public_key))
        for n, key in enumerate(COSIGN_KEYS, start=1)
    ]  # fmt: skip


POLICY = k_of_n_policy(log=log_vkey(), witnesses=witness_vkeys(), threshold=5)


def filled(*, requests=3, data=None, **access):
    """The log, and its subject: registered, with requests, an event, an access, an export."""
    log = Log()
    registration = sign_registration(
        SUBJECT_KEY, aud=ORIGIN, jti=log.jti(), iat=NOW_S, exp=NOW_S + 60, svc="heptad"
    )
    log.hold(registration, kind=Kind.SUBJECT_REGISTERED, action="subject.register")
    subject = subject_id(cell_code="kn", witness=log.helds[0].witness, payload=log.helds[0].payload)

    def request(svc, act, kind=Kind.REQUEST, outcome=Outcome.ALLOWED):
        jws = sign_request(
            SUBJECT_KEY, iss=subject, aud=ORIGIN, jti=log.jti(), iat=NOW_S, exp=NOW_S + 60,
            svc=svc, act=act, data=data or {"form": "A-7"},
        )  # fmt: skip
        shown = ("", "") if outcome is Outcome.DENIED else (svc, act)
        log.hold(jws, kind=kind, service=shown[0], action=shown[1], outcome=outcome)

    for _ in range(requests):
        request("tax-portal", "consent.grant")
        log.add(Entry(Kind.REQUEST, "bank", "authenticate", Outcome.ALLOWED, NOW_MS, 2, b"c" * 32))
    request("tax-portal", "be.evil", outcome=Outcome.DENIED)
    _bundle(log, subject)
    said = AccessRecord(
        ledger="ledger-1", origin=ORIGIN, jti=log.jti(), time_s=NOW_S, subject_id=subject,
        action="subject.export", role="officer", caller="dpo", ground="Art. 15",
        reason="asked for in writing <b>&",
    )  # fmt: skip
    said = replace(said, **access)
    log.hold(sign_access(ATTESTATION_KEY, said), kind=Kind.ACCESS, action=said.action,
             outcome=Outcome.NONE)  # fmt: skip
    request("heptad", "subject.export", kind=Kind.EXPORT)
    log.publish()
    return log, subject


def _bundle(log, subject):
    """A service's bundle, of which the second event is the subject's."""
    stranger = "kn-" + "b" * 26
    events = [
        Event(stranger, "record.open", b"{}", NOW_MS),
        Event(subject, "record.open", b'=HYPERLINK("x")', NOW_MS),
    ]
    witnesses = itertools.count(1_000)
    bundle = sign_bundle(
        SERVICE_KEY, events, iss="tax-portal", aud=ORIGIN, jti=log.jti(), iat=NOW_S, exp=NOW_S + 60,
        entropy=lambda count: next(witnesses).to_bytes(count, "big"),
    )  # fmt: skip
    own = log.add(Entry(Kind.BUNDLE, "tax-portal", "", Outcome.NONE, NOW_MS, 1, b"",
                        bundle.statement))  # fmt: skip
    public = public_events(bundle.events)
    leaves = event_leaves(public, service="tax-portal")
    for private, seen in zip(bundle.events, public, strict=True):
        index = log.add(Entry(Kind.EVENT, "tax-portal", seen.action, seen.outcome, seen.time_ms, 1,
                              seen.commitment))  # fmt: skip
        if private.subject == subject:
            half = private_half(subject=subject, payload=private.payload)
            log.helds.append(Held(index, log.entries[index], half, private.witness))
            log.bundles[index] = own, leaves


def about(log, subject, **changes):
    known = About(
        origin=ORIGIN, subject_id=subject, created_ms=NOW_MS, role="subject", caller="",
        own_index=log.helds[-1].index, checkpoint=log.checkpoint, software="heptad 0.1.0",
        services=(ServiceFacts("tax-portal", "to tax", ("the treasury",), "ten years"),),
    )  # fmt: skip
    return replace(known, **changes)


@dataclass
class Export:
    """An archive's bytes, what it was made of, and ways to look at it and to spoil it."""

    log: Log
    subject: str
    data: bytes

    def open(self):
        return zipfile.ZipFile(io.BytesIO(self.data))

    def read(self, name):
        with self.open() as archive:
            return archive.read(name)

    def json(self, name):
        return json.loads(self.read(name))

    def spoiled(self, change):
        """The same archive with the files that `change(files)` has changed, and a manifest that
        agrees with them."""
        with self.open() as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        change(files)
        return replace(self, data=zipped(files))


def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def made(log, subject, **changes):
    pieces = list(Archive(log, about(log, subject, **changes)).pieces())
    return Export(log, subject, b"".join(piece.data for piece in pieces))


@pytest.fixture(scope="session")
def export():
    """An export of everything that there can be."""
    return made(*filled())


@pytest.fixture
def checked(tmp_path):
    """The report on an export, by the log's policy or another, and by keys of the cell."""

    def check(export, *, policy=POLICY, **keys):
        path = tmp_path / "export.zip"
        path.write_bytes(export.data)
        return check_export(path, by=Trusted(policy, NOW_S + 60, **keys))

    return check


@pytest.fixture(scope="session")
def kit():
    """The pieces above, for tests that need others than those."""
    from types import SimpleNamespace

    public, attesting = SERVICE_KEY.public, ATTESTATION_KEY.public
    return SimpleNamespace(
        filled=filled, made=made, about=about, Log=Log, zipped=zipped, POLICY=POLICY,
        NOW_S=NOW_S, keys={"services": {"tax-portal": {public.kid: ServiceKey(public)}},
                           "attestation": {attesting.kid: attesting}},
    )  # fmt: skip
