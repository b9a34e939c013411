"""Drives Debian's Chromium, headless, over its own protocol: no driver to download, and every
request that a page makes is seen.

One browser process serves a whole test session; each `Page` is a tab with a websocket of its own.
"""

import asyncio
import contextlib
import itertools
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp

START_S_MAX = 30
WAIT_S_MAX = 20
_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run", "--no-default-browser-check", "--hide-scrollbars",
    "--remote-debugging-port=0", "--remote-debugging-address=127.0.0.1",
)  # fmt: skip


def executable() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser")


@contextlib.contextmanager
def browser() -> Iterator[int]:
    """A running Chromium; gives the port of its protocol, and ends it by its id."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        process = subprocess.Popen(
            [executable(), *_FLAGS, f"--user-data-dir={folder}", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield _port_of(Path(folder) / "DevToolsActivePort", process)
        finally:
            process.terminate()
            process.wait(START_S_MAX)


def _port_of(file: Path, process: subprocess.Popen) -> int:
    until_s = time.monotonic() + START_S_MAX
    while time.monotonic() < until_s and process.poll() is None:
        if file.is_file() and (lines := file.read_text().split("\n"))[0]:
            return int(lines[0])
        time.sleep(0.02)
    raise AssertionError("Chromium did not start")


class Page:
    """One tab. `requested` lists the address of everything that it has asked for."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.requested: list[str] = []
        self.complaints: list[str] = []
        self._socket = socket
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future] = {}
        self._listener = asyncio.create_task(self._listen())

    async def send(self, method: str, **parameters: object) -> dict:
        """One command of the protocol, and its result."""
        number = next(self._ids)
        self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        return await asyncio.wait_for(self._answers[number], WAIT_S_MAX)

    async def open(self, url: str) -> None:
        """Go to an address and wait until it is there."""
        before = await self.run("performance.timeOrigin")
        await self.send("Page.navigate", url=url)
        ready = f"performance.timeOrigin !== {before} && document.readyState === 'complete'"
        await self.until(ready)

    async def run(self, script: str) -> object:
        """An expression's value; awaits a promise."""
        result = await self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    async def until(self, condition: str) -> None:
        """Wait for a condition of the page, however long that takes, but for `WAIT_S_MAX`."""
        until_s = time.monotonic() + WAIT_S_MAX
        while time.monotonic() < until_s:
            with contextlib.suppress(AssertionError):
                if await self.run(f"Boolean({condition})"):
                    return
            await asyncio.sleep(0.02)
        raise AssertionError(f"never: {condition}; {self.complaints}")

    async def choose(self, selector: str, *paths: Path) -> None:
        """Choose files in a file input."""
        document = await self.send("DOM.getDocument")
        node = await self.send(
            "DOM.querySelector", nodeId=document["root"]["nodeId"], selector=selector
        )
        await self.send(
            "DOM.setFileInputFiles", nodeId=node["nodeId"], files=[str(path) for path in paths]
        )

    async def _listen(self) -> None:
        async for message in self._socket:
            said = json.loads(message.data)
            if "id" in said:
                answer = self._answers.pop(said["id"])
                if "error" in said:
                    answer.set_exception(AssertionError(said["error"]))
                else:
                    answer.set_result(said["result"])
            elif said["method"] == "Network.requestWillBeSent":
                self.requested.append(said["params"]["request"]["url"])
            elif said["method"] in ("Log.entryAdded", "Runtime.exceptionThrown"):
                self.complaints.append(json.dumps(said["params"])[:500])


@contextlib.asynccontextmanager
async def page(port: int) -> AsyncIterator[Page]:
    """A new tab, closed at the end."""
    base = f"http://127.0.0.1:{port}/json"
    async with aiohttp.ClientSession() as session:
        async with session.put(f"{base}/new?about:blank") as response:
            target = await response.json()
        url = target["webSocketDebuggerUrl"]
        async with session.ws_connect(url, max_msg_size=0) as socket:
            tab = Page(socket)
            for domain in ("Page", "Runtime", "Network", "Log", "DOM"):
                await tab.send(f"{domain}.enable")
            yield tab
        async with session.get(f"{base}/close/{target['id']}"):
            pass
