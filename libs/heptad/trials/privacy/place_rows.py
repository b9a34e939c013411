"""Where a canary may have been left: files, processes, metrics, answers. Each with its control."""

import asyncio
import gzip
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from heptad.trials.meshes import RunningMesh
from heptad.trials.privacy import process_control, raw_http
from heptad.trials.privacy.canaries import Canaries, Needle
from heptad.trials.privacy.listeners import Listeners
from heptad.trials.privacy.processes import files_elsewhere, strange_connections, words_of
from heptad.trials.privacy.report import Outcome, Row, control_row, row_of
from heptad.trials.privacy.searching import CHUNK_BYTES, FOUND_MAX, Found, Searcher
from heptad.trials.privacy.ways import Ways

_FILES: Final = "files"
_FILES_CLAIM: Final = "no canary lies in a data file (free pages too), a log, a tile, a ready file"
_CONTROL: Final = "public"
_TOLD_BYTES: Final = 1_000_000_000
_PAGES: Final = ("/metrics", "/readyz")
_OPEN: Final = ("/metrics", "/readyz?verbose", "/v1", "/v1/entries:totals")


def judge(
    mesh: RunningMesh,
    ways: Ways,
    searcher: Searcher,
    listeners: Listeners,
    *,
    canaries: Canaries,
    tell: Callable[[str], None],
) -> list[Row]:
    """The rows of all these places; `tell` hears how far a large home is searched."""
    return [
        _file_control(searcher, canaries.needles()),
        *_files(mesh, searcher, ways.public, tell),
        process_control.row(canaries),
        _open_files(mesh, searcher),
        _processes(mesh, searcher),
        _connections(mesh, listeners),
        _metrics(ways, searcher),
        _answer_control(searcher, canaries.needles()),
        _answers(ways, searcher),
    ]


def _file_control(searcher: Searcher, needles: tuple[Needle, ...]) -> Row:
    """Each spelling: in a log line, across the cut between two reads, compressed, behind a hole."""
    own = Searcher(needles)
    with tempfile.TemporaryDirectory(prefix="heptad-privacy-") as folder:
        wanted, found = [], []
        for number, needle in enumerate(needles):
            for how, data in _disguises(needle.data):
                path = Path(folder) / f"{number}-{how}"
                path.write_bytes(data)
                wanted.append(f"{needle.spelling} {number}, {how}")
                if own.search_file(path, place=how):
                    found.append(wanted[-1])
        sparse = Path(folder) / "sparse"
        with sparse.open("wb") as file:
            file.seek(CHUNK_BYTES)
            file.write(needles[0].data)
        wanted.append("behind a hole")
        found += ["behind a hole"] if own.search_file(sparse, place="sparse") else []
    return control_row(_FILES, found, wanted)


def _disguises(data: bytes) -> Iterator[tuple[str, bytes]]:
    yield "log line", b'{"event":"x","note":"' + data + b'"}\n'
    yield "between random bytes", os.urandom(999) + data + os.urandom(999)
    yield "gzip", os.urandom(99) + gzip.compress(b"before " + data + b" behind")


def _files(
    mesh: RunningMesh, searcher: Searcher, public: bytes, tell: Callable[[str], None]
) -> list[Row]:
    """Every file below the home, and what `heptad up` itself has written beside it.

    Together with a control: what the log holds of this run in public must be met on the way, with
    the ledger and with a quorum of replicas, or the wrong files were searched.
    """
    control = Needle(_CONTROL, "plain", public)
    files = Searcher((*searcher.needles, control), searched=_progress(tell))
    found: list[Found] = []
    unread: list[str] = []
    for path in _below(mesh.home):
        try:
            found += files.search_file(path, place=str(path.relative_to(mesh.home.parent)))
        except FileNotFoundError:
            continue  # replaced meanwhile: what it became has another name, and is met
        except PermissionError:
            unread.append(f"{path} may not be read")
    detail = f"{files.files} files, {files.bytes:,} bytes"
    told = [each for each in found if each.what != _CONTROL]
    row = row_of(_FILES, _FILES_CLAIM, detail, told[:FOUND_MAX])
    if unread and not told:
        row = Row(_FILES, _FILES_CLAIM, Outcome.NOT_CHECKED, detail, tuple(unread))
    met = {Path(each.place).parts[1] for each in found if each.what == _CONTROL}
    return [row, _met(mesh, met)]


def _progress(tell: Callable[[str], None]) -> Callable[[int], None]:
    """Tells each gigabyte: half a minute's work."""
    told = 0

    def searched(count: int) -> None:
        nonlocal told
        if count - told >= _TOLD_BYTES:
            told = count
            tell(f"{count / 1e9:.0f} GB of files searched")

    return searched


def _met(mesh: RunningMesh, members: set[str]) -> Row:
    cell = mesh.cell
    replicas = [replica.id for replica in cell.replicas if replica.id in members]
    short = [] if cell.ledger.id in members else [f"not with {cell.ledger.id}"]
    if len(replicas) < cell.quorum:
        short.append(f"with {len(replicas)} replicas, {cell.quorum} must have it")
    claim = "positive control: what this run made public is met in the files"
    return row_of(_FILES, claim, f"with {', '.join(sorted(members))}", short)


def _below(home: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(home):
        for name in sorted(names):
            path = Path(parent) / name
            if path.is_file() and not path.is_symlink():
                yield path
    beside = home.with_name(f"{home.name}.up.out")
    if beside.is_file():
        yield beside


def _open_files(mesh: RunningMesh, searcher: Searcher) -> Row:
    place, claim = "open files elsewhere", "no canary lies in a file that is open outside the home"
    try:
        elsewhere = list(files_elsewhere(mesh.pids(), mesh.home))
    except PermissionError as error:
        return Row(place, claim, Outcome.NOT_CHECKED, f"another user's processes: {error}")
    found = [each for name, link in elsewhere for each in searcher.search_file(link, place=name)]
    return row_of(place, claim, f"{len(elsewhere)} files, deleted ones among them", found)


def _processes(mesh: RunningMesh, searcher: Searcher) -> Row:
    place, claim = "processes", "no canary stands in a command line, an environment, a name"
    pids = mesh.pids()
    try:
        found = [
            each
            for name, pid in pids.items()
            for what, words in words_of(pid)
            for each in searcher.search(words, place=f"{what} of {name}")
        ]
    except PermissionError as error:
        return Row(place, claim, Outcome.NOT_CHECKED, f"another user's processes: {error}")
    return row_of(place, claim, f"{len(pids)} processes", found)


def _connections(mesh: RunningMesh, listeners: Listeners) -> Row:
    place = "connections"
    claim = "the services are connected with nothing but the cell's own ports"
    try:
        count, strange = strange_connections(listeners.places, mesh.pids())
    except PermissionError as error:
        return Row(place, claim, Outcome.NOT_CHECKED, f"another user's processes: {error}")
    told = [f"{name} is connected with port {port}" for name, port in strange]
    return row_of(place, claim, f"{count} connections", told)


async def read_pages(listeners: Listeners) -> dict[str, bytes]:
    """What each metrics listener says, and the gateway's own pages of the same kind."""
    metrics, gateways = listeners.of_kind("metrics"), listeners.of_kind("http")
    asked = [(member, address, path) for member, address in metrics.items() for path in _PAGES]
    asked += [(member, address, path) for member, address in gateways.items() for path in _OPEN]
    answers = await asyncio.gather(*(raw_http.get(address, path) for _, address, path in asked))
    names = [f"{path} of {member}" for member, _, path in asked]
    return dict(zip(names, answers, strict=True))


def _metrics(ways: Ways, searcher: Searcher) -> Row:
    pages = ways.pages
    found = [
        str(each) for name, page in pages.items() for each in searcher.search(page, place=name)
    ]
    found += [
        f"{name} did not answer"
        for name, page in pages.items()
        if name.startswith("/metrics ") and b"process_cpu_seconds_total" not in page
    ]
    detail = f"{len(pages)} pages, {sum(map(len, pages.values())):,} bytes"
    return row_of("metrics", "no canary stands in a metric or its labels", detail, found)


def _answer_control(searcher: Searcher, needles: tuple[Needle, ...]) -> Row:
    wanted = [f"{needle.spelling} {number}" for number, needle in enumerate(needles)]
    found = [
        name
        for name, needle in zip(wanted, needles, strict=True)
        if searcher.search(b'{"detail":"no ' + needle.data + b'"}', place="control")
    ]
    return control_row("metrics and answers", found, wanted)


def _answers(ways: Ways, searcher: Searcher) -> Row:
    found = [
        each
        for refusal in ways.refusals
        for each in searcher.search(refusal.answer, place=refusal.what)
    ]
    detail = f"{len(ways.refusals)} refusals over HTTP and gRPC, heads, bodies and metadata"
    return row_of("answers", "no refusal repeats what it was told", detail, found)
