"""The pages of a running cell in a browser: what is recorded appears, and its receipt is valid.

The story: somebody has the explorer open. Meanwhile a citizen's request is recorded: its row comes
on top by itself, its own page leads it to the root, and its receipt holds under the policy that
was handed over by somebody else than the gateway.
"""

import asyncio
from importlib.resources import files
from pathlib import Path

import chromium
import pytest

from heptad.trials import meshes

CHECKER = Path(str(files("heptad_gateway").joinpath("web", "checker.html")))

pytestmark = pytest.mark.skipif(chromium.executable() is None, reason="there is no Chromium here")


def test_what_is_recorded_appears_in_an_open_page_and_its_receipt_is_valid(
    mesh, tools, chromium_port, tmp_path
):
    async def story(page):
        [person] = await tools.new_people(mesh, 1)
        crowd = tools.Crowd(mesh, [person])
        async with tools.session(mesh) as http:
            await tools.checkpoint(http, size_min=1)
            await page.open(f"{mesh.gateway_url}/")
            await page.until("document.querySelector('#rows tr')")
            await crowd.insist(http, person.jws(tools.claims_of(person, mesh.cell.origin)))
        [(request_id, index)] = crowd.acknowledged.items()
        await page.until(f"document.querySelector('tr.new[data-index=\"{index}\"]')")
        await page.until("document.querySelectorAll('#cosigners .yes').length >= 5")

        await page.open(f"{mesh.gateway_url}/entry/{index}")
        await page.until("document.getElementById('proof-says').className === 'small yes'")
        assert page.complaints == []

        receipt = tmp_path / "receipt.json"
        receipt.write_bytes((await tools.receipts_of(mesh, [request_id]))[request_id])
        await page.open(CHECKER.as_uri())
        await page.choose("#receipt", receipt)
        await page.choose("#policy", mesh.home / "policy")
        await page.until("document.querySelector('.verdict strong').textContent === 'VALID'")

    async def whole():
        async with chromium.page(chromium_port) as page:
            await story(page)

    asyncio.run(whole())


def test_the_control_room_shows_every_member_and_misses_one_that_is_paused(doomed, chromium_port):
    async def story(page):
        await page.open(f"{doomed.gateway_url}/dashboard")
        await page.until("document.querySelectorAll('#rows tr').length === 11")
        await page.until("document.getElementById('ring-says').textContent.startsWith('7 of 7')")
        await page.until("document.querySelectorAll('#rows .no').length === 0")
        await asyncio.to_thread(meshes.order, doomed.home, "pause", "replica-6")
        try:
            await page.until("document.getElementById('ring-says').textContent.startsWith('6 of')")
            await page.until("document.getElementById('alerts').textContent.includes('replica-6')")
            await page.until("document.getElementById('verdict').className !== 'well'")
        finally:
            await asyncio.to_thread(meshes.order, doomed.home, "resume", "replica-6")
        await page.until("document.getElementById('ring-says').textContent.startsWith('7 of 7')")
        await page.run("document.getElementById('pause').click()")
        assert await page.run("document.getElementById('pause').textContent") == "Go on"
        assert page.complaints == []
        assert all(url.startswith(doomed.gateway_url) for url in page.requested if "://" in url)

    async def whole():
        async with chromium.page(chromium_port) as page:
            await story(page)

    asyncio.run(whole())
