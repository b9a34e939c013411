"""`heptad evidence`: list the evidence of misbehaviour that the log holds, or fetch one of them.

What is fetched is a receipt like any other, of the entry that states the proof: `heptad verify`
judges the entry's place in the log by a policy and the proof in it by `cell.toml`.
"""

import json
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import typer

from heptad.cli.exits import told
from heptad.cli.gateway_http import URL_DEFAULT, GatewayHttp
from heptad.cli.request_options import AsJson, Url
from heptad.model.canonical import MalformedError
from heptad.model.entry import Kind
from heptad.model.problems import Problem

_PAGE_SIZE: Final = 1_000


def command(
    index: Annotated[
        int | None, typer.Argument(min=0, help="Log index of the evidence. Default: list all.")
    ] = None,
    *,
    out: Annotated[
        Path | None, typer.Option(help="File to write. Default: standard output.")
    ] = None,
    start: Annotated[int, typer.Option("--from", min=0, help="List from this log index on.")] = 0,
    url: Url = URL_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """List the evidence of misbehaviour in the log, or fetch the receipt of one.

    The alert `misbehaviour_recorded` names the index. A list reads the whole log, page by page.
    """
    with told(as_json=as_json):
        gateway = GatewayHttp(url)
        if index is None:
            for row in _listed(gateway, start):
                print(json.dumps(row) if as_json else _line(row))
            return
        body = _receipt(gateway, index)
        if out is None:
            print(body.decode("utf-8"), end="")
            return
        out.write_bytes(body)
    if as_json:
        print(json.dumps({"receipt": str(out), "bytes": len(body)}))
    else:
        print(f"{out}: check it with `heptad verify {out} --cell cell.toml --policy FILE`")


def _listed(gateway: GatewayHttp, start: int) -> Iterator[dict[str, object]]:
    """Every piece of evidence from an index on. Raises: Problem, OSError."""
    from heptad.consensus.evidence import decode_evidence

    kind = Kind.MISBEHAVIOUR_EVIDENCE.name
    path = f"/v1/entries?kind={kind}&start_index={start}&page_size={_PAGE_SIZE}"
    while path:
        page = gateway.get(path).json()
        entries = page.get("entries")
        for entry in entries if isinstance(entries, list) else []:
            if entry.get("kind") != Kind.MISBEHAVIOUR_EVIDENCE.name:
                continue
            row = {"index": entry.get("index"), "time_ms": entry.get("time_ms")}
            try:
                charge = decode_evidence(b64decode(str(entry.get("statement")))).charge
                row |= {"accused": charge.name, "offence": charge.offence.name.lower()}
            except (MalformedError, ValueError):
                # Listed all the same: its receipt shows what is wrong with it.
                row |= {"accused": "unreadable", "offence": ""}
            yield row
        path = str(page.get("next", ""))


def _line(row: dict[str, object]) -> str:
    return f"{row['index']:>10}  {row['accused']}  two {row['offence']}"


def _receipt(gateway: GatewayHttp, index: int) -> bytes:
    """The receipt of any entry, under the latest checkpoint. Raises: Problem, OSError."""
    from heptad.transparency.checkpoint import Checkpoint
    from heptad.transparency.errors import FormatError
    from heptad.transparency.notes import Note, decode_base64
    from heptad.transparency.receipt import Receipt
    from heptad.verification import ReceiptFile

    note = gateway.get("/checkpoint").body
    entry = gateway.get(f"/v1/entries/{index}").json().get("entry")
    try:
        size = Checkpoint.parse(Note.parse(note).text).size
        proof = gateway.get(f"/v1/proofs/inclusion?index={index}&tree_size={size}").json()
        hashes = proof.get("hashes")
        folded = tuple(map(decode_base64, hashes if isinstance(hashes, list) else []))
        return ReceiptFile(decode_base64(str(entry)), Receipt(index, folded, note)).encode()
    except FormatError as error:
        raise Problem("body_malformed", f"the gateway's answer: {error}") from error
