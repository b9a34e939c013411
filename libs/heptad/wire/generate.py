"""Generates `heptad.wire.<part>.v1` from `protos/`, and checks that what is committed is fresh.

The generated code is committed, so that a user needs no compiler. protoc writes absolute imports of
the proto's own package (`heptad.entry.v1`); inside the library that package has the prefix
`heptad.wire`, so the imports are rewritten. `make generate` runs it, and `make check` runs it with
`--check`.
"""

import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

_IMPORT = re.compile(r"^(from|import) heptad\.(\w+)\.v1\b", re.MULTILINE)
_REFERENCE = re.compile(r"(?<![\w.])heptad\.(\w+)\.v1\.(\w+_pb2)")


def rewritten(source: str) -> str:
    """The module's text with each `heptad.<part>.v1` import moved to `heptad.wire.<part>.v1`."""
    moved = _IMPORT.sub(r"\1 heptad.wire.\2.v1", source)
    return _REFERENCE.sub(r"heptad.wire.\1.v1.\2", moved)


def generate(*, protos: Path, target: Path) -> None:
    """Write the generated modules of every file below `protos` below `target`.

    Raises: RuntimeError when protoc refuses a file; it prints the reason itself.
    """
    import grpc_tools  # noqa: PLC0415  a tool of developers, absent where Heptad only runs
    from grpc_tools import protoc  # noqa: PLC0415

    files = sorted(str(path.relative_to(protos)) for path in protos.rglob("*.proto"))
    include = Path(grpc_tools.__file__).parent / "_proto"
    with tempfile.TemporaryDirectory() as scratch:
        outputs = [
            f"--{kind}_out={scratch}" for kind in ("python", "pyi", "grpc_python", "mypy_grpc")
        ]
        plugin = Path(sys.executable).with_name("protoc-gen-mypy_grpc")
        arguments = ["protoc", f"-I{protos}", f"-I{include}", *outputs, *files]
        arguments.insert(1, f"--plugin=protoc-gen-mypy_grpc={plugin}")
        if protoc.main(arguments) != 0:
            raise RuntimeError("protoc refused the files above")
        for made in sorted(Path(scratch).rglob("*.py*")):
            place = target / made.relative_to(Path(scratch) / "heptad")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(rewritten(made.read_text()))
            for package in (place.parent, place.parent.parent):
                (package / "__init__.py").touch()


def differences(*, committed: Path, fresh: Path) -> Iterator[str]:
    """Names of generated files that are missing, stale or left over in `committed`."""
    made = {path.relative_to(fresh) for path in fresh.rglob("*_pb2*")}
    kept = {path.relative_to(committed) for path in committed.rglob("*_pb2*.py*") if path.is_file()}
    kept = {path for path in kept if "__pycache__" not in path.parts}
    yield from (f"missing: {path}" for path in sorted(made - kept))
    yield from (f"left over: {path}" for path in sorted(kept - made))
    for path in sorted(made & kept):
        if (fresh / path).read_bytes() != (committed / path).read_bytes():
            yield f"stale: {path}"


def main(arguments: list[str]) -> int:
    """Entry of `python -m heptad.wire.generate [--check]`; 0 is fresh, 1 is stale."""
    target = Path(__file__).parent
    protos = target.parents[2] / "protos"
    if arguments != ["--check"]:
        generate(protos=protos, target=target)
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        generate(protos=protos, target=Path(scratch))
        stale = list(differences(committed=target, fresh=Path(scratch)))
    sys.stderr.writelines(f"generated code is not fresh: {line}\n" for line in stale)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
