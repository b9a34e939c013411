"""The README tells the truth: its example is the one that the tests run, its commands exist."""

import re
import subprocess
import sys
from pathlib import Path

from heptad.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


def test_the_readme_shows_the_example_that_is_run():
    (shown,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert shown == (ROOT / "docs/examples/service.py").read_text()


def test_every_command_in_the_readme_exists():
    blocks = "\n".join(re.findall(r"```\n(.*?)```", README, re.DOTALL))
    named = set(re.findall(r"(?:^|[ /])heptad ([a-z]+)", blocks, re.MULTILINE))
    assert named
    assert named <= {row.name for row in COMMANDS}


def test_every_make_target_in_the_readme_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z]+)\b +#", README))
    assert named
    assert named <= targets


def test_every_link_of_the_documents_leads_somewhere():
    documents = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("services/*/*.md")]
    dead = [
        f"{document.relative_to(ROOT)}: {target}"
        for document in documents
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text())
        if "://" not in target and not (document.parent / target).exists()
    ]
    assert dead == []


def test_help_lists_every_command_of_the_table():
    shown = subprocess.run(
        [sys.executable, "-m", "heptad.cli.main", "--help"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert [row.name for row in COMMANDS if row.name not in shown] == []
