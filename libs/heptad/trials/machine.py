"""What a run was made on: figures without it cannot be compared."""

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from heptad.runtime.version import VERSION

_LIBRARIES: Final = ("grpcio", "protobuf", "aiohttp", "lmdb", "pynacl", "cryptography", "uvloop")


@dataclass(frozen=True, slots=True)
class Machine:
    """Processor, memory and versions. `cpus` are those that this process may use."""

    processor: str
    cpus: int
    memory_bytes: int
    system: str
    python: str
    heptad: str
    libraries: dict[str, str]


def this_machine() -> Machine:
    """The machine that this process runs on."""
    return Machine(
        processor=_processor(),
        cpus=_cpus(),
        memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        heptad=VERSION,
        libraries={name: _version(name) for name in _LIBRARIES},
    )


def _cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"
