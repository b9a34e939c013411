"""A person's devices, on a real cell: added and revoked by its own app, and by `heptad`.

The app signs with joserfc, so what the new device has to sign is written here once more, from
docs/spec/privacy.md and not from our code.
"""

import asyncio
import json
import subprocess
import sys

import pytest

from heptad.trials.revocations import measure

JOSE = {"Content-Type": "application/jose"}

pytestmark = pytest.mark.timeout(120)


def heptad(*arguments, code=0):
    done = subprocess.run(
        [sys.executable, "-m", "heptad.cli.main", *map(str, arguments)],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


class App:
    """A citizen's app at the gateway."""

    def __init__(self, mesh, http, claims_of):
        self._origin, self._http, self._claims_of = mesh.cell.origin, http, claims_of

    async def post(self, person, **claims):
        """Send one request; status and members of the answer."""
        jws = person.jws(self._claims_of(person, self._origin, **claims))
        async with self._http.post("/v1/requests", data=jws, headers=JOSE) as response:
            return response.status, await response.json(content_type=None)

    async def add(self, owner, device):
        """Let a subject's device add another one, which signs for itself."""
        claims = self._claims_of(owner, self._origin, svc="heptad", act="key.add")
        bound = {name: claims[name] for name in ("iss", "aud", "jti")}
        proof = device.jws(bound, typ="heptad-key-proof+jws").decode()
        data = {"jwk": device.public_jwk(), "proof": proof}
        status, members = await self.post(owner, **{**claims, "data": data})
        if status == 201:
            device.subject = owner.subject
        return status, members

    async def revoke(self, owner, device):
        data = {"kid": device.key.thumbprint()}
        return await self.post(owner, svc="heptad", act="key.revoke", data=data)


def test_a_person_adds_a_device_and_revokes_the_lost_one(mesh, tools):
    async def scenario():
        async with tools.session(mesh) as http:
            app = App(mesh, http, tools.claims_of)
            old, new, thief = (tools.Person.new(n) for n in (0, 1, 2))
            await tools.register(http, mesh.cell.origin, old)
            new.subject = thief.subject = old.subject
            assert (await app.post(new))[1]["code"] == "key_unknown"
            status, added = await app.add(old, new)
            assert status == 201, added
            assert (await app.post(new))[0] == 201
            assert (await app.add(thief, thief))[1]["code"] == "key_unknown"
            assert (await app.add(old, new))[1]["code"] == "key_exists"
            status, revoked = await app.revoke(new, old)
            assert status == 201, revoked
            assert (await app.post(old))[1]["code"] == "key_revoked"
            assert (await app.add(old, thief))[1]["code"] == "key_revoked"
            assert (await app.revoke(new, new))[1]["code"] == "key_last"
            assert (await app.post(new))[0] == 201
            async with http.get(f"/v1/entries/{revoked['index']}") as response:
                entry = await response.json()
            said = json.dumps(entry)
            assert (entry["kind"], entry["action"]) == ("KEY_REVOKED", "key.revoke")
            assert old.subject not in said
            assert old.key.thumbprint() not in said

    asyncio.run(scenario())


def test_every_validator_refuses_a_revoked_key_within_a_second(mesh):
    found = asyncio.run(measure(mesh.home / "clients" / "tax-portal", runs=3))
    assert found.all.count == 3
    assert found.all.p50_ms < 1_000


def test_the_command_line_replaces_a_key(mesh, tmp_path):
    old, new = tmp_path / "alice.jwk", tmp_path / "alice-2.jwk"
    at = ("--url", mesh.gateway_url)
    heptad("keygen", "--out", old)
    heptad("register", "--key", old, *at)
    heptad("subject-key", "rotate", "--key", old, "--new", new, *at)
    request = ("--service", "tax-portal", "--action", "authenticate", *at, "--json")
    assert json.loads(heptad("submit", "--key", new, *request))["state"] == "COMMITTED"
    heptad("submit", "--key", old, *request, code=1)
    listed = json.loads(heptad("subject-key", "list", "--key", new, *at, "--json"))["keys"]
    assert [key["active"] for key in listed] == [False, True]
    heptad("subject-key", "list", "--key", old, *at, code=1)
    # Again, as after it broke off: there is nothing left to do.
    heptad("subject-key", "rotate", "--key", old, "--new", new, *at)


def test_an_officer_revokes_the_key_of_a_lost_device(mesh, tmp_path):
    key, at = tmp_path / "bob.jwk", ("--url", mesh.gateway_url)
    heptad("keygen", "--out", key)
    heptad("register", "--key", key, *at)
    subject = json.loads(key.with_suffix(".subject").read_text())
    lost = (
        *("--profile", mesh.home / "clients" / "officer", "--subject", subject["subject_id"]),
        *("--kid", subject["kid"], "--reason", "the phone was stolen", "--json"),
    )
    assert json.loads(heptad("subject-key", "revoke-lost", *lost))["revoked"] == subject["kid"]
    request = ("--service", "tax-portal", "--action", "authenticate", *at)
    refused = subprocess.run(
        [sys.executable, "-m", "heptad.cli.main", "submit", "--key", str(key), *request],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert (refused.returncode, "key_revoked" in refused.stderr) == (1, True)
    heptad("subject-key", "revoke-lost", *lost, code=1)
