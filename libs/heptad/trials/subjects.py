"""Citizens of a trial: made and registered once, kept in a folder for the processes that sign.

Every second one holds an ES256 key, as phones do, the others Ed25519.
"""

import asyncio
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from heptad.client import Client, sign
from heptad.crypto.keys import Ed25519Key, P256Key, load_key, save_key

SERVICE: Final = "tax-portal"
ACTION: Final = "authenticate"
_LIST_FILE: Final = "subjects.json"
_AT_ONCE: Final = 50


@dataclass(frozen=True, slots=True)
class Subject:
    """A registered citizen and the private key."""

    id: str
    key: Ed25519Key | P256Key


async def register_subjects(client: Client, count: int) -> list[Subject]:
    """Make and register `count` citizens. Raises: Problem."""
    room = asyncio.Semaphore(_AT_ONCE)

    async def register(number: int) -> Subject:
        key = P256Key.generate() if number % 2 else Ed25519Key.generate()
        async with room:
            registered = await client.register(key, service=SERVICE)
        return Subject(registered.subject_id, key)

    return list(await asyncio.gather(*map(register, range(count))))


def save_subjects(folder: Path, subjects: Sequence[Subject]) -> None:
    """Write keys and ids into a new folder, for this user only."""
    folder.mkdir(mode=0o700)
    for number, subject in enumerate(subjects):
        save_key(folder / f"{number}.pem", subject.key)
    text = json.dumps([subject.id for subject in subjects])
    (folder / _LIST_FILE).write_text(text)


def load_subjects(folder: Path) -> list[Subject]:
    """Read what `save_subjects` wrote."""
    ids = json.loads((folder / _LIST_FILE).read_text())
    return [
        Subject(subject_id, load_key(folder / f"{number}.pem"))
        for number, subject_id in enumerate(ids)
    ]


def sign_requests(
    subjects: Sequence[Subject], count: int, *, audience: str, seed: int
) -> list[bytes]:
    """Signed requests of all subjects in turn, valid for four minutes from now.

    `seed` decides the payloads, not the request ids, which are always new.
    """
    chance = random.Random(seed)  # noqa: S311  made-up data
    requests = []
    for number in range(count):
        subject = subjects[number % len(subjects)]
        requests.append(
            sign(
                subject.key,
                subject=subject.id,
                audience=audience,
                service=SERVICE,
                action=ACTION,
                data={"session": f"{chance.getrandbits(128):032x}", "device": "phone"},
            )
        )
    return requests
