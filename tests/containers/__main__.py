"""`python -m containers`: compose.yaml, built and run by a real Docker engine, broken, and mended.

Builds the image, makes a cell, starts all of it, runs the demo inside, then kills one container,
cuts another from its networks, kills the ledger and a validator, each under load: every request
that was acknowledged must be in the log once, at the index that was said, on all replicas alike.
Everything that was made is removed at the end, whatever happens.

    DOCKER_HOST          the engine, as for docker
    BASE                 the base image, where python:3.11-slim-bookworm cannot be pulled
    PROMETHEUS_IMAGE     likewise; without it one is made of the host's own binary, if it has one
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from containers.load import Load

ROOT: Final = Path(__file__).parents[2]
PROJECT: Final = "heptadtrial"
USER: Final = "10001:10001"
READY_S_MAX: Final = 120.0
MEMBERS: Final = 11
LOADED_S: Final = 4.0
"""How long the load runs on after each blow before it is looked at."""


def main() -> int:
    """Exit status 0 if all of it held."""
    with _cell() as trial:
        _say(f"{MEMBERS} members are healthy after {trial.start():.1f} s")
        trial.demo()
        trial.scraped()
        with Load(trial.url) as load:
            for name, blow in trial.blows():
                before = load.count
                time.sleep(LOADED_S)
                mend = blow()
                hit = load.count
                time.sleep(LOADED_S)
                down = load.count - hit
                mend()
                healthy_s = trial.wait_healthy()
                longest_s = load.wait_for_more(50)
                _say(
                    f"{name}: {hit - before} acknowledged in {LOADED_S:.0f} s before, {down} in"
                    f" {LOADED_S:.0f} s during it; all healthy {healthy_s:.1f} s after the mend;"
                    f" the longest wait between two answers was {longest_s:.1f} s"
                )
        copies = load.require_recorded()
        _say(f"{load.count} acknowledged, all in the log; {copies} twice, as the log says itself")
        trial.same_logs()
    _say("everything held, and is removed")
    return 0


class Trial:
    """One cell in containers."""

    def __init__(self, folder: Path, environment: Mapping[str, str], http_port: int) -> None:
        self._environment = environment
        self._prometheus = f"http://127.0.0.1:{environment['PROMETHEUS_PORT']}"
        self.cell = folder / "cell"
        self.url = f"http://127.0.0.1:{http_port}"

    def start(self) -> float:
        """Start everything; how many seconds it took until all were healthy."""
        started_s = time.monotonic()
        self._compose("up", "-d", "--no-build")
        self.wait_healthy()
        return time.monotonic() - started_s

    def demo(self) -> None:
        """The demo, from inside the networks, as an operator's tools would be."""
        out = self._compose(
            "run", "--rm", "-T", "tools", "demo", "--home", "/cell", "--calm", "--json"
        )
        told = json.loads(out.strip().splitlines()[-1])
        _require(told["holds"], f"the demo failed: {told['steps'][-1]}")
        _say(f"the demo holds, {len(told['steps'])} steps")

    def scraped(self) -> None:
        """Prometheus has scraped every member."""
        query = f"{self._prometheus}/api/v1/query?query=up"

        def all_up() -> bool:
            with urllib.request.urlopen(query, timeout=5) as answer:
                rows = json.load(answer)["data"]["result"]
            return sum(row["value"][1] == "1" for row in rows) == MEMBERS

        _wait("Prometheus to scrape all members", all_up)
        _say(f"Prometheus scrapes {MEMBERS} members")

    def blows(self) -> Iterator[tuple[str, Callable[[], Callable[[], None]]]]:
        """What is done to the cell: a name, and an act that returns how it is mended."""
        yield "replica-3 killed", lambda: self._killed("replica-3")
        yield "replica-5 cut from its networks", lambda: self._cut("replica-5", "consensus")
        yield "validator-1 killed", lambda: self._killed("validator-1")
        yield "ledger-1 killed", lambda: self._killed("ledger-1")

    def wait_healthy(self) -> float:
        """Wait until Docker calls every member healthy; how long that took, in seconds."""
        return _wait("all containers to be healthy", lambda: len(self._healthy()) == MEMBERS)

    def same_logs(self) -> None:
        """All replicas at one head, told from inside."""
        out = self._compose(
            "run", "--rm", "-T", "--entrypoint", "/opt/heptad/bin/python3", "tools", "-c", _HEADS
        )
        heads = json.loads(out.strip().splitlines()[-1])
        _require(len(heads) == 7, f"only {sorted(heads)} answered")
        _require(len({tuple(head) for head in heads.values()}) == 1, f"the heads differ: {heads}")
        _say(f"seven replicas hold the same {next(iter(heads.values()))[0]} entries")

    def end(self) -> None:
        """Remove containers and networks, and say what members said if something went wrong."""
        if sys.exc_info()[0] is not None:
            print(self._compose("logs", "--tail", "5", may_fail=True)[-8_000:], file=sys.stderr)
        self._compose("down", "--volumes", "--timeout", "10", may_fail=True)

    def _healthy(self) -> list[str]:
        wanted = (
            "--filter",
            f"label=com.docker.compose.project={PROJECT}",
            "--filter",
            "health=healthy",
        )
        return _run(["docker", "ps", "-q", *wanted]).split()

    def _killed(self, name: str) -> Callable[[], None]:
        container = self._container(name)
        _run(["docker", "kill", container])
        return lambda: _ignore(_run(["docker", "start", container]))

    def _cut(self, name: str, network: str) -> Callable[[], None]:
        container, network = self._container(name), f"{PROJECT}_{network}"
        _run(["docker", "network", "disconnect", network, container])
        return lambda: _ignore(
            _run(["docker", "network", "connect", "--alias", name, network, container])
        )

    def _container(self, name: str) -> str:
        return self._compose("ps", "-q", name).strip()

    def _compose(self, *words: str, may_fail: bool = False) -> str:
        words = ("docker-compose", "-p", PROJECT, "-f", str(ROOT / "compose.yaml"), *words)
        return _run(words, environment=self._environment, may_fail=may_fail)


_HEADS: Final = """
import asyncio, json
from pathlib import Path
from heptad.trials.tour.scene import replica_statuses
found = asyncio.run(replica_statuses(Path("/cell")))
print(json.dumps({name: [s.log_size, s.log_root.hex()] for name, s in found.items()}))
"""


@contextmanager
def _cell() -> Iterator[Trial]:
    image = f"heptad:{PROJECT}"
    folder = Path(tempfile.mkdtemp(prefix="heptad-containers-"))
    http_port, prometheus_port = _free_ports(2)
    made = [image]
    try:
        _build(image, os.environ.get("BASE"))
        prometheus = os.environ.get("PROMETHEUS_IMAGE") or _prometheus_image(made)
        environment = {
            **os.environ,
            "HEPTAD_IMAGE": image,
            "HEPTAD_CELL": str(folder / "cell"),
            "HEPTAD_HTTP_PORT": str(http_port),
            "PROMETHEUS_PORT": str(prometheus_port),
            "PROMETHEUS_IMAGE": prometheus,
        }
        folder.chmod(0o777)
        _in_image(
            image, folder, USER, "heptad.cli.main", "init", "--home", "/made/cell", "--containers"
        )
        trial = Trial(folder, environment, http_port)
        try:
            yield trial
        finally:
            trial.end()
    finally:
        _emptied(image, folder)
        for each in made:
            _run(["docker", "image", "rm", "--force", each], may_fail=True)


def _build(image: str, base: str | None) -> None:
    started_s = time.monotonic()
    words = ["docker", "build", "-q", "-t", image]
    if base:
        words += ["--build-arg", f"BASE={base}", "--build-arg", "PIP_NO_INDEX=1"]
    _run([*words, str(ROOT)])
    size = int(_run(["docker", "image", "inspect", "--format", "{{.Size}}", image]))
    _say(f"the image is built in {time.monotonic() - started_s:.0f} s, {size / 1e6:.0f} MB")


def _prometheus_image(made: list[str]) -> str:
    binary = shutil.which("prometheus")
    if binary is None:
        return "prom/prometheus:v2.53.3"
    image = f"heptad-prometheus:{PROJECT}"
    base = os.environ.get("BASE", "debian:bookworm-slim")
    with tempfile.TemporaryDirectory() as context:
        shutil.copyfile(binary, Path(context) / "prometheus")
        (Path(context) / "prometheus").chmod(0o755)
        recipe = ROOT / "ops/container/prometheus.Dockerfile"
        words = ["docker", "build", "-q", "-f", str(recipe), "-t", image]
        _run([*words, "--build-arg", f"BASE={base}", context])
    made.append(image)
    return image


def _in_image(image: str, folder: Path, user: str, module: str, *words: str) -> None:
    """Run a module of the image once, with `folder` as /made."""
    mount = ["-v", f"{folder}:/made", "--user", user]
    _run(["docker", "run", "--rm", *mount, image, "-m", module, *words])


def _emptied(image: str, folder: Path) -> None:
    """Remove the folder; what is the container's user's, that user removes."""
    code = "import shutil; shutil.rmtree('/made/cell', ignore_errors=True)"
    mount = ["-v", f"{folder}:/made", "--user", USER]
    _run(["docker", "run", "--rm", *mount, image, "-c", code], may_fail=True)
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        print(f"{folder} could not be removed: it belongs to {USER}", file=sys.stderr)


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def _run(
    words: Sequence[str], *, environment: Mapping[str, str] | None = None, may_fail: bool = False
) -> str:
    done = subprocess.run(
        words, check=False, env=environment, capture_output=True, text=True, timeout=600
    )
    if done.returncode and not may_fail:
        raise SystemExit(f"{' '.join(words)}\n{done.stdout[-4_000:]}{done.stderr[-4_000:]}")
    return done.stdout


def _wait(what: str, is_so: Callable[[], bool]) -> float:
    started_s = time.monotonic()
    while True:
        try:
            if is_so():
                return time.monotonic() - started_s
        except OSError:
            pass  # Not there yet: that is what is waited for.
        _require(time.monotonic() - started_s < READY_S_MAX, f"waited in vain for {what}")
        time.sleep(0.25)


def _require(holds: object, reason: str) -> None:
    if not holds:
        raise SystemExit(f"FAILED: {reason}")


def _ignore(_said: str) -> None:
    """What docker prints when it is done."""


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
