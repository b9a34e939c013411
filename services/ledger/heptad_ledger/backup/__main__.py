"""`python -m heptad_ledger.backup …`: prints JSON, a line each; `heptad ledger …` shows it.

A process of its own, so that LMDB is opened by one that ends, whatever a database does to it.
"""

import argparse
import asyncio
import dataclasses
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from heptad.runtime.config import Cell, LedgerConfig, load_cell
from heptad.runtime.config.files import CELL_FILE, NODE_FILE, load_node_config
from heptad.runtime.errors import RuntimeRoomError
from heptad.runtime.group import agreed_cell
from heptad.runtime.tls import load_member_tls
from heptad.runtime.vkeys import cell_policy
from heptad.transparency.errors import TransparencyError
from heptad.transparency.policy import Policy
from heptad.vault.errors import VaultError
from heptad.verification.errors import VerificationError
from heptad.verification.sources import open_source
from heptad_ledger.backup.cloning import CloneJob
from heptad_ledger.backup.key_book import KeyRow, overdue, read_book
from heptad_ledger.backup.key_files import declare_destroyed, efface
from heptad_ledger.backup.rebuilding import begin_from_replicas, clone, remote_replicas
from heptad_ledger.backup.restoring import RestoreJob, restore
from heptad_ledger.backup.taking import DATA_FILE, POLICY_FILE, BackupJob, KeyWish, take
from heptad_ledger.errors import BackupError, LedgerError
from heptad_ledger.parts import VAULT_FOLDER

EXIT_DONE: Final = 0
EXIT_REFUSED: Final = 1
EXIT_NOT_TRIED: Final = 2
EXIT_INTERRUPTED: Final = 130
KEY_DAYS: Final = 30
_TOLD_EVERY_S: Final = 0.2


class _Lines:
    """What is printed."""

    def __init__(self) -> None:
        self._next_s = 0.0

    def progress(self, stage: str, done: int, total: int) -> None:
        """How far it is; most calls say nothing."""
        now_s = time.monotonic()
        if now_s >= self._next_s or done == total:
            self._next_s = now_s + _TOLD_EVERY_S
            self.tell(progress={"stage": stage, "done": done, "total": total})

    def tell(self, **what: object) -> None:
        """One line."""
        print(json.dumps(what), flush=True)


def main() -> int:
    """Do what was asked; 0 if it is done, 1 if it was refused, 2 if it could not be tried."""
    asked = _arguments()
    lines = _Lines()
    act: Callable[[argparse.Namespace, _Lines], int] = asked.act
    try:
        return act(asked, lines)
    except (LedgerError, VaultError, VerificationError, TransparencyError) as error:
        lines.tell(error=str(error))
        return EXIT_REFUSED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED  # Whoever pressed Ctrl-C knows it; what was begun is undone by now.
    except RuntimeRoomError as error:
        lines.tell(error=str(error))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        lines.tell(error=f"{where}{error.strerror or error}")
    return EXIT_NOT_TRIED


def _take(asked: argparse.Namespace, lines: _Lines) -> int:
    cell, _, data = _ledger_of(asked.home)
    wish = KeyWish(asked.with_root_key, asked.key_days) if asked.with_root_key else None
    started_s = time.monotonic()
    job = BackupJob(asked.home, data, cell, asked.target, _now_ms(), wish)
    manifest = take(job, progress=lines.progress)
    facts = dataclasses.asdict(manifest)
    lines.tell(done={**facts, "seconds": time.monotonic() - started_s})
    return EXIT_DONE


def _restore(asked: argparse.Namespace, lines: _Lines) -> int:
    with _configuration(asked.source, asked.home) as brought:
        status = _restore_into(asked, lines)
        if status == EXIT_DONE:
            brought.clear()
    return status


def _restore_into(asked: argparse.Namespace, lines: _Lines) -> int:
    cell, config, data = _ledger_of(asked.home)
    job = RestoreJob(
        source=asked.source,
        data=data,
        cell=cell,
        config=config,
        now_ms=_now_ms(),
        kept=asked.checkpoint.read_bytes() if asked.checkpoint else None,
        key=asked.root_key,
    )
    restored = restore(job, progress=lines.progress)
    for finding in restored.findings:
        lines.tell(finding={**dataclasses.asdict(finding), "derived": finding.is_derived})
    if not restored.is_in_place:
        lines.tell(error="the backup is damaged: nothing was put in place")
        return EXIT_REFUSED
    facts = dataclasses.asdict(restored.manifest)
    lines.tell(done={**facts, "kept_size": restored.kept_size})
    return EXIT_DONE


def _keys(asked: argparse.Namespace, lines: _Lines) -> int:
    """What the book of backup keys says."""
    now_ms = _now_ms()
    rows = read_book(_ledger_of(asked.home)[2])
    lines.tell(done={"keys": [_key_facts(row, now_ms) for row in rows]})
    return EXIT_DONE


def _efface(asked: argparse.Namespace, lines: _Lines) -> int:
    """Destroy the keys that were named, or all whose day has come; one failure stops no other."""
    data, now_ms = _ledger_of(asked.home)[2], _now_ms()
    wanted = list(asked.ids)
    if asked.expired:
        wanted += [row.id for row in overdue(data, now_ms=now_ms)]
    effaced, refused = [], []
    for key_id in wanted:
        try:
            effaced.append(_key_facts(efface(data, key_id, now_ms=now_ms), now_ms))
        except (BackupError, OSError) as error:
            refused.append({"id": key_id, "why": str(error)})
    lines.tell(done={"effaced": effaced, "refused": refused})
    return EXIT_DONE


def _declare(asked: argparse.Namespace, lines: _Lines) -> int:
    data, now_ms = _ledger_of(asked.home)[2], _now_ms()
    at_ms = now_ms if asked.at_ms is None else min(asked.at_ms, now_ms)
    row = declare_destroyed(data, asked.id, by=asked.by, at_ms=at_ms)
    lines.tell(done=_key_facts(row, now_ms))
    return EXIT_DONE


def _key_facts(row: KeyRow, now_ms: int) -> dict[str, object]:
    return {**dataclasses.asdict(row), "overdue": row.is_overdue(now_ms)}


def _rebuild(asked: argparse.Namespace, lines: _Lines) -> int:
    cell, config, data = _ledger_of(asked.home)
    tls = load_member_tls(home=asked.home, name=cell.ledger.id)
    kept = asked.checkpoint.read_bytes() if asked.checkpoint else None
    own = cell_policy(cell)
    has_vault = (data / VAULT_FOLDER / DATA_FILE).is_file()

    async def rebuild() -> dict[str, object]:
        async with remote_replicas(cell, tls) as replicas:
            if asked.source is None:
                holdings = await begin_from_replicas(replicas, data=data, policy=own, kept=kept)
                return {"complete": holdings.complete, "lowest": holdings.lowest}
            policy = Policy.parse(asked.policy.read_bytes()) if asked.policy else own
            job = CloneJob(
                data=data,
                cell=agreed_cell(cell),
                config=config,
                policy=policy,
                own=own,
                now_s=_now_ms() // 1000,
                kept=kept,
            )
            with open_source(asked.source) as source:
                cloned = await clone(job, source, replicas)
            return {"size": cloned.size, "height": cloned.block.height}

    lines.tell(done={**asyncio.run(rebuild()), "has_vault": has_vault})
    return EXIT_DONE


@contextmanager
def _configuration(source: Path, home: Path) -> Iterator[list[Path]]:
    """The files of configuration that the home lacks are brought; those that are there stay.

    Unless the list of what was brought is emptied, it goes again in the end: a backup that was
    found wanting must not leave the keys by which the next one is judged.
    """
    ledger = load_cell(home if (home / CELL_FILE).exists() else source).ledger.id
    (home / ledger).mkdir(mode=0o700, parents=True, exist_ok=True)
    brought: list[Path] = []
    try:
        for name, target in (
            (CELL_FILE, home / CELL_FILE),
            (POLICY_FILE, home / POLICY_FILE),
            (NODE_FILE, home / ledger / NODE_FILE),
        ):
            if not target.exists():
                brought.append(target)
                shutil.copyfile(source / name, target)
        yield brought
    finally:
        for target in brought:
            target.unlink(missing_ok=True)


def _ledger_of(home: Path) -> tuple[Cell, LedgerConfig, Path]:
    cell = load_cell(home)
    config = load_node_config(LedgerConfig, home=home, name=cell.ledger.id)
    return cell, config, home / cell.ledger.id / config.node.data


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="heptad_ledger.backup", description=main.__doc__)
    parser.add_argument("home", type=Path)
    acts = parser.add_subparsers(required=True)
    taking = acts.add_parser("take")
    taking.add_argument("target", type=Path)
    taking.add_argument("--with-root-key", type=Path)
    taking.add_argument("--key-days", type=int, default=KEY_DAYS)
    taking.set_defaults(act=_take)
    restoring = acts.add_parser("restore")
    restoring.add_argument("source", type=Path)
    restoring.add_argument("--checkpoint", type=Path)
    restoring.add_argument("--root-key", type=Path)
    restoring.set_defaults(act=_restore)
    rebuilding = acts.add_parser("rebuild")
    rebuilding.add_argument("--from", dest="source")
    rebuilding.add_argument("--policy", type=Path)
    rebuilding.add_argument("--checkpoint", type=Path)
    rebuilding.set_defaults(act=_rebuild)
    _add_key_acts(acts)
    return parser.parse_args()


def _add_key_acts(acts: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    acts.add_parser("keys").set_defaults(act=_keys)
    effacing = acts.add_parser("efface")
    effacing.add_argument("ids", nargs="*")
    effacing.add_argument("--expired", action="store_true")
    effacing.set_defaults(act=_efface)
    declaring = acts.add_parser("declare")
    declaring.add_argument("id")
    declaring.add_argument("--by", required=True)
    declaring.add_argument("--at-ms", type=int)
    declaring.set_defaults(act=_declare)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    sys.exit(main())
