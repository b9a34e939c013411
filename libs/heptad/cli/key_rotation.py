"""`heptad keys rotate …`: one key takes over from another, step by step, on a cell that runs.

Where `heptad up` runs the home, a step restarts who has to know of it, one after the other. Where
several authorities run the members, each has a home of its own: the step changes the files of this
one and says whom people have to carry them to, and who has to be restarted there.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from heptad.cli.exits import EXIT_USAGE, fail, told
from heptad.cli.up import HOME_OPTION

if TYPE_CHECKING:
    from heptad.crypto.keys import KeyRole
    from heptad.runtime.keyring.steps import Step

app = typer.Typer(no_args_is_help=True, help="Exchange a key or certificate of a cell that runs.")

_START = typer.Option("--start", help="Make the next key, name it, and tell all who need it.")
_FINISH = typer.Option("--finish", help="Let it take over; the old one only checks from then on.")
_NO_RESTART = typer.Option(
    "--no-restart", help="Change files only: several rotations can share one rolling restart."
)
_JSON = typer.Option("--json", help="Print JSON.")


@dataclass(slots=True)
class Rotation:
    """What one command has done so far, and how it deals with members that run."""

    home: Path
    restarts: bool
    as_json: bool
    facts: list[str] = field(default_factory=list)
    restarted: list[str] = field(default_factory=list)
    to_restart: list[str] = field(default_factory=list)
    by_hand: list[str] = field(default_factory=list)
    is_news: bool = False

    def take(self, step: "Step") -> None:
        """A step was done: say so, and restart whom it needs, if that can be done from here."""
        self.facts += step.facts
        self.is_news = self.is_news or step.is_news
        for fact in [] if self.as_json else step.facts:
            print(fact)
        self.by_hand += step.by_hand
        elsewhere = self._elsewhere(step.restart)
        if self.restarts:
            self.roll(step.restart)
        if elsewhere or not self.restarts:
            self.by_hand += step.elsewhere
            left = elsewhere if self.restarts else step.restart
            self.to_restart += [name for name in left if name not in self.to_restart]

    def roll(self, names: Sequence[str]) -> None:
        """Restart those that do not know the files yet. Raises: SupervisionFault."""
        from heptad.cli.rolling import roll

        self.restarted += roll(self.home, names, tell=self._tell)

    def require_known(self, names: Sequence[str]) -> None:
        """See that all of these that run here go by the files as they are.

        Raises: HomeRefusedError, naming those that do not and cannot be restarted from here.
        """
        from heptad.runtime.errors import HomeRefusedError
        from heptad.runtime.keyring.staleness import stale

        if self.restarts:
            self.roll(names)
        elif behind := stale(self.home, names):
            named = ", ".join(behind)
            raise HomeRefusedError(f"these go by older files, restart them first: {named}")

    def require_here(self, names: Sequence[str]) -> None:
        """See that all of these are kept in this home, so that nobody has to be waited for.

        Raises: HomeRefusedError, naming those that are not.
        """
        from heptad.runtime.errors import HomeRefusedError

        if elsewhere := self._elsewhere(names):
            named = ", ".join(elsewhere)
            raise HomeRefusedError(
                f"{named} are not in this home: --start, and --finish once they have the file"
            )

    def end(self) -> None:
        """Say what is left for people."""
        from heptad.runtime.config import cell_digest
        from heptad.runtime.genesis import POLICY_FILE
        from heptad.transparency.policy import fingerprint

        cell = cell_digest(self.home).hex()
        policy = fingerprint((self.home / POLICY_FILE).read_bytes())
        if self.as_json:
            print(json.dumps({
                "facts": self.facts, "restarted": self.restarted, "to_restart": self.to_restart,
                "by_hand": self.by_hand, "changed": self.is_news,
                "cell_sha256": cell, "policy_sha256": policy,
            }))  # fmt: skip
            return
        if self.to_restart:
            print(f"to be restarted, one after the other: {', '.join(self.to_restart)}")
        for line in dict.fromkeys(self.by_hand):
            print(f"by hand: {line}")
        print(f"cell.toml  SHA-256 {cell}: carry it to every member and auditor")
        print(f"policy     SHA-256 {policy}")

    def _elsewhere(self, names: Sequence[str]) -> list[str]:
        return [name for name in names if not (self.home / name).is_dir()]

    def _tell(self, name: str) -> None:
        if not self.as_json:
            print(f"  restarting {name}", flush=True)


@contextmanager
def _rotating(home: Path, *, no_restart: bool, as_json: bool) -> Iterator[Rotation]:
    from heptad.cli.rolling import is_up
    from heptad.crypto.errors import KeyFileError
    from heptad.runtime.keyring.cell_file import alone

    home = home.absolute()
    with told(as_json=as_json), alone(home):
        rotation = Rotation(home, restarts=not no_restart and is_up(home), as_json=as_json)
        try:
            yield rotation
        except KeyFileError as error:
            fail(str(error), status=EXIT_USAGE, as_json=as_json)
        rotation.end()


@app.command()
def validator(
    number: Annotated[int, typer.Argument(min=1, help="Which one: 2 of validator-2.")],
    *,
    home: Annotated[Path, HOME_OPTION] = Path(".heptad"),
    start: Annotated[bool, _START] = False,
    finish: Annotated[bool, _FINISH] = False,
    no_restart: Annotated[bool, _NO_RESTART] = False,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Exchange a validator's batch key; without --start and --finish both, one after the other."""
    from heptad.runtime.keyring import batch

    name = f"validator-{number}"
    with _rotating(home, no_restart=no_restart, as_json=as_json) as rotation:
        _require_validator(rotation.home, name)
        if start == finish:
            rotation.require_here(_verifiers(rotation.home))
        if start or not finish:
            step = batch.start(rotation.home, name, now_ms=time.time_ns() // 10**6, since=_now())
            rotation.take(step)
        if finish or not start:
            rotation.require_known(_verifiers(rotation.home))
            rotation.take(batch.finish(rotation.home, name))


@app.command()
def log(
    *,
    home: Annotated[Path, HOME_OPTION] = Path(".heptad"),
    start: Annotated[bool, _START] = False,
    finish: Annotated[bool, _FINISH] = False,
    no_restart: Annotated[bool, _NO_RESTART] = False,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Exchange the log's key: from --start on both sign, after --finish only the new one.

    In between every auditor has to get the new policy file, out of band.
    """
    from heptad.crypto.keys import KeyRole

    _require_one(start, finish, as_json=as_json)
    _dated(KeyRole.LOG, home, (start, finish), no_restart=no_restart, as_json=as_json)


@app.command()
def attestation(
    *,
    home: Annotated[Path, HOME_OPTION] = Path(".heptad"),
    start: Annotated[bool, _START] = False,
    finish: Annotated[bool, _FINISH] = False,
    no_restart: Annotated[bool, _NO_RESTART] = False,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Exchange the key of erasure certificates; without --start and --finish both."""
    from heptad.crypto.keys import KeyRole

    both = not start and not finish
    steps = (start or both, finish or both)
    _dated(KeyRole.ATTESTATION, home, steps, no_restart=no_restart, as_json=as_json)


@app.command()
def service(
    name: Annotated[str, typer.Argument(help="Which one, as cell.toml names it.")],
    *,
    home: Annotated[Path, HOME_OPTION] = Path(".heptad"),
    start: Annotated[bool, _START] = False,
    use: Annotated[
        bool, typer.Option("--use", help="Let the profile sign with it (--start does on one home).")
    ] = False,
    finish: Annotated[bool, _FINISH] = False,
    jwk: Annotated[
        Path | None, typer.Option(help="--start with the public key that the service brings.")
    ] = None,
    at: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%dT%H:%M:%SZ"], help="--finish from then on, UTC; else now."),
    ] = None,
    no_restart: Annotated[bool, _NO_RESTART] = False,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Exchange a relying service's signing key; between the steps both count."""
    from heptad.runtime.config.dates import format_date
    from heptad.runtime.keyring import relying

    _require_one(start, finish, use, as_json=as_json)
    retired_at = _now() if at is None else format_date(at.replace(tzinfo=UTC))
    with _rotating(home, no_restart=no_restart, as_json=as_json) as rotation:
        if start:
            brought = _read_jwk(jwk, as_json=as_json)
            rotation.take(relying.start(rotation.home, name, since=_now(), brought=brought))
        if use or (start and rotation.restarts and jwk is None):
            rotation.take(relying.use(rotation.home, name))
        if finish:
            rotation.take(relying.finish(rotation.home, name, at=retired_at))


@app.command()
def tls(
    ids: Annotated[
        list[str] | None, typer.Argument(help="Members and clients; without any, all of the home.")
    ] = None,
    *,
    home: Annotated[Path, HOME_OPTION] = Path(".heptad"),
    no_restart: Annotated[bool, _NO_RESTART] = False,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Make new TLS keys and certificates by the cell's CA."""
    from heptad.runtime.keyring import certificates

    with _rotating(home, no_restart=no_restart, as_json=as_json) as rotation:
        rotation.take(certificates.renew(rotation.home, tuple(ids or ()), now=datetime.now(UTC)))


@app.command(name="roll-out")
def roll_out(
    *,
    home: Annotated[Path, HOME_OPTION] = Path(".heptad"),
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Restart, one after the other, every member that goes by older files than those of the home.

    After steps with --no-restart, or after somebody brought a new cell.toml.
    """
    from heptad.runtime.config import load_cell
    from heptad.runtime.errors import HomeRefusedError

    with _rotating(home, no_restart=False, as_json=as_json) as rotation:
        if not rotation.restarts:
            raise HomeRefusedError(f"no mesh is running in {rotation.home}")
        rotation.roll(tuple(load_cell(rotation.home).member_addresses()))


def _dated(
    duty: "KeyRole",
    home: Path,
    steps: tuple[bool, bool],
    *,
    no_restart: bool,
    as_json: bool,
) -> None:
    from heptad.runtime.keyring import dated

    with _rotating(home, no_restart=no_restart, as_json=as_json) as rotation:
        if all(steps):
            rotation.require_here(_attested(rotation.home))
        if steps[0]:
            rotation.take(dated.start(rotation.home, duty, since=_now()))
        if steps[1]:
            rotation.require_known(_attested(rotation.home))
            rotation.take(dated.finish(rotation.home, duty, at=_now()))


def _verifiers(home: Path) -> tuple[str, ...]:
    """Who checks the signatures of batches."""
    from heptad.runtime.config import load_cell

    cell = load_cell(home)
    return (*(replica.id for replica in cell.replicas), cell.ledger.id)


def _attested(home: Path) -> tuple[str, ...]:
    """Who goes by the ledger's keys."""
    from heptad.runtime.config import load_cell

    cell = load_cell(home)
    return (*(each.id for each in cell.validators), cell.ledger.id)


def _require_validator(home: Path, name: str) -> None:
    from heptad.runtime.config import load_cell
    from heptad.runtime.errors import HomeRefusedError

    if name not in load_cell(home).member_addresses():
        raise HomeRefusedError(f"the cell has no {name}")


def _require_one(*steps: bool, as_json: bool) -> None:
    if sum(steps) != 1:
        reason = "say which step: --start, and once everybody has what it prints, --finish"
        fail(reason, status=EXIT_USAGE, as_json=as_json)


def _read_jwk(path: Path | None, *, as_json: bool) -> Mapping[str, object] | None:
    if path is None:
        return None
    try:
        members = json.loads(path.read_bytes())
    except ValueError:
        members = None
    if not isinstance(members, dict):
        fail(f"{path} holds no JWK", status=EXIT_USAGE, as_json=as_json)
    return members


def _now() -> str:
    from heptad.runtime.config.dates import format_date

    return format_date(datetime.now(UTC))
