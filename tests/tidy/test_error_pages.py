"""Each error code has its page, and each page its code."""

from pathlib import Path

from heptad.cli.error_pages import differences, pages, write
from heptad.model.problems import PROBLEMS

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "errors"


def test_the_pages_say_what_the_table_says() -> None:
    advice = "write them anew: python -m heptad.cli.error_pages docs/errors"
    assert differences(FOLDER) == [], advice


def test_every_code_has_a_page_and_a_row_in_the_index() -> None:
    made = pages()
    assert set(made) == {"README.md", *(f"{code}.md" for code in PROBLEMS)}
    for code, kind in PROBLEMS.items():
        assert f"({code}.md)" in made["README.md"]
        assert kind.advice in made[f"{code}.md"]


def test_stale_missing_and_surplus_pages_are_found_and_put_right(tmp_path: Path) -> None:
    write(tmp_path)
    assert differences(tmp_path) == []
    (tmp_path / "overloaded.md").write_text("rubbish")
    (tmp_path / "draining.md").unlink()
    (tmp_path / "no_such_code.md").touch()
    assert differences(tmp_path) == [
        "draining.md is missing",
        "no_such_code.md belongs to no code",
        "overloaded.md is stale",
    ]
    write(tmp_path)
    assert differences(tmp_path) == []
