"""`make screenshots`: the pages of a running cell as pictures, into docs/images.

A whole cell is started, filled with sample requests and a bundle of two services, and looked at in
Chromium: in light and dark, and as wide as a telephone. Nothing is retouched.
"""

import asyncio
import base64
import contextlib
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import chromium

from heptad.client import connect
from heptad.crypto.bundles import Event
from heptad.crypto.keys import Ed25519Key, P256Key
from heptad.model.requests import request_id_of
from heptad.trials import meshes

FOLDER = Path(__file__).parents[1] / "docs" / "images"
PICTURE_BYTES_MAX = 200_000
PEOPLE, REQUESTS, EVENTS = 9, 260, 40
ACTIONS = ("authenticate", "authenticate", "record.access", "consent.grant", "consent.withdraw")
SERVICES = ("tax-portal", "tax-portal", "health-records")
DESK, TELEPHONE = (1_120, 860), (390, 844)


async def fill(home: Path, folder: Path) -> int:
    """Sample entries; the receipt of one request in `folder`, and that request's index."""
    draw = random.Random(7)
    async with connect(home / "clients" / "tax-portal") as client:
        keys = [P256Key.generate() if n % 2 else Ed25519Key.generate() for n in range(PEOPLE)]
        people = [(key, (await client.register(key)).subject_id) for key in keys]

        def signed() -> bytes:
            key, subject = draw.choice(people)
            action = "record.delete" if draw.random() < 0.06 else draw.choice(ACTIONS)
            return client.sign(
                key=key, subject=subject, action=action, service=draw.choice(SERVICES),
                data={"session": draw.randrange(10**6)},
            )  # fmt: skip

        answers = [await client.submit(signed()) for _ in range(10)]
        answers += [
            answer async for answer in client.submit_many([signed() for _ in range(REQUESTS)])
        ]
        now_ms = time.time_ns() // 1_000_000
        await client.submit_bundle(
            [Event(people[n % PEOPLE][1], "record.access", b"row", now_ms) for n in range(EVENTS)]
        )
        answers += [await client.submit(signed()) for _ in range(12)]
        chosen = answers[137]
        receipt = await client.receipt(chosen.request_id)
    (folder / "receipt.json").write_bytes(receipt.encode())
    # Forged: `outcome` (field 5) says the other thing.
    changed = receipt.entry.replace(b"\x28\x01", b"\x28\x02", 1)
    (folder / "forged.json").write_bytes(replace(receipt, entry=changed).encode())
    return chosen.index


async def erased(home: Path) -> str:
    """The address of the page of somebody's certificate of erasure."""
    async with connect(home / "clients" / "tax-portal") as client:
        key = P256Key.generate()
        subject = (await client.register(key)).subject_id
        for action in ("authenticate", "consent.grant", "record.access"):
            await client.submit(client.sign(key=key, subject=subject, action=action, data={}))
        asked = await client.erase(subject=subject, key=key)
        await client.certificate(asked.request_id)
    return f"/v1/erasures/{request_id_of(asked.request_id)}"


@contextlib.asynccontextmanager
async def looking(port: int, size: tuple[int, int], *, dark: bool) -> AsyncIterator[chromium.Page]:
    """A tab as wide and high as `size`."""
    async with chromium.page(port) as page:
        await page.send(
            "Emulation.setDeviceMetricsOverride", width=size[0], height=size[1],
            deviceScaleFactor=1, mobile=size == TELEPHONE,
        )  # fmt: skip
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        await page.send("Emulation.setEmulatedMedia", features=scheme)
        yield page


async def picture(page: chromium.Page, name: str, height_max: int) -> None:
    """The page from its top, at most so high."""
    height = min(height_max, await page.run("document.documentElement.scrollHeight"))
    width = await page.run("innerWidth")
    clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
    shot = await page.send("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
    data = base64.b64decode(shot["data"])
    assert len(data) <= PICTURE_BYTES_MAX, f"{name}: {len(data)} bytes"
    (FOLDER / f"{name}.png").write_bytes(data)
    sys.stdout.write(f"docs/images/{name}.png  {len(data)} bytes\n")


async def explorer(page: chromium.Page, base: str, name: str, height_max: int) -> None:
    await page.open(f"{base}/")
    await page.until(
        "document.querySelector('#cosigners .yes') && document.querySelector('#rows tr')"
    )
    await picture(page, name, height_max)


async def entry(page: chromium.Page, base: str, name: str, index: int) -> None:
    await page.open(f"{base}/entry/{index}")
    await page.until("document.querySelector('svg.tree')")
    await picture(page, name, 1_300)


async def checker(page: chromium.Page, base: str, name: str, receipt: Path, policy: Path) -> None:
    await page.open(f"{base}/checker.html")
    await page.choose("#receipt", receipt)
    await page.choose("#policy", policy)
    await page.until("!document.getElementById('report').hidden")
    await picture(page, name, 1_100)


async def erasure(page: chromium.Page, base: str, name: str, path: str, height_max: int) -> None:
    await page.open(f"{base}{path}")
    await page.until("document.querySelector('ol.states .now.erased')")
    assert page.complaints == []
    await picture(page, name, height_max)


async def control_room(page: chromium.Page, base: str, name: str, height_max: int) -> None:
    await page.open(f"{base}/dashboard")
    await page.until("document.querySelectorAll('#charts path').length > 2")
    await picture(page, name, height_max)


async def show(mesh: meshes.RunningMesh, port: int, folder: Path) -> None:
    """All pictures."""
    index = await fill(mesh.home, folder)
    base, policy = mesh.gateway_url, mesh.home / "policy"
    certificate = await erased(mesh.home)
    async with looking(port, DESK, dark=False) as page:
        await explorer(page, base, "explorer", 900)
        await entry(page, base, "entry", index)
        await checker(page, base, "checker", folder / "receipt.json", policy)
        await control_room(page, base, "control-room", 1_500)
        await erasure(page, base, "erasure", certificate, 1_250)
    async with looking(port, DESK, dark=True) as page:
        await explorer(page, base, "explorer-dark", 900)
        await erasure(page, base, "erasure-dark", certificate, 1_250)
        await checker(page, base, "checker-dark", folder / "receipt.json", policy)
    async with looking(port, TELEPHONE, dark=False) as page:
        await explorer(page, base, "explorer-phone", 1_100)
        await checker(page, base, "checker-phone", folder / "forged.json", policy)


def main() -> None:
    """Start a cell and a browser, look, stop both."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="heptad-pictures-") as scratch:
        folder = Path(scratch)
        with meshes.running(folder / "cell") as mesh, chromium.browser() as port:
            asyncio.run(show(mesh, port, folder))


if __name__ == "__main__":
    main()
