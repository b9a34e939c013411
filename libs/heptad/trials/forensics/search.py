"""One search through what somebody has, for some people: what a drill asks and what is told.

The person is known by a canary in its requests. Whoever drills plants it, and knows which entries
of the log are that person's; the attacker is asked what he can tell of both.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from heptad.transparency.policy import Policy
from heptad.trials.forensics.attacker import Attacker
from heptad.trials.forensics.loot import Loot, read_files, read_image
from heptad.trials.privacy.canaries import needles_of
from heptad.verification.logs import verify_log


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whom to look for: the canary, the person's id if it is known, its entries in the log."""

    canary: str
    subject_id: str
    indexes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """What an attacker has come to.

    `opened` are payloads of the person, in all that were opened `payloads`; `in_the_open` are files
    in which the canary stands unsealed, with the spelling; `links` says by which way which of the
    person's entries are known to be one person's.
    """

    roots: int
    slots: int
    nodes: int
    headers: int
    payloads: int
    opened: int
    in_the_open: tuple[str, ...]
    links: dict[str, tuple[int, ...]]

    @property
    def is_nothing(self) -> bool:
        """Neither a payload of the person, nor that two of its entries are."""
        return not self.opened and not self.in_the_open and not self.links

    def encode(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))


def gather(paths: Iterable[Path]) -> Loot:
    """Folders and files as they are; what ends in `.img` or is a device is a raw disk.

    Raises: OSError.
    """
    together = Loot(())
    for path in paths:
        is_raw = path.suffix == ".img" or path.is_block_device()
        together += read_image(path) if is_raw else read_files([path])
    return together


def public_entries(
    read: Callable[[str], bytes | None], *, policy: Policy, now_s: int
) -> Sequence[bytes]:
    """All entries of a log, proved up to its checkpoint. Raises: VerificationError."""
    entries: list[bytes] = []

    def visit(_first: int, bundle: Sequence[bytes]) -> None:
        entries.extend(bundle)

    verify_log(read, policy=policy, now_s=now_s, visit=visit)
    return entries


def search(loot: Loot, people: Sequence[Wanted], *, entries: Sequence[bytes]) -> Sequence[Found]:
    """Everything that the attacker can do with this loot, and what of it is of each person."""
    known_ids = [wanted.subject_id for wanted in people if wanted.subject_id]
    attacker = Attacker(loot, entries=entries, known_ids=known_ids)
    return [_found(attacker, loot, wanted) for wanted in people]


def _found(attacker: Attacker, loot: Loot, wanted: Wanted) -> Found:
    needles = list(needles_of("canary", wanted.canary.encode()))
    payloads = attacker.payloads()
    opened = sum(any(n.data in payload for n in needles) for payload in payloads)
    in_the_open = {f"{where} ({n.spelling})" for n in needles for where in loot.holding(n.data)}
    links = attacker.links(wanted.indexes)
    return Found(
        roots=len(attacker.roots),
        slots=len(attacker.keys.slots),
        nodes=attacker.keys.nodes_opened,
        headers=len(attacker.headers),
        payloads=len(payloads),
        opened=opened,
        in_the_open=tuple(sorted(in_the_open)),
        links={way: tuple(sorted(group)) for way, group in links.items()},
    )
