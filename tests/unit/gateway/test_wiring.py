"""The gateway as a process of its own: real configuration, real mutual TLS behind, real signals."""

import asyncio
import signal
import socket
import subprocess
import sys

import aiohttp
import pytest

from heptad.model.answers import RequestState
from heptad.runtime.config import load_cell

JOSE = {"Content-Type": "application/jose"}


@pytest.fixture
def url(home):
    return f"http://{load_cell(home).gateways[0].http}"


class Process:
    """`python -m heptad_gateway`, ended when the test is."""

    def __init__(self, home):
        self.home = home

    async def __aenter__(self):
        arguments = ["-m", "heptad_gateway", "--home", str(self.home), "--name", "gateway-1"]
        self.child = subprocess.Popen(  # noqa: ASYNC220  starting it takes a millisecond
            [sys.executable, *arguments], stderr=subprocess.PIPE, text=True
        )
        return self

    async def __aexit__(self, *_):
        if self.child.poll() is None:
            self.child.kill()
            await asyncio.to_thread(self.child.communicate)

    async def answers(self, http, url):
        """Wait for the first answer of `url`."""
        while True:
            assert self.child.poll() is None, self.child.stderr.read()
            try:
                async with http.get(url) as response:
                    return response.status
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.02)

    async def end(self):
        self.child.send_signal(signal.SIGTERM)
        _, log = await asyncio.to_thread(self.child.communicate)
        return self.child.returncode, log


def test_a_gateway_serves_through_mutual_tls_and_ends_when_told(home, url, fake_members):
    async def story():
        async with (
            fake_members(home) as cell,
            Process(home) as gateway,
            aiohttp.ClientSession() as http,
        ):
            assert await gateway.answers(http, f"{url}/readyz") == 200
            async with http.post(f"{url}/v1/requests", data=b"a.b.c", headers=JOSE) as answer:
                assert (answer.status, (await answer.json())["state"]) == (201, "COMMITTED")
            async with http.get(f"{url}/policy") as answer:
                assert await answer.read() == (home / "policy").read_bytes()
            items = [item for v in cell.validators.values() for item in v.items]
            assert [item.jws for item in items] == [b"a.b.c"]
            status, log = await gateway.end()
            assert status == 0, log
            assert "a.b.c" not in log

    asyncio.run(story())


def test_a_gateway_without_validators_is_up_and_says_that_it_is_not_ready(home, url):
    async def story():
        async with Process(home) as gateway, aiohttp.ClientSession() as http:
            assert await gateway.answers(http, f"{url}/readyz") == 503
            async with http.post(f"{url}/v1/requests", data=b"a.b.c", headers=JOSE) as answer:
                assert answer.status == 503
                assert (await answer.json())["code"] == "validator_unavailable"
            status, _ = await gateway.end()
            assert status == 0

    asyncio.run(story())


def test_an_address_that_is_taken_ends_the_process_with_its_own_status(home, url):
    async def story():
        host, _, port = url.removeprefix("http://").partition(":")
        with socket.create_server((host, int(port))):
            async with Process(home) as gateway:
                _, log = await asyncio.to_thread(gateway.child.communicate)
        assert gateway.child.returncode == 3, log
        assert "address_taken" in log

    asyncio.run(story())


def test_what_is_under_way_is_finished_before_the_end(
    home, url, fake_members, recorded, eventually
):
    async def story():
        async with (
            fake_members(home) as cell,
            Process(home) as gateway,
            aiohttp.ClientSession() as http,
        ):
            await gateway.answers(http, f"{url}/readyz")
            gate = asyncio.Event()
            for validator in cell.validators.values():
                validator.before_answer = gate.wait
            post = asyncio.create_task(
                http.post(f"{url}/v1/requests", data=b"a.b.c", headers=JOSE).__aenter__()
            )
            await eventually(lambda: any(v.items for v in cell.validators.values()))
            gateway.child.send_signal(signal.SIGTERM)
            async with http.get(f"{url}/livez"):
                pass
            gate.set()
            answer = await post
            assert answer.status == 201
            assert (await answer.json())["state"] == RequestState.COMMITTED.name
            assert (await gateway.end())[0] == 0

    asyncio.run(story())
