"""Real processes: a whole cell on loopback ports, started as users start it, ended by pid.

One cell serves all tests of a worker that leave it as they find it; tests that kill, restart or
stop things have a cell of their own, `doomed`. Nothing here waits for a fixed time: conditions are
waited for, with deadlines that suit a machine that runs other tests beside.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import aiohttp
import pytest
from joserfc import jws as joserfc_jws
from joserfc.jwk import ECKey, OKPKey

from heptad.transparency.policy import Policy
from heptad.trials import meshes
from heptad.trials.tour import auditor

SERVICE = "tax-portal"
PASSING = (202, 429, 503, 504)
JOSE = {"Content-Type": "application/jose"}


def pytest_collection_modifyitems(items):
    for item in items:
        if "tests/mesh/" in str(item.path):
            item.add_marker(pytest.mark.mesh)


@pytest.fixture(scope="session")
def mesh(tmp_path_factory):
    """A cell for tests that leave it as they find it."""
    home = tmp_path_factory.mktemp("mesh") / "cell"
    meshes.new_home(home, meshes.SHORT_LEASES)
    with meshes.running(home) as running:
        yield running


@pytest.fixture(scope="module")
def doomed(tmp_path_factory):
    """A cell for tests that break it."""
    home = tmp_path_factory.mktemp("doomed") / "cell"
    meshes.new_home(home, meshes.SHORT_LEASES)
    with meshes.running(home) as running:
        yield running


@dataclass
class Person:
    """Somebody whose key and signatures are made by joserfc, and nothing by us."""

    key: object
    algorithm: str
    subject: str = ""

    @classmethod
    def new(cls, number=0):
        if number % 2:
            return cls(ECKey.generate_key("P-256"), "ES256")
        return cls(OKPKey.generate_key("Ed25519"), "EdDSA")

    def jws(self, claims, **header):
        import json

        head = {
            "alg": self.algorithm,
            "typ": "heptad-request+jws",
            "kid": self.key.thumbprint(),
            **header,
        }
        payload = json.dumps(claims, separators=(",", ":"))
        return joserfc_jws.serialize_compact(
            head, payload, self.key, algorithms=[self.algorithm]
        ).encode()

    def public_jwk(self):
        jwk = self.key.as_dict(private=False)
        return {name: jwk[name] for name in ("kty", "crv", "x", "y") if name in jwk}


def claims_of(person, origin, **changes):
    """All eight claims of an ordinary request; a change to None leaves a claim out."""
    import uuid

    now_s = int(time.time())
    claims = {
        "iss": person.subject,
        "aud": origin,
        "jti": str(uuid.uuid4()),
        "iat": now_s,
        "exp": now_s + 240,
        "svc": SERVICE,
        "act": "authenticate",
        "data": {"session": "of a test"},
        **changes,
    }
    return {name: value for name, value in claims.items() if value is not None}


def registration_of(person, origin, **changes):
    """The registration of a person, who signs it with the key that it brings."""
    return person.jws(
        claims_of(
            person,
            origin,
            **{
                "iss": person.key.thumbprint(),
                "act": "subject.register",
                "data": {"jwk": person.public_jwk()},
                **changes,
            },
        )
    )


@dataclass
class Crowd:
    """Plain HTTP clients that post signed requests, and what was answered."""

    mesh: meshes.RunningMesh
    people: Sequence[Person]
    acknowledged: dict[str, int] = field(default_factory=dict)
    jws_of: dict[str, bytes] = field(default_factory=dict)
    answers: list[tuple[int, str]] = field(default_factory=list)
    under_way: set[bytes] = field(default_factory=set)

    @property
    def origin(self):
        return self.mesh.cell.origin

    async def post_until(self, http, until):
        """Each client posts one request after the other, each until it is acknowledged."""
        async with asyncio.TaskGroup() as group:
            for person in self.people:
                group.create_task(self._client(http, person, until))

    async def _client(self, http, person, until):
        while not until.is_set():
            jws = person.jws(claims_of(person, self.origin))
            async with asyncio.timeout(90):
                await self.insist(http, jws)

    async def insist(self, http, jws):
        """The same bytes again until they are acknowledged. A refusal for good fails the test."""
        self.under_way.add(jws)
        while True:
            try:
                async with http.post("/v1/requests", data=jws, headers=JOSE) as response:
                    status, members = response.status, await response.json(content_type=None)
            except aiohttp.ClientError:
                status, members = 503, {"code": "connection_lost"}
            self.answers.append((status, members.get("code", members.get("state", ""))))
            if status == 201:
                self.acknowledged[members["request_id"]] = members["index"]
                self.jws_of[members["request_id"]] = jws
                self.under_way.discard(jws)
                return
            assert status in PASSING, members
            await asyncio.sleep(0.2)


async def register(http, origin, person):
    """Register over HTTP. Returns the answer's members."""
    data = registration_of(person, origin)
    async with http.post("/v1/subjects", data=data, headers=JOSE) as response:
        members = await response.json(content_type=None)
        assert response.status == 201, members
    person.subject = members["subject_id"]
    return members


def session(mesh, *, connections=60):
    """An HTTP session with the gateway; to be made inside an event loop."""
    return aiohttp.ClientSession(
        mesh.gateway_url,
        timeout=aiohttp.ClientTimeout(total=60),
        connector=aiohttp.TCPConnector(limit=connections),
    )


async def new_people(mesh, count):
    """So many registered people."""
    people = [Person.new(number) for number in range(count)]
    async with session(mesh) as http:
        await asyncio.gather(*(register(http, mesh.cell.origin, person) for person in people))
    return people


async def eventually(condition: Callable[[], Awaitable[object]], *, within_s=60.0):
    """What a condition gives once it is true; fails when it does not become so."""
    give_up_s = time.monotonic() + within_s
    while not (found := await condition()):
        assert time.monotonic() < give_up_s, f"not within {within_s} s"
        await asyncio.sleep(0.1)
    return found


async def fetch(http, path, *, within_s=60.0):
    """What is at this address, once it is there."""

    async def get():
        try:
            async with http.get(path) as response:
                body = await response.read()
                assert response.status in (200, 404, 503, 504), (path, response.status, body)
                return body if response.status == 200 else None
        except aiohttp.ClientError:
            return None

    return await eventually(get, within_s=within_s)


async def checkpoint(http, *, size_min=0):
    """The latest checkpoint, once it covers so many entries."""

    async def covers():
        note = await fetch(http, "/checkpoint")
        return note if int(note.split(b"\n")[1]) >= size_min else None

    return await eventually(covers)


async def receipts_of(mesh, request_ids):
    """The receipts of requests, as files."""
    async with session(mesh) as http:
        paths = [f"/v1/requests/{request_id}/receipt" for request_id in request_ids]
        bodies = await asyncio.gather(*(fetch(http, path) for path in paths))
    return dict(zip(request_ids, bodies, strict=True))


@dataclass
class Tools:
    """What the tests of this folder share; fixtures are how files here reach each other."""

    Person = Person
    Crowd = Crowd
    claims_of = staticmethod(claims_of)
    registration_of = staticmethod(registration_of)
    register = staticmethod(register)
    session = staticmethod(session)
    new_people = staticmethod(new_people)
    eventually = staticmethod(eventually)
    fetch = staticmethod(fetch)
    checkpoint = staticmethod(checkpoint)
    receipts_of = staticmethod(receipts_of)
    http_reader = staticmethod(auditor.http_reader)


@pytest.fixture(scope="session")
def tools():
    return Tools()


@pytest.fixture(scope="session")
def policy(mesh):
    """The policy out of the home, and not out of the gateway's mouth."""
    return Policy.parse((mesh.home / "policy").read_bytes())
