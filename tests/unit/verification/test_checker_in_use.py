"""The receipt checker as a person uses it: from disk, with files, without a network."""

import asyncio
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import chromium
import pytest

from heptad.transparency.policy import fingerprint
from heptad.verification import examine_receipt_file

CHECKER = Path(str(files("heptad_gateway").joinpath("web", "checker.html")))

pytestmark = pytest.mark.skipif(chromium.executable() is None, reason="there is no Chromium here")


VERDICT = "document.getElementById('verdict').innerText"


def dropped(port, tmp_path, receipt, policy, ask, *, verdict="VALID", **more):
    """Both files chosen by hand, on a page that has no network; what the page then says."""

    async def story():
        async with chromium.page(port) as page:
            await page.send("Network.emulateNetworkConditions", offline=True, latency=0,
                            downloadThroughput=-1, uploadThroughput=-1)  # fmt: skip
            await page.open(CHECKER.as_uri())
            for name, data in {"receipt": receipt, "policy": policy, **more}.items():
                path = tmp_path / name
                path.write_bytes(data)
                await page.choose(f"#{name}", path)
            await page.until(f"{VERDICT}.startsWith('{verdict}')")
            told = await page.run(ask)
            assert page.requested in ([], [CHECKER.as_uri()])
            assert page.complaints == []
            return told

    return asyncio.run(story())


def test_a_person_sees_every_step_off_line_and_nothing_is_sent(
    chromium_port, tmp_path, receipt_file, policy
):
    ask = """({
        verdict: document.querySelector('.verdict strong').textContent,
        steps: [...document.querySelectorAll('[data-step]')].map((line) => line.dataset.step),
        failed: document.querySelectorAll('.steps .failed').length,
        root: document.querySelector('svg.tree').dataset.root,
        knots: document.querySelectorAll('svg.tree .knot[tabindex][aria-label]').length,
        policy: document.querySelector('#policy-says button').title,
        wide: document.documentElement.scrollWidth > innerWidth })"""
    told = dropped(chromium_port, tmp_path, receipt_file.encode(), policy.format(), ask)
    report = examine_receipt_file(receipt_file, policy=policy, now_s=2**40)
    hashes = len(receipt_file.receipt.proof)
    assert told == {
        "verdict": "VALID",
        "steps": [finding.subject for finding in report.findings],
        "failed": 0,
        "root": report.checkpoint.root.hex(),
        "knots": 2 * hashes + 1,
        "policy": fingerprint(policy.format()),
        "wide": False,
    }


def test_a_broken_receipt_is_said_to_be_invalid_and_why(
    chromium_port, tmp_path, receipt_file, policy
):
    broken = replace(receipt_file, entry=receipt_file.entry + b"\x50\x01").encode()
    told = dropped(chromium_port, tmp_path, broken, policy.format(), VERDICT, verdict="INVALID")
    assert told.startswith("INVALID\n")
    assert "root" in told


def test_a_plain_proof_is_checked_once_its_entry_is_there(
    chromium_port, tmp_path, receipt_file, policy
):
    proof = receipt_file.receipt.encode()
    ask = "document.getElementById('entry-asked').hidden"
    told = dropped(chromium_port, tmp_path, proof, policy.format(), ask, entry=receipt_file.entry)
    assert told is False


def test_the_page_cannot_connect_even_if_it_wanted_to(chromium_port):
    async def story():
        async with chromium.page(chromium_port) as page:
            await page.open(CHECKER.as_uri())
            try_it = "fetch('https://a.example/').then(() => 'sent', () => 'refused')"
            assert await page.run(try_it) == "refused"
            assert any("Content Security Policy" in said for said in page.complaints)

    asyncio.run(story())
