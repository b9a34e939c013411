"""`heptad ledger …`: what an operator does to the ledger's files."""

import json
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from heptad.cli import backup_keys, ledger_process
from heptad.cli.exits import EXIT_FAILED, EXIT_USAGE, fail
from heptad.cli.ledger_process import backup_command
from heptad.cli.up import HOME_OPTION

app = typer.Typer(
    no_args_is_help=True, help="Check, back up, restore and rebuild the ledger's files."
)


app.add_typer(backup_keys.app, name="backup-keys")


@app.callback()
def ledger() -> None:
    """Check, back up, restore and rebuild the ledger's files."""


@app.command()
def fsck(
    *,
    home: Annotated[Path, HOME_OPTION] = Path(".heptad"),
    data: Annotated[
        Path | None,
        typer.Option(help="Check this copy of the ledger's data folder, not the home's own."),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="A checkpoint that somebody kept: the log must still lead to it."),
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help="Open no records: faster, and needs no vault.")
    ] = False,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Make again what is derived: tiles, indexes, files."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check every byte of a stopped ledger that matters, and name what is wrong.

    Re-hashes entries, tiles and checkpoints, verifies all signatures, recomputes indexes, opens
    every record and holds it against its commitment. Ends with 0 if all is well, 1 if not, 2 if it
    could not be tried: the ledger runs, or there is none.
    """
    command = [sys.executable, "-m", "heptad_ledger.fsck", str(home.absolute())]
    for name, value in (("--data", data), ("--checkpoint", checkpoint)):
        command += [name, str(value.absolute())] if value is not None else []
    for name, is_set in (("--public", public), ("--repair", repair)):
        command += [name] if is_set else []
    lines, status = ledger_process.run(command, as_json=as_json, on_finding=_print_finding)
    _end(lines, status, as_json=as_json)


@app.command()
def backup(
    *,
    to: Annotated[Path, typer.Option(help="The backup's folder; it must not be there yet.")],
    home: Annotated[Path, HOME_OPTION] = Path(".heptad"),
    with_root_key: Annotated[
        Path | None,
        typer.Option(
            help="Let the vault's copy open under a key of its own, written to this file (0600)."
        ),
    ] = None,
    key_days: Annotated[
        int, typer.Option(min=1, max=3_650, help="Days until that key is to be destroyed.")
    ] = 30,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Copy log and vault of a ledger, running or not, into a folder.

    The vault is copied as ciphertext. Its root key never leaves the ledger: without --with-root-key
    the copy opens only under the key that lies there, until the next erasure destroys that. Keep
    the key's file apart from the backup, and destroy it on its day.
    """
    command = backup_command(home, "take", str(to.absolute()))
    if with_root_key is not None:
        command += ["--with-root-key", str(with_root_key.absolute()), "--key-days", str(key_days)]
    done = ledger_process.done(command, as_json=as_json, on_finding=_print_finding)
    if as_json:
        print(json.dumps(done))
        return
    count = sum(facts["size_bytes"] for facts in done["files"])
    print(
        f"{to}: {done['size']:,} entries and the vault, {count / 1e6:,.1f} MB, taken in"
        f" {done['seconds']:.1f} s; the last checkpoint has {done['checkpoint_size']:,}"
    )
    if with_root_key is None:
        print("no key: this vault opens only under the ledger's own root key, as it is today")


@app.command()
def restore(
    *,
    source: Annotated[Path, typer.Option("--from", help="The backup's folder.")],
    home: Annotated[Path, HOME_OPTION] = Path(".heptad"),
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="The last checkpoint that anybody kept: the log must lead to it."),
    ] = None,
    root_key: Annotated[Path | None, typer.Option(help="The key that this backup has.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check a backup in full and put it in the place of a lost ledger, or change nothing.

    A ledger is never written over. A checkpoint larger than the backup is kept beside the log: the
    ledger publishes nothing until it has followed the replicas up to it and leads to its root. Ends
    with 0 once it is in place, 1 if anything is wrong with it or in its place, 2 if it could not be
    tried: a file is not there.
    """
    command = backup_command(home, "restore", str(source.absolute()))
    for name, value in (("--checkpoint", checkpoint), ("--root-key", root_key)):
        command += [name, str(value.absolute())] if value is not None else []
    done = ledger_process.done(command, as_json=as_json, on_finding=_print_finding)
    if as_json:
        print(json.dumps(done))
        return
    print(f"{done['size']:,} entries, all of them checked, are in place; start the ledger")
    if done["kept_size"] > done["size"]:
        print(f"it will publish nothing before it leads to the kept {done['kept_size']:,} entries")
    elif not done["kept_size"]:
        print("no checkpoint was given: nothing proves that this is the newest log that there was")


@app.command()
def rebuild(
    *,
    home: Annotated[Path, HOME_OPTION] = Path(".heptad"),
    source: Annotated[
        str,
        typer.Option("--from", help="Another ledger's public log: an address, or a copied folder."),
    ] = "",
    policy: Annotated[
        Path | None, typer.Option(help="Judges that log's checkpoint; else the cell's own policy.")
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="The last checkpoint that anybody kept: the log must lead to it."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Begin a lost log anew: from the replicas, or with --from as a clone of a public log.

    Without --from, says whether a replica still holds every block; then an empty ledger gets all of
    it when it starts. A clone has every hash checked up to a cosigned root, and no private half:
    see docs/operations/backup.md. A ledger is never written over.
    """
    command = backup_command(home, "rebuild")
    command += ["--from", source if "://" in source else str(Path(source).absolute())] * bool(
        source
    )
    for name, value in (("--policy", policy), ("--checkpoint", checkpoint)):
        command += [name, str(value.absolute())] if value is not None else []
    done = ledger_process.done(command, as_json=as_json, on_finding=_print_finding)
    if as_json:
        print(json.dumps(done))
        return
    if source:
        print(f"{done['size']:,} entries, all of them checked, up to block {done['height']:,}")
        print("no private half: subjects register again, and no record of before can be opened")
    else:
        print(
            f"{', '.join(done['complete'])} hold every block: start the ledger, it gets all of it"
        )
    if not done["has_vault"]:
        print("there is no vault: a new one is made, and records sealed before open for nobody")


def _print_finding(finding: dict[str, Any]) -> None:
    repairable = "  (can be made again: --repair)" if finding["derived"] else ""
    print(f"{finding['code']}: {finding['where']}: {finding['detail']}{repairable}", flush=True)


def _end(lines: list[dict[str, Any]], status: int, *, as_json: bool) -> None:
    last = lines[-1] if lines else {}
    if status < 0 or (not last.get("summary") and not last.get("error")):
        name = signal.Signals(-status).name if status < 0 else f"status {status}"
        fail(
            f"the check itself died ({name}): the files are damaged in a way that it does not know,"
            " or it was ended",
            status=EXIT_FAILED,
            as_json=as_json,
        )
    if "error" in last:
        fail(str(last["error"]), status=EXIT_USAGE, as_json=as_json)
    summary = last["summary"]
    if as_json:
        findings = [line["finding"] for line in lines if "finding" in line]
        print(json.dumps({"summary": summary, "findings": findings}))
    else:
        print(_sentence(summary))
    if status:
        raise typer.Exit(EXIT_FAILED)


def _sentence(summary: dict[str, Any]) -> str:
    size, seconds = summary["size"], max(summary["seconds"], 1e-9)
    told = (
        f"{size:,} entries in {seconds:.1f} s ({size / seconds:,.0f} a second); cosigned"
        f" checkpoints vouch for the first {summary['vouched']:,}"
    )
    count = sum(summary["findings"].values())
    verdict = f"{count} finding{'s' * (count > 1)}" if count else "nothing is wrong"
    repaired = f"; {summary['repaired']} rows and files were made again" * bool(summary["repaired"])
    rest = f"; {summary['left_out']} more wait for another --repair" * bool(summary["left_out"])
    return f"{told}: {verdict}{repaired}{rest}"
