"""The explorer in a browser, before a gateway whose ledger is a small real log."""

from dataclasses import replace

import chromium
import pytest

from heptad.crypto.keys import Ed25519Key
from heptad.model.entry import Entry, Kind, Outcome
from heptad.model.log_reads import InclusionProof, PublishedCheckpoint
from heptad.model.problems import Problem
from heptad.model.queries import EntryPage, LoggedEntry, Order, WatchedEntries
from heptad.transparency.checkpoint import Checkpoint, cosign_checkpoint, sign_checkpoint
from heptad.transparency.merkle import leaf_hash, node_hash
from heptad.transparency.notes import Note, SignatureType, VerifierKey
from heptad.transparency.policy import k_of_n_policy
from heptad.wire.convert.entry import encode_entry

ORIGIN, SIZE, MORE, TIME_S = "cell.example", 21, 3, 1_760_000_000
SIGNER = Ed25519Key(bytes([100]) * 32)
COSIGNERS = [Ed25519Key(bytes([n]) * 32) for n in range(1, 8)]
LOG_KEY = VerifierKey(ORIGIN, SignatureType.LOG, SIGNER.public_key)
KEYS = [
    VerifierKey(f"replica-{n}.{ORIGIN}", SignatureType.COSIGNATURE, key.public_key)
    for n, key in enumerate(COSIGNERS, start=1)
]
POLICY = k_of_n_policy(
    log=LOG_KEY, witnesses=[(f"replica-{n}", k) for n, k in enumerate(KEYS, start=1)], threshold=5
)

pytestmark = pytest.mark.skipif(chromium.executable() is None, reason="there is no Chromium here")


def entry_of(index: int) -> bytes:
    outcome = Outcome.DENIED if index % 5 == 4 else Outcome.ALLOWED
    time_ms = 1000 * (TIME_S + index)
    action = "<b>authenticate</b>" if index == 20 else "authenticate"
    entry = Entry(Kind.REQUEST, "tax-portal", action, outcome, time_ms, 1, bytes([index]) * 32)
    return encode_entry(entry)


LEAVES = [leaf_hash(entry_of(index)) for index in range(SIZE)]


def root_of(leaves: list[bytes]) -> bytes:
    if len(leaves) == 1:
        return leaves[0]
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return node_hash(root_of(leaves[:half]), root_of(leaves[half:]))


def proof_of(index: int, leaves: list[bytes]) -> list[bytes]:
    """RFC 9162, section 2.1.3.1."""
    if len(leaves) == 1:
        return []
    half = 1 << (len(leaves) - 1).bit_length() - 1
    if index < half:
        return [*proof_of(index, leaves[:half]), root_of(leaves[half:])]
    return [*proof_of(index - half, leaves[half:]), root_of(leaves[:half])]


def note(*, cosigners: int = 5) -> bytes:
    head = Checkpoint(ORIGIN, SIZE, root_of(LEAVES))
    pairs = list(zip(KEYS, COSIGNERS, strict=True))[:cosigners]
    lines = [sign_checkpoint(head, key=LOG_KEY, sign=SIGNER.sign)]
    lines += [cosign_checkpoint(head, key=k, time_s=TIME_S, sign=s.sign) for k, s in pairs]
    return Note(head.body(), tuple(lines)).encode()


def page_of(query):
    """Newest first; only what the test of filters needs."""
    assert query.order is Order.DESCENDING
    last = int(query.page_token or SIZE)
    found = [
        LoggedEntry(index, entry_of(index))
        for index in reversed(range(max(0, last - 15), last))
        if query.filter.outcome in (Outcome.NONE, Outcome.DENIED if index % 5 == 4 else None)
    ]
    return EntryPage(tuple(found), str(last - 15) if last > 15 else "", 0, SIZE)


def answers() -> dict[str, object]:
    arrived = [LoggedEntry(SIZE + n, entry_of(SIZE + n)) for n in range(MORE)]
    return {
        "checkpoint": PublishedCheckpoint(note(), SIZE),
        "entries": page_of,
        "entry": entry_of,
        "inclusion_proof": lambda index, size: InclusionProof(
            index, size, tuple(proof_of(index, LEAVES))
        ),
        "watch": [WatchedEntries((), SIZE, SIZE), WatchedEntries(tuple(arrived), 24, 24), None],
    }


@pytest.fixture
def browsing(gateway, chromium_port):
    """Runs `async def story(page, gateway, base)` in a tab before a gateway with that log."""

    def run(story):
        async def whole(running):
            running.ledger.answers |= answers()
            async with chromium.page(chromium_port) as page:
                base = f"http://127.0.0.1:{running.port}"
                await story(page, running, base)
                asked = [url for url in page.requested if not url.startswith("data:")]
                assert {url[: len(base)] for url in asked} == {base}

        gateway(whole, policy=POLICY.format())

    return run


ROWS = "[...document.querySelectorAll('#rows tr')].map((row) => Number(row.dataset.index))"


def test_the_newest_entries_come_first_and_new_ones_on_top(browsing):
    async def story(page, _gateway, base):
        await page.open(f"{base}/")
        await page.until(f"{ROWS}.length === {15 + MORE}")
        assert await page.run(ROWS) == list(range(SIZE + MORE - 1, 5, -1))
        await page.run("document.getElementById('older').click()")
        await page.until(f"{ROWS}.length === {SIZE + MORE}")
        assert await page.run("document.getElementById('older').hidden") is True
        assert page.complaints == []

    browsing(story)


def test_what_an_entry_says_is_shown_as_text_and_never_as_markup(browsing):
    async def story(page, _gateway, base):
        await page.open(f"{base}/")
        row = "document.querySelector('[data-index=\"20\"]')"
        await page.until(f"{row}?.innerText.includes('<b>authenticate</b>')")
        assert await page.run(f"{row}.querySelector('b')") is None

    browsing(story)


def test_the_checkpoint_names_its_cosigners_after_checking_them(browsing):
    async def story(page, gateway, base):
        await page.open(f"{base}/")
        await page.until("document.querySelectorAll('#cosigners li').length === 7")
        names = "[...document.querySelectorAll('#cosigners .%s')].map((item) => item.textContent)"
        assert await page.run(names % "yes") == [f"replica-{n}" for n in range(1, 6)]
        assert await page.run(names % "missing") == ["replica-6", "replica-7"]
        assert await page.run("document.getElementById('judged').className") == "yes"
        assert await page.run("document.getElementById('size').textContent") == str(SIZE)

        gateway.ledger.answers["checkpoint"] = PublishedCheckpoint(note(cosigners=4), SIZE)
        await page.open(f"{base}/?again")
        await page.until("document.getElementById('judged').className === 'no'")
        assert "5 are needed" in await page.run("document.getElementById('judged').textContent")

    browsing(story)


def test_a_filter_is_in_the_address_and_asks_the_ledger(browsing):
    async def story(page, gateway, base):
        await page.open(f"{base}/?outcome=denied&from_ms=1760000000000&kind=REQUEST")
        await page.until(f"{ROWS}.includes(14) && {ROWS}.includes({SIZE + MORE - 1})")
        asked = next(call[1] for call in gateway.ledger.asked if call[0] == "entries").filter
        assert (asked.outcome, asked.from_ms) == (Outcome.DENIED, 1_760_000_000_000)
        assert asked.kinds == (Kind.REQUEST,)
        watched = next(call[1] for call in gateway.ledger.asked if call[0] == "watch")
        assert watched == replace(asked, start_index=SIZE)

        fill = "document.querySelector('[name=service]').value = 'tax-portal'"
        await page.run(f"{fill}; document.querySelector('form button').click()")
        await page.until("location.search.includes('service=tax-portal')")
        assert "outcome=denied" in await page.run("location.search")

    browsing(story)


def test_an_entry_is_shown_with_its_bytes_and_its_way_to_the_root(browsing):
    async def story(page, _gateway, base):
        await page.open(f"{base}/entry/7")
        await page.until("document.querySelector('svg.tree')")
        assert await page.run("document.querySelector('svg.tree').dataset.root") == (
            root_of(LEAVES).hex()
        )
        assert await page.run("document.getElementById('proof-says').className") == "small yes"
        raw = "document.getElementById('raw').textContent"
        assert entry_of(7)[:8].hex(" ") in await page.run(raw)
        assert "tax-portal" in await page.run("document.getElementById('facts').innerText")
        assert page.complaints == []

    browsing(story)


def test_a_server_whose_answers_do_not_fit_together_is_found_out(browsing):
    async def story(page, gateway, base):
        gateway.ledger.answers["entry"] = lambda _index: entry_of(8)
        await page.open(f"{base}/entry/7")
        await page.until("document.querySelector('svg.tree .wrong')")
        assert await page.run("document.getElementById('proof-says').className") == "small no"

    browsing(story)


def test_trouble_is_said_in_the_servers_words(browsing):
    async def story(page, gateway, base):
        gateway.ledger.answers["entries"] = Problem("ledger_unavailable", "the ledger is away")
        await page.open(f"{base}/")
        trouble = "document.getElementById('trouble')"
        await page.until(f"!{trouble}.hidden && {trouble}.textContent.includes('away')")

    browsing(story)


def test_an_entry_that_is_not_there_is_told_and_nothing_of_it_is_shown(browsing):
    async def story(page, gateway, base):
        gateway.ledger.answers["entry"] = Problem("index_out_of_range", "index 99, published are 9")
        await page.open(f"{base}/entry/99")
        trouble = "document.getElementById('trouble')"
        await page.until(f"!{trouble}.hidden && {trouble}.textContent.includes('published')")
        assert await page.run("document.getElementById('parts').checkVisibility()") is False
        gateway.ledger.answers["entry"] = entry_of
        await page.open(f"{base}/entry/7")
        await page.until("document.getElementById('parts').checkVisibility()")

    browsing(story)


@pytest.mark.parametrize("path", ["/", "/entry/7", "/checker.html"])
def test_a_page_fits_a_telephone_and_names_what_can_be_used(browsing, path):
    async def story(page, _gateway, base):
        await page.send(
            "Emulation.setDeviceMetricsOverride", width=360, height=780, deviceScaleFactor=1,
            mobile=True,
        )  # fmt: skip
        await page.open(base + path)
        await page.until("!document.querySelector('[aria-busy]')")
        assert await page.run("document.documentElement.scrollWidth") <= 360
        tree = await page.send("Accessibility.getFullAXTree")
        used = {"button", "link", "textbox", "combobox", "Date and time", "DateTime"}
        nameless = [
            node for node in tree["nodes"]
            if node.get("role", {}).get("value") in used
            and not node.get("name", {}).get("value") and not node.get("ignored")
        ]  # fmt: skip
        assert nameless == []
        assert await page.run("document.querySelectorAll('h1').length") == 1
        assert await page.run("document.documentElement.lang") == "en"

    browsing(story)
