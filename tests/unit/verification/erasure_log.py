"""A log in which somebody was erased: its order, its certificate, all by real keys."""

from unit.verification.conftest import NOW_S, ORIGIN, log_of

from heptad.crypto.erasures import sign_certificate, sign_order
from heptad.crypto.keys import Ed25519Key
from heptad.model.entry import Entry, Kind, Outcome
from heptad.model.erasing import CertificateParts, Erasure
from heptad.model.erasure import (
    REMAINS,
    ErasureCertificate,
    ErasureGround,
    ErasureOrder,
    ErasureState,
    OrderedBy,
    request_digest,
    subject_pseudonym,
)
from heptad.model.requests import request_hash
from heptad.transparency.tiled_tree import inclusion_proof
from heptad.transparency.tiles import FetchedTiles
from heptad.wire.convert.entry import encode_entry

KEY = Ed25519Key(b"A" * 32)
RETIRED_MS = (NOW_S + 3_600) * 1_000


def KEYS(time_ms):  # noqa: N802  stands for the keys of a cell
    """The attestation keys at a time: one, that ends an hour after everything here."""
    return {KEY.public.kid: KEY.public} if time_ms < RETIRED_MS else {}


SUBJECT = "kn-abcdefghijklmnopqrstuvwxyz"
HASH = request_hash(iss=SUBJECT, jti="0b8f1f9e-6c1f-4c39-9c57-52a0d2fdd8a1")
SALT = b"s" * 32
ORDER_INDEX, INDEX = 10, 12

ORDER = ErasureOrder(
    origin=ORIGIN,
    slot=4_711,
    ground=ErasureGround.CONSENT_WITHDRAWN,
    ordered_by=OrderedBy.SUBJECT,
    request_digest=request_digest(salt=SALT, request_hash=HASH),
    ordered_at_ms=NOW_S * 1_000,
)
CERTIFICATE = ErasureCertificate(
    origin=ORIGIN,
    order_index=ORDER_INDEX,
    slot=ORDER.slot,
    ground=ORDER.ground,
    ordered_by=ORDER.ordered_by,
    request_digest=ORDER.request_digest,
    subject_pseudonym=subject_pseudonym(salt=SALT, subject_id=SUBJECT),
    ordered_at_ms=ORDER.ordered_at_ms,
    erased_at_ms=NOW_S * 1_000 + 65_000,
    epoch_old=1,
    epoch_new=2,
    root_hash=b"r" * 32,
    backend="two-slot file",
    caveat="a drive that remaps blocks may still hold the old block",
    read_back=True,
    ciphertexts=1,
    index_rows=2,
    leases_drained_at_ms=NOW_S * 1_000 + 64_000,
    replicas_drop_by_ms=NOW_S * 1_000 + 125_000,
    link_until_ms=NOW_S * 1_000 + 90_000_000,
    beyond_use_until_ms=None,
    remains=REMAINS,
    software="heptad 0.1.0",
)


def statement(kind, signed, entered_ms=NOW_S * 1_000):
    return encode_entry(
        Entry(
            kind=kind, service="", action="", outcome=Outcome.NONE, time_ms=entered_ms,
            validator=1, commitment=b"", statement=signed,
        )
    )  # fmt: skip


def made(
    order=ORDER,
    certificate=CERTIFICATE,
    *,
    key=KEY,
    order_kind=Kind.ERASURE_ORDERED,
    kind=Kind.ERASED,
    entered_ms=NOW_S * 1_000,
    order_index=ORDER_INDEX,
):
    """An erasure as a ledger tells of it, its two entries in a log of twenty."""
    log = log_of(20)
    entries = {
        order_index: statement(order_kind, sign_order(key, order), entered_ms),
        INDEX: statement(kind, sign_certificate(key, certificate), entered_ms),
    }
    leaves = [entries.get(index, leaf) for index, leaf in enumerate(log.entries)]
    log = log_of(0)
    log.append(leaves)
    inclusion = inclusion_proof(
        leaf_index=order_index, tree_size=log.edge.size, tiles=FetchedTiles(log.read)
    )
    return Erasure(
        request_id=HASH, salt=SALT, state=ErasureState.ERASED, ordered_by=OrderedBy.SUBJECT,
        ground=order.ground, received_at_ms=1, decide_by_ms=2, order_index=ORDER_INDEX,
        certificate=CertificateParts(
            INDEX, entries[INDEX], log.receipt(INDEX).encode(), entries[order_index],
            tuple(inclusion),
        ),
    )  # fmt: skip
