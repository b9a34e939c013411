"""The export for people: pages without scripts, without anything from elsewhere, that print well.

Up to `ENTRIES_PER_PAGE` entries stand in `index.html`; more are on numbered pages, so that any
of them opens at once. Everything that somebody else has written is escaped, and the policy in
each page's head would keep a browser from running or loading anything even if it were not.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from importlib.resources import files
from itertools import islice
from typing import Final

from heptad.exports.held import About
from heptad.exports.rows import Row, data_of, in_utc, to_json

ENTRIES_PER_PAGE: Final = 500

_CSP: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

_WORDS: Final = {
    "REQUEST": "You asked {service}: {action}",
    "EVENT": "{service} recorded: {action}",
    "SUBJECT_REGISTERED": "You were registered",
    "KEY_ADDED": "A key of yours was added",
    "KEY_REVOKED": "A key of yours was revoked",
    "EXPORT": "You asked for your data",
    "ACCESS": "Somebody worked with your data: {action}",
}


@dataclass(frozen=True, slots=True)
class Summary:
    """What stands at the top: counts by kind, sources as in `sources.json`, numbered pages."""

    about: About
    sources: Sequence[Mapping[str, object]]
    kinds: Mapping[str, int]
    not_held: int
    pages: int
    continues_at: int | None = None


def page_count(entries: int) -> int:
    """How many numbered pages there are: none where all stands in the first."""
    return 0 if entries <= ENTRIES_PER_PAGE else -(-entries // ENTRIES_PER_PAGE)


def page_name(page: int) -> str:
    """The file of a numbered page, from 1."""
    return f"pages/{page:04d}.html"


def first_page(
    summary: Summary, accesses: Iterable[Mapping[str, object]], rows: Iterable[Row]
) -> Iterator[bytes]:
    """`index.html`; `rows` are the entries, where they stand in it."""
    about = summary.about
    yield _head(f"What {about.origin} holds about you")
    yield from _encoded(_opening(summary))
    yield from _encoded(_accesses(accesses))
    yield from _encoded(_sources(summary))
    if summary.pages:
        yield b'<h2 id="entries">All entries</h2><nav>'
        for page in range(1, summary.pages + 1):
            yield f'<a href="{page_name(page)}">page {page}</a> '.encode()
        yield b"</nav>"
    else:
        yield b'<h2 id="entries">All entries</h2>'
        yield from _table(rows, "")
    yield from _encoded(_closing())


def entries_page(summary: Summary, page: int, rows: Iterator[Row]) -> Iterator[bytes]:
    """One numbered page: the next entries of `rows`."""
    yield _head(f"Entries, page {page} of {summary.pages}")
    yield f"<h1>Entries, page {page} of {summary.pages}</h1>".encode()
    yield _turn(page, summary.pages)
    yield from _table(islice(rows, ENTRIES_PER_PAGE), "../")
    yield _turn(page, summary.pages) + b"</body></html>\n"


def _head(title: str) -> bytes:
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_CSP}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="referrer" content="no-referrer">'
        f"<title>{escape(title)}</title><style>{_style()}</style></head><body>\n"
    ).encode()


@lru_cache(maxsize=1)
def _style() -> str:
    return files(__package__).joinpath("page.css").read_text("utf-8")


def _turn(page: int, pages: int) -> bytes:
    links = ['<a href="../index.html">overview</a>']
    if page > 1:
        links.append(f'<a href="{page_name(page - 1)[6:]}">earlier</a>')
    if page < pages:
        links.append(f'<a href="{page_name(page + 1)[6:]}">later</a>')
    return f"<nav>{''.join(links)}</nav>\n".encode()


def _opening(summary: Summary) -> Iterator[str]:
    about = summary.about
    who = "you" if about.role == "subject" else f"{about.role} {about.caller}"
    count = sum(summary.kinds.values())
    yield f"<h1>What {escape(about.origin)} holds about you</h1>"
    yield f'<p class="soft">Made {_when(in_utc(about.created_ms))} at the request of '
    yield f"{escape(who)}; recorded as entry {about.own_index}.</p><dl>"
    kinds = ", ".join(f"{number:,} {_kind(kind)}" for kind, number in summary.kinds.items())
    facts = {
        "Your id here": f"<code>{escape(about.subject_id)}</code>",
        "Entries about you": f"{count:,} ({kinds})",
        "Out of": f"the log's first {about.checkpoint.size:,} (file <code>checkpoint</code>)",
    }
    for name, value in facts.items():
        yield f"<dt>{escape(name)}</dt><dd>{value}</dd>"
    yield "</dl>\n"
    if about.from_index or summary.continues_at is not None:
        more = f", and not those from {summary.continues_at} on" if summary.continues_at else ""
        yield f'<p class="bad">This is a part: your entries from index {about.from_index} on{more}.'
        yield "</p>\n"
    if summary.not_held:
        yield f'<p class="bad">Of {summary.not_held:,} entries the private half is not held any '
        yield "more: the log shows that something was recorded, and what it was is gone.</p>\n"


def _accesses(accesses: Iterable[Mapping[str, object]]) -> Iterator[str]:
    yield '<h2 id="accesses">Who opened your data, or decided about it</h2>\n'
    yield "<table><thead><tr><th>When<th>Who<th>What<th>Why<th>Entry</tr></thead><tbody>\n"
    for access in accesses:
        who = "you" if access["role"] == "subject" else f"{access['role']} {access['by']}"
        what = " · ".join(str(access[name]) for name in ("action", "what") if access[name])
        why = " · ".join(str(access[name]) for name in ("ground", "reason") if access[name])
        yield (
            f'<tr><td class="when">{_when(access["time"])}<td>{_text(who)}'
            f"<td>{_text(what)}<td>{_text(why)}"
            f'<td class="number">{access["index"]}</tr>\n'
        )
    yield "</tbody></table>\n"


def _sources(summary: Summary) -> Iterator[str]:
    yield '<h2 id="sources">Who recorded it, and what for</h2>\n'
    yield "<table><thead><tr><th>Service<th>Entries<th>Purpose<th>Who else gets it<th>How long"
    yield "</tr></thead><tbody>\n"
    for source in summary.sources:
        recipients = source["recipients"]
        assert isinstance(recipients, list)
        purpose = source["purpose"] if source["is_configured"] else "no service of this cell now"
        yield (
            f'<tr><td>{_text(source["service"])}<td class="number">{source["entries"]}'
            f"<td>{_text(purpose)}<td>{_text(', '.join(recipients) or 'nobody named')}"
            f"<td>{_text(source['retention'] or 'not stated')}</tr>\n"
        )
    yield "</tbody></table>\n"


def _table(rows: Iterable[Row], up: str) -> Iterator[bytes]:
    yield b"<table><thead><tr><th>When<th>What<th>In private<th>Proof</tr></thead><tbody>\n"
    for row in rows:
        yield _line(row, up).encode()
    yield b"</tbody></table>\n"


def _line(row: Row, up: str) -> str:
    record = row["record"]
    assert isinstance(record, dict)
    denied = ' <span class="bad">refused</span>' if row.get("outcome") == "denied" else ""
    return (
        f'<tr><td class="when">{_when(row.get("time", ""))}'
        f"<td>{_text(_what(row, record))}{denied}"
        f"<td>{_private(record)}"
        f'<td class="number"><a href="{up}{_text(row.get("receipt", ""))}">{row["index"]}</a>'
        "</tr>\n"
    )


def _what(row: Row, record: Mapping[str, object]) -> str:
    """In words, what was recorded; of a denied request the entry itself may say nothing."""
    service, action = row.get("service", ""), row.get("action", "")
    claims = record.get("claims")
    if isinstance(claims, dict):
        service, action = service or claims["svc"], action or claims["act"]
    kind = str(row["kind"])
    return _WORDS.get(kind, kind or "Unreadable").format(service=service, action=action)


def _when(time: object) -> str:
    """A time for people: to the second, in UTC; the tables have it to the millisecond."""
    text = str(time)
    return _text(f"{text[:10]} {text[11:19]} UTC" if text.endswith("Z") else text)


def _private(record: Mapping[str, object]) -> str:
    if record["type"] == "not held":
        return '<span class="bad">not held any more</span>'
    if record["type"] == "contradicted":
        return '<span class="bad">not what the entry commits to</span>'
    return f"<pre>{_text(to_json(data_of(record)))}</pre>"


def _closing() -> Iterator[str]:
    yield """
<h2 id="check">How to check it</h2>
<p>Each entry's proof is a file in <code>receipts/</code>. <code>README.txt</code> shows how to
check one with nothing but a shell: that the entry commits to what stands here, that it is in the
log, and that the log's head is signed. With Heptad:
<code>heptad verify EXPORT.zip --policy policy</code>, where the policy comes from somebody else
than who gave you this archive.</p>
<h2 id="rights">What you may ask for</h2>
<p>You may have your data erased. What then remains for good is the public half of each entry: its
time, service, action and outcome, and a commitment that says nothing without the witness in its
receipt. Whatever copies of this archive there are remain, too: keep it as you keep other private
papers.</p>
</body></html>
"""


def _kind(kind: str) -> str:
    return escape(kind.replace("_", " ").lower() if kind else "unreadable")


def _text(value: object) -> str:
    return escape(str(value), quote=True)


def _encoded(parts: Iterable[str]) -> Iterator[bytes]:
    return (part.encode() for part in parts)
