"""The house's style, where a machine can hold it: sizes, names, heads, nothing of one machine.

A rule that only people enforce is lost in the first hurry. Each rule names the file and line.
"""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINES_MAX = 500
FUNCTION_LINES_MAX = 60
KERNEL_LINES_MAX = 300


def _tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *patterns],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def _is_generated(path: Path) -> bool:
    return "_pb2" in path.name


def _sources() -> list[Path]:
    return [path for path in _tracked("*.py") if not _is_generated(path)]


def _product() -> list[Path]:
    return [path for path in _sources() if path.is_relative_to(ROOT / "libs")
            or path.is_relative_to(ROOT / "services")]  # fmt: skip


def _named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            end = node.end_lineno or node.lineno
            yield f"{_named(path)}:{node.lineno} {node.name}", end - node.lineno + 1


def test_no_file_is_longer_than_one_room_needs():
    long = {_named(p): n for p in _sources() if (n := len(p.read_text().splitlines())) > LINES_MAX}
    assert long == {}


def test_no_function_is_longer_than_a_screen():
    long = [f"{name}: {lines}" for p in _product() for name, lines in _functions(p)
            if lines > FUNCTION_LINES_MAX]  # fmt: skip
    assert long == []


def test_the_safety_kernel_stays_small_enough_to_read_at_once():
    kernel = _tracked("libs/heptad/consensus/kernel/*.py")
    assert kernel, "the kernel has moved: this test watches nothing"
    assert sum(len(path.read_text().splitlines()) for path in kernel) <= KERNEL_LINES_MAX


def test_every_module_says_what_it_is_for():
    texts = {_named(path): path.read_text() for path in _product()}
    silent = [
        name for name, text in texts.items() if text and not ast.get_docstring(ast.parse(text))
    ]
    assert silent == []


@pytest.mark.parametrize("word", ["utils", "helpers", "common", "manager", "misc"])
def test_no_room_has_a_name_that_says_nothing(word):
    assert [_named(p) for p in _tracked() if word in p.stem.lower().split("_")] == []


def test_no_stub_is_left():
    marks = re.compile(r"\b(TODO|FIXME|XXX|raise NotImplementedError)\b")
    assert [_named(p) for p in _product() if marks.search(p.read_text())] == []


def _says_nothing(handler: ast.ExceptHandler, lines: list[str]) -> bool:
    """A bare `except:`, or one that passes without a comment that says why it may."""
    if handler.type is None:
        return True
    text = lines[handler.lineno - 1 : handler.end_lineno]
    return all(isinstance(part, ast.Pass) for part in handler.body) and "#" not in "".join(text)


def test_no_foreign_failure_is_swallowed():
    """A handler does something, or says why it need not."""
    silent = []
    for path in _product():
        text = path.read_text()
        handlers = (n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.ExceptHandler))
        silent += [
            f"{_named(path)}:{handler.lineno}"
            for handler in handlers
            if _says_nothing(handler, text.splitlines())
        ]
    assert silent == []


def test_lock_files_name_no_host():
    locks = [*_tracked("requirements/*"), ROOT / "package-lock.json"]
    assert [_named(p) for p in locks if re.search(r"https?://|\"resolved\"", p.read_text())] == []


def test_nothing_names_a_path_of_one_machine():
    own = re.compile("/" + r"(?:work/main|root)\b")
    hits = []
    for path in _tracked():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue  # a picture or another binary file names no path that anybody follows
        hits += [_named(path)] if own.search(text) else []
    assert hits == []


def test_what_is_signed_is_named_by_its_domain_once():
    """Two places that build one signed message will differ some day."""
    domains = re.compile(r"heptad/v1/([a-z-]+)\\0")
    places: dict[str, set[str]] = {}
    for path in _product():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, bytes):
                for kind in domains.findall(repr(node.value).replace("x00", "0")):
                    places.setdefault(kind, set()).add(_named(path))
    assert {kind: files for kind, files in places.items() if len(files) > 1} == {}


def test_each_decision_has_a_number_of_its_own_and_says_it():
    pages = sorted(Path("docs/adr").glob("[0-9]*.md"))
    numbers = [int(page.name[:4]) for page in pages]
    assert numbers == list(range(1, len(pages) + 1))
    told = [page.read_text().split(".", 1)[0] for page in pages]
    assert told == [f"# {number}" for number in numbers]
