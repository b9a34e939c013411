"""The members as they run: what each says at its own listener, read like Prometheus would."""

import http.client
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from heptad.observability.exposition import Exposition
from heptad.runtime.checkup.findings import Finding, fail, ok, warn
from heptad.runtime.version import VERSION

ANSWER_S_MAX: Final = 3.0
ANSWER_BYTES_MAX: Final = 4 << 20
OFFSET_S_MAX: Final = 2.0

ALARMS: Final[Mapping[str, tuple[str, str]]] = {
    "consensus_follows_only": (
        "has lost its safety record and signs nothing",
        "docs/runbooks/HeptadReplicaFollowsOnly.md",
    ),
    "consensus_stranded": (
        "is behind, and nobody gives it what it lacks",
        "docs/runbooks/HeptadReplicaStranded.md",
    ),
    "ledger_store_full": ("cannot write for want of room", "docs/runbooks/HeptadStoreFull.md"),
    "ledger_backup_keys_overdue": (
        "has backup keys that should be destroyed",
        "docs/runbooks/HeptadBackupKeyOverdue.md",
    ),
    "consensus_charges_proven": (
        "knows of proven misbehaviour",
        "docs/runbooks/HeptadEquivocation.md",
    ),
}
"""Metrics that are 0 where all is well: what it means when they are not, and what to read."""


def check_running(targets: Mapping[str, str]) -> Iterator[Finding]:
    """All members whose listeners are named, by member id to host:port."""
    with ThreadPoolExecutor(max_workers=len(targets)) as pool:
        pages = dict(zip(targets, pool.map(exposition_of, targets.values()), strict=True))
    answering = {name: Exposition(page) for name, page in pages.items() if page is not None}
    if not answering:
        yield warn("members", "none answers at its listener", "start the cell, if it should run")
        return
    yield from _presence(pages, answering)
    yield _versions(answering)
    yield from _clocks(answering)
    yield from _alarms(answering)


def _presence(
    pages: Mapping[str, str | None], answering: Mapping[str, Exposition]
) -> Iterator[Finding]:
    silent = [name for name in pages if name not in answering]
    if silent:
        yield fail(
            "members", f"no answer from {', '.join(silent)}", "docs/runbooks/HeptadMemberDown.md"
        )
    waiting = [name for name, page in answering.items() if page.value("heptad_ready") == 0]
    if waiting:
        yield fail(
            "members",
            f"{', '.join(waiting)} run and are not ready",
            "docs/runbooks/HeptadMemberNotReady.md",
        )
    if not silent and not waiting:
        yield ok("members", f"all {len(pages)} are ready")


def _versions(answering: Mapping[str, Exposition]) -> Finding:
    versions = Counter(
        sample.labels.get("version", "?")
        for page in answering.values()
        for sample in page.samples("heptad_build_info")
    )
    told = ", ".join(f"{count} of {version}" for version, count in versions.most_common())
    if len(versions) > 1:
        return warn(
            "versions", told, "finish the roll-out: members of one version are what is tested"
        )
    if VERSION not in versions:
        return warn("versions", f"members are {told}, this command is {VERSION}", "use one version")
    return ok("versions", f"all members and this command are {VERSION}")


def _clocks(answering: Mapping[str, Exposition]) -> Iterator[Finding]:
    offsets = {
        name: value
        for name, page in answering.items()
        if (value := page.value("validator_clock_offset_seconds")) is not None
    }
    for name, offset_s in offsets.items():
        if abs(offset_s) > OFFSET_S_MAX:
            yield warn(
                "clocks",
                f"that of {name} is off by {offset_s:+.2f} s",
                "docs/runbooks/HeptadClockOff.md",
            )
    if offsets and all(abs(offset_s) <= OFFSET_S_MAX for offset_s in offsets.values()):
        worst = max(offsets.values(), key=abs)
        yield ok("clocks", f"validators are within {abs(worst):.3f} s of the replicas' median")


def _alarms(answering: Mapping[str, Exposition]) -> Iterator[Finding]:
    for name, page in answering.items():
        for metric, (what, where) in ALARMS.items():
            if page.value(metric):
                yield fail("alarms", f"{name} {what}", where)


def exposition_of(address: str) -> str | None:
    """A member's metrics as it serves them at host:port; None if it does not answer."""
    connection = http.client.HTTPConnection(address, timeout=ANSWER_S_MAX)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        if answer.status != http.client.OK:
            return None
        return answer.read(ANSWER_BYTES_MAX).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
