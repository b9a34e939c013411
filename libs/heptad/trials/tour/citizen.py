"""What a citizen's app does: keys, registration, signed requests, retries, and one forgery."""

import json
import time
import uuid

from heptad.client import sign_new_subject
from heptad.crypto.keys import Ed25519Key, P256Key
from heptad.model import base64url
from heptad.trials.tour.scene import SERVICE, Citizen, Scene, size_of
from heptad.trials.tour.steps import require


async def make_keys(scene: Scene) -> str:
    """Two people: one with a phone's P-256 key, one with Ed25519."""
    anna, ben = Citizen("Anna", P256Key.generate()), Citizen("Ben", Ed25519Key.generate())
    scene.citizens = {person.name: person for person in (anna, ben)}
    kids = [f"{p.name} {p.key.public.algorithm.value} {p.key.public.kid}" for p in (anna, ben)]
    return ", ".join(kids)


async def register(scene: Scene) -> str:
    """Over HTTP, with proof of possession."""
    before = await scene.get("/checkpoint")
    # A log without entries has no checkpoint yet; then our own registrations bring the first one.
    scene.log_size_first = size_of(before.body) if before.status == 200 else 0
    for person in scene.citizens.values():
        jws = sign_new_subject(person.key, audience=scene.mesh.cell.origin, service=SERVICE)
        reply = await scene.post("/v1/subjects", jws)
        require(reply.status == 201, f"the registration got {reply.said}")
        subject = str(reply.members["subject_id"])
        require(subject.startswith(f"{scene.mesh.cell.code}-"), f"{subject} is of no cell")
        scene.citizens[person.name] = Citizen(person.name, person.key, subject)
    scene.checkpoint_first = await scene.checkpoint()
    return ", ".join(f"{p.name} is {p.subject}" for p in scene.citizens.values())


async def post(scene: Scene) -> str:
    """One signed request each."""
    indexes = []
    for person in scene.citizens.values():
        _, index = await scene.record(scene.sign(person))
        indexes.append(f"{person.name}'s at index {index}")
    return ", ".join(indexes)


async def replay(scene: Scene) -> str:
    """The same bytes again, the same claims signed anew, and other claims under the same id."""
    anna = scene.citizens["Anna"]
    jti, now_s = str(uuid.uuid4()), int(time.time())
    first = scene.sign(anna, jti=jti)
    _, index = await scene.record(first)
    for again in (first, scene.sign(anna, jti=jti, now_s=now_s + 1)):
        reply = await scene.post("/v1/requests", again)
        found = reply.status, reply.members.get("index"), reply.headers.get("Idempotent-Replayed")
        require(found == (201, index, "true"), f"sent again, {index} became {found}")
    other = await scene.post("/v1/requests", scene.sign(anna, jti=jti, data={"session": "other"}))
    require(
        (other.status, other.code) == (422, "request_conflict"),
        f"other claims under one jti got {other.said}",
    )
    return f"twice index {index} with Idempotent-Replayed, other claims: 422 request_conflict"


async def forge(scene: Scene) -> str:
    """Requests that nobody signed as they are."""
    anna, ben = scene.citizens["Anna"], scene.citizens["Ben"]
    header, payload, signature = scene.sign(anna).split(b".")
    claims = json.loads(base64url.decode(payload.decode()))
    claims["data"] = {"session": "changed on the way"}
    changed = base64url.encode(json.dumps(claims).encode()).encode()
    now_s = int(time.time())
    forged = {
        "signature_invalid": b".".join((header, changed, signature)),
        "key_unknown": scene.sign(ben, subject=anna.subject),
        "request_expired": scene.sign(anna, now_s=now_s - 3_600),
        "request_from_the_future": scene.sign(anna, now_s=now_s + 3_600),
        "audience_mismatch": scene.sign(anna, audience="elsewhere.example"),
    }
    for code, jws in forged.items():
        reply = await scene.post("/v1/requests", jws)
        require(reply.code == code, f"instead of {code}: {reply.said}")
    return ", ".join(forged)
