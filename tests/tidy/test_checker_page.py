"""The receipt checker that is committed is the one that its parts make."""

from importlib.resources import files

import pytest

from heptad_gateway.checker_page import (
    CHECKER_FILE,
    AssemblyError,
    assemble,
    read_parts,
    security_policy_of,
)


def test_the_checker_is_made_of_its_parts():
    committed = files("heptad_gateway").joinpath("web", CHECKER_FILE).read_text(encoding="utf-8")
    assert committed == assemble(read_parts()), "run `make checker`"


def test_the_checker_allows_itself_its_own_script_and_no_connection():
    policy = security_policy_of(assemble(read_parts()))
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "connect-src" not in policy


def test_two_modules_with_one_name_are_refused():
    parts = read_parts()
    parts["tree.js"] += "\nfunction concat() {}\n"
    with pytest.raises(AssemblyError, match="concat"):
        assemble(parts)
