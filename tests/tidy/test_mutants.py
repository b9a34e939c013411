"""The list of mutants fits the code: each text is there, each named test exists, the page is fresh.

Planting them all takes minutes and has a command of its own, `make mutants`.
"""

import ast
from functools import cache

import pytest
from mutants.catalogue import ROOT, areas, mutants
from mutants.systematic import equivalents, everything
from mutants.table import TABLE, rendered


@cache
def source_of(file):
    return (ROOT / file).read_text()


@cache
def names_in(file):
    path = ROOT / file
    tree = ast.parse(path.read_text()) if path.is_file() else ast.Module([], [])
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_mutants_text_occurs_exactly_once_and_leaves_a_program():
    wrong = []
    for mutant in mutants():
        try:
            ast.parse(mutant.planted(source_of(mutant.file)))
        except (ValueError, SyntaxError) as error:
            wrong.append(f"{mutant.id}: {error}")
    assert wrong == [], (
        "code has moved: mend `text` and `by` in tests/mutants/rules, then `make mutants-table`"
    )


def test_every_mutant_changes_something_and_has_a_name_of_its_own():
    listed = list(mutants())
    assert [mutant.id for mutant in listed if mutant.text == mutant.by] == []
    assert len({mutant.id for mutant in listed}) == len(listed)
    changes = {(mutant.file, mutant.text, mutant.by) for mutant in listed}
    assert len(changes) == len(listed)


def test_every_mutant_names_tests_that_exist():
    missing = []
    for mutant in mutants():
        for test in mutant.tests:
            file, _, name = test.partition("::")
            known = names_in(file)
            if not known or (name and name.partition("[")[0] not in known):
                missing.append(f"{mutant.id}: {test}")
        if not mutant.tests:
            missing.append(f"{mutant.id}: no test")
    assert missing == []


def test_the_page_for_people_is_made_from_the_list():
    if TABLE.read_text() != rendered(areas()):
        pytest.fail("docs/spec/mutants.md is stale: run `make mutants`")


def test_what_is_listed_as_equivalent_is_a_change_that_is_made_and_has_a_reason():
    made = {mutant.id for mutant in everything()}
    assert [each.id for each in equivalents() if each.id not in made or len(each.why) < 20] == []
