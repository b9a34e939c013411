"""The receipt checker as one file, `web/checker.html`: what a person saves and opens from disk.

Why one file, and a committed one: who checks a receipt must not need the server that is judged, so
the checker is to be had from Heptad's source, has a SHA-256 that can be compared, and opens from a
disk, where browsers load no modules. Its own security policy allows exactly the style and the
script that are in it, and no connection at all.

The assembling is plain on purpose: modules are put one after the other, those that are imported
first, without their `import` and `export` words. So no two modules may use one name at their top,
which is checked. `python -m heptad_gateway.checker_page` writes the file; a tidy test holds it
against its parts.
"""

import base64
import hashlib
import re
import sys
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Final

SOURCE_FILE: Final = "checker-source.html"
CHECKER_FILE: Final = "checker.html"

_STYLE: Final = '<link rel="stylesheet" href="style.css">'
_SCRIPT: Final = '<script type="module" src="checker-page.js"></script>'
_CHARSET: Final = '<meta charset="utf-8">'
_IMPORT: Final = re.compile(r'^import \{[^}]*\} from "\./([a-z0-9-]+\.js)";\n', re.MULTILINE)
_TOP_NAME: Final = re.compile(
    r"^(?:async )?(?:function\*?|class|const|let) (?:\[([^\]]*)\]|(\w+))", re.MULTILINE
)


class AssemblyError(ValueError):
    """The parts do not go together into one page."""


def assemble(parts: Mapping[str, str]) -> str:
    """The whole page, from its parts by file name. Raises: AssemblyError."""
    script = f"(() => {{\n'use strict';\n{_modules(parts)}}})();\n"
    style = parts["style.css"]
    page = parts[SOURCE_FILE]
    policy = (
        f"default-src 'none'; script-src '{_source_hash(script)}'; "
        f"style-src '{_source_hash(style)}'; img-src data:; base-uri 'none'; form-action 'none'"
    )
    meta = f'{_CHARSET}\n<meta http-equiv="Content-Security-Policy" content="{policy}">'
    for mark, text in (
        (_CHARSET, meta),
        (_STYLE, f"<style>{style}</style>"),
        (_SCRIPT, f"<script>{script}</script>"),
    ):
        if page.count(mark) != 1:
            raise AssemblyError(f"{SOURCE_FILE} has {mark} {page.count(mark)} times, not once")
        page = page.replace(mark, text)
    return page


def security_policy_of(page: str) -> str:
    """The security policy that an assembled page states."""
    found = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    if found is None:
        raise AssemblyError(f"{CHECKER_FILE} states no security policy")
    return found[1]


def read_parts() -> dict[str, str]:
    """The parts as they are shipped."""
    folder = files("heptad_gateway").joinpath("web")
    return {
        part.name: part.read_text(encoding="utf-8")
        for part in folder.iterdir()
        if part.name.endswith((".js", ".css")) or part.name == SOURCE_FILE
    }


def _modules(parts: Mapping[str, str]) -> str:
    texts: list[str] = []
    names: set[str] = set()
    for name in _in_order("checker-page.js", parts, ()):
        text = re.sub(r"^export ", "", _IMPORT.sub("", parts[name]), flags=re.MULTILINE)
        if re.search(r"^(import|export)\b|</script", text, re.MULTILINE):
            raise AssemblyError(f"{name} imports or exports in a form that is not known here")
        for listed, single in _TOP_NAME.findall(text):
            for top in re.findall(r"\w+", listed or single):
                if top in names:
                    raise AssemblyError(f"{name} uses the name {top} of another module")
                names.add(top)
        texts.append(f"// --- {name}\n{text}")
    return "\n".join(texts)


def _in_order(name: str, parts: Mapping[str, str], above: tuple[str, ...]) -> list[str]:
    """A module after those that it imports, each once."""
    if name in above:
        raise AssemblyError(f"{name} imports itself by way of {', '.join(above)}")
    order: list[str] = []
    for imported in _IMPORT.findall(parts[name]):
        order += [m for m in _in_order(imported, parts, (*above, name)) if m not in order]
    return [*order, name]


def _source_hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def main() -> None:
    """Write the page beside its parts."""
    target = Path(str(files("heptad_gateway").joinpath("web", CHECKER_FILE)))
    page = assemble(read_parts())
    target.write_text(page, encoding="utf-8")
    digest = hashlib.sha256(page.encode("utf-8")).hexdigest()
    sys.stdout.write(f"{digest}  {target.name}\n")


if __name__ == "__main__":
    main()
