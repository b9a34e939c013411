"""How an erasure stands, for a person: one page, complete without a script, that prints well.

It is made here and not in the browser: who looks at a certificate may have it printed, or keep the
page, and nothing on it needs an answer from anywhere else. Everything that comes from elsewhere is
escaped. What the certificate does not prove stands on it, in the same size.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from html import escape
from typing import Final

from heptad.crypto.erasures import parse_certificate
from heptad.model.canonical import MalformedError
from heptad.model.erasing import Erasure
from heptad.model.erasure import (
    ErasureCertificate,
    ErasureGround,
    ErasureState,
    OrderedBy,
    RefusalGround,
    Remainder,
)
from heptad.model.problems import Problem
from heptad.model.requests import request_id_of
from heptad.verification.certificates import DOES_NOT_PROVE, PROVES
from heptad.wire.convert.entry import decode_entry

_STATES: Final = (ErasureState.RECEIVED, ErasureState.ORDERED, ErasureState.ERASED)
_TITLES: Final = {
    ErasureState.RECEIVED: "Received",
    ErasureState.ORDERED: "Ordered",
    ErasureState.ERASED: "Erased",
    ErasureState.REFUSED: "Refused",
}
_LEADS: Final = {
    ErasureState.RECEIVED: "The request is recorded. It is decided next.",
    ErasureState.ORDERED: "The erasure is ordered, and is being carried out. Mostly that takes a "
    "minute or two: keys that were lent have to run out first.",
    ErasureState.ERASED: "The data are erased, and the ledger has attested it.",
    ErasureState.REFUSED: "The request was refused. You may complain to a supervisory authority, "
    "and seek a judicial remedy.",
}
_GROUNDS: Final = {
    ErasureGround.NO_LONGER_NEEDED: "no longer necessary for what they were collected for",
    ErasureGround.CONSENT_WITHDRAWN: "the consent that they rest on is withdrawn",
    ErasureGround.OBJECTION: "the subject objects, and nothing overrides that",
    ErasureGround.UNLAWFUL_PROCESSING: "they have been processed unlawfully",
    ErasureGround.ERASURE_REQUIRED_BY_LAW: "the law requires their erasure",
    ErasureGround.OFFERED_TO_A_CHILD: "collected for services offered to a child",
}
_REFUSALS: Final = {
    RefusalGround.FREE_EXPRESSION: "freedom of expression and information",
    RefusalGround.LEGAL_OBLIGATION: "an obligation by law to keep them",
    RefusalGround.PUBLIC_TASK: "a task in the public interest or official authority",
    RefusalGround.PUBLIC_HEALTH: "public interest in public health",
    RefusalGround.ARCHIVING: "archiving, research or statistics in the public interest",
    RefusalGround.LEGAL_HOLD: "needed for legal claims",
    RefusalGround.NO_GROUND: "none of the grounds for erasure applies",
    RefusalGround.EXCESSIVE: "manifestly unfounded or excessive",
}
_BY: Final = {
    OrderedBy.SUBJECT: "the subject itself, by a signed request",
    OrderedBy.OFFICER: "a data-protection officer",
}
_REMAINS: Final = {
    Remainder.POSITION: "the entry's place in the log",
    Remainder.ENTRY_TIME: "its time",
    Remainder.SERVICE: "the service",
    Remainder.ACTION: "the action",
    Remainder.OUTCOME: "the outcome",
    Remainder.VALIDATOR: "the validator that admitted it",
    Remainder.COMMITMENT: "a commitment that nobody can open",
    Remainder.SIZES: "sizes of entries and batches",
    Remainder.TOMBSTONE: "a mark that keeps the subject's id from coming back",
}


def page_of(erasure: Erasure) -> bytes:
    """The page, UTF-8."""
    request_id = request_id_of(erasure.request_id)
    certificate = _certificate_of(erasure)
    title = "Certificate of erasure" if certificate else "Erasure"
    parts = [
        _head(title),
        f"<h1>{title}</h1>",
        f'<p class="lead">{escape(_lead(erasure))}</p>',
        _timeline(erasure.state),
        _facts(_standing(erasure, request_id)),
    ]
    if certificate is not None:
        parts.append(_attested(erasure, certificate, request_id))
    parts.append(_foot())
    return "\n".join(parts).encode("utf-8")


def _lead(erasure: Erasure) -> str:
    if erasure.state is ErasureState.ERASED and erasure.certificate is None:
        return "The data are erased. The next checkpoint of the log proves it, in a moment."
    return _LEADS[erasure.state]


def _certificate_of(erasure: Erasure) -> ErasureCertificate | None:
    """What the certificate's entry states; what cannot be read is not shown."""
    if erasure.certificate is None:
        return None
    try:
        return parse_certificate(decode_entry(erasure.certificate.entry).statement).statement
    except (Problem, MalformedError):
        return None


def _timeline(state: ErasureState) -> str:
    if state is ErasureState.REFUSED:
        states: tuple[ErasureState, ...] = (ErasureState.RECEIVED, ErasureState.REFUSED)
    else:
        states = _STATES
    reached = states.index(state)
    items = []
    for place, each in enumerate(states):
        mark = "done" if place < reached else "now" if place == reached else "next"
        current = ' aria-current="step"' if place == reached else ""
        items.append(f'<li class="{mark} {each}"{current}>{_TITLES[each]}</li>')
    return f'<ol class="states" aria-label="States">{"".join(items)}</ol>'


def _standing(erasure: Erasure, request_id: str) -> Iterable[tuple[str, str]]:
    yield "request", f"<code>{request_id}</code>"
    yield "asked for", f"{_time(erasure.received_at_ms)}, by {_BY[erasure.ordered_by]}"
    yield "ground", f"{_GROUNDS[erasure.ground]} (GDPR, {erasure.ground.article})"
    if erasure.state is ErasureState.RECEIVED:
        yield "decided by", f"{_time(erasure.decide_by_ms)} at the latest (GDPR, Art. 12(3))"
    if (refusal := erasure.refusal_ground) is not None:
        yield "refused", f"{_REFUSALS[refusal]} (GDPR, {refusal.article})"
    if (index := erasure.refusal_index) is not None:
        yield "refusal", f'<a href="/entry/{index}">entry {index}</a> of the log'
    if (index := erasure.order_index) is not None:
        yield "order", f'<a href="/entry/{index}">entry {index}</a> of the log'


def _attested(erasure: Erasure, certificate: ErasureCertificate, request_id: str) -> str:
    file = f'href="/v1/erasures/{request_id}/certificate" download'
    assert erasure.certificate is not None
    index = erasure.certificate.index
    return "\n".join(
        (
            "<h2>What the ledger attests</h2>",
            _facts(_destroyed(certificate)),
            "<h2>What remains</h2>",
            f"<p>Of {certificate.ciphertexts} entries: "
            f"{'; '.join(_REMAINS[each] for each in certificate.remains)}.</p>",
            _facts(_times(certificate)),
            "<h2>Proof</h2>",
            _facts(
                (
                    ("certificate", f'<a href="/entry/{index}">entry {index}</a> of the log'),
                    ("pseudonym", f"<code>{certificate.subject_pseudonym.hex()}</code>"),
                )
            ),
            f'<p class="file"><a class="button" {file}>Certificate as a file</a></p>',
            "<p>Check it off line, with policy and public keys of the cell from somebody else "
            "than this server:</p>",
            "<pre>heptad verify erasure-certificate.json --policy policy --cell cell.toml "
            "--subject ID</pre>",
            f"<p>If that holds, it is proved:</p>{_list(PROVES)}",
            f"<p>It is not proved:</p>{_list(DOES_NOT_PROVE)}",
        )
    )


def _destroyed(certificate: ErasureCertificate) -> Iterable[tuple[str, str]]:
    read_back = "read back, and gone" if certificate.read_back else "not read back"
    deleted = f"{certificate.ciphertexts} ciphertexts; {certificate.index_rows} rows that led there"
    key = (
        f"slot {certificate.slot}; root key {certificate.epoch_old} destroyed, "
        f"{certificate.epoch_new} took its place"
    )
    yield "erased", _time(certificate.erased_at_ms)
    yield "ordered", _time(certificate.ordered_at_ms)
    yield "deleted", deleted
    yield "key", key
    yield "place of the key", f"{escape(certificate.backend)}: {read_back}"
    yield "caveat", escape(certificate.caveat)
    yield "lent keys", f"none in use from {_time(certificate.leases_drained_at_ms)} on"
    yield "software", escape(certificate.software)


def _times(certificate: ErasureCertificate) -> Iterable[tuple[str, str]]:
    drop_by, until = _time(certificate.replicas_drop_by_ms), certificate.beyond_use_until_ms
    yield "copies", f"replicas delete theirs by {drop_by}; nobody can open them"
    link_until = _time(certificate.link_until_ms)
    yield "links", f"that entries were of one person, nothing shows from {link_until} on"
    if until is None:
        yield "backups", "none can restore the key"
    else:
        yield "backups", f"those that could restore the key are beyond use until {_time(until)}"


def _facts(rows: Iterable[tuple[str, str]]) -> str:
    """A list of names and values; values are HTML."""
    text = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in rows)
    return f'<dl class="facts">{text}</dl>'


def _list(lines: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def _time(time_ms: int) -> str:
    when = datetime.fromtimestamp(time_ms / 1000, UTC)
    shown = when.strftime("%d %B %Y, %H:%M:%S UTC").lstrip("0")
    return f'<time datetime="{when.isoformat(timespec="seconds")}">{shown}</time>'


def _head(title: str) -> str:
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="robots" content="noindex">
<title>{title} · Heptad</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/web/style.css">
<link rel="stylesheet" href="/web/erasure.css">
</head>
<body>
<header class="top"><strong>Heptad</strong><a href="/">Entries</a>\
<a href="/checker.html">Check a receipt</a></header>
<main>"""


def _foot() -> str:
    return """</main>
<footer>Whoever has this address sees this page: keep it to yourself. It names nobody.</footer>
</body>
</html>
"""
