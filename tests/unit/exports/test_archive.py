"""An export: all of it, in every form, the same for the same log, and nothing kept meanwhile."""

import csv
import io
import json
import tracemalloc
from html.parser import HTMLParser

import pytest

from heptad.exports import Archive, Held
from heptad.exports.rows import COLUMNS, cells_of, row_of
from heptad.model.entry import Entry, Kind, Outcome
from heptad.wire.convert.entry import encode_entry


def test_every_entry_is_there_in_every_form(export):
    rows = export.json("data.json")["entries"]
    table = list(csv.DictReader(io.StringIO(export.read("data.csv").decode())))
    assert [row["index"] for row in rows] == export.log.indexes
    assert [int(line["index"]) for line in table] == export.log.indexes
    assert [row["receipt"] for row in rows] == sorted(
        name for name in export.open().namelist() if name.startswith("receipts/")
    )
    page = export.read("index.html").decode()
    assert all(row["receipt"] in page for row in rows)


def test_private_halves_are_decoded(export):
    records = [row["record"] for row in export.json("data.json")["entries"]]
    types = [record["type"] for record in records]
    assert types == ["request"] * 5 + ["event", "access", "request"]
    assert records[1]["claims"]["data"] == {"form": "A-7"}
    assert records[5]["data"] == '=HYPERLINK("x")'
    assert records[6]["reason"] == "asked for in writing <b>&"


def test_a_denied_request_shows_what_was_asked_for(export):
    denied = export.json("data.json")["entries"][4]
    assert (denied["outcome"], denied["service"]) == ("denied", "")
    assert denied["record"]["claims"]["act"] == "be.evil"


def test_who_opened_the_data_is_told(export):
    officer, own = export.json("accesses.json")["accesses"]
    assert (officer["role"], officer["by"], officer["ground"]) == ("officer", "dpo", "Art. 15")
    assert (own["role"], own["action"]) == ("subject", "subject.export")


def test_what_an_access_was_about_is_told_in_every_form(kit):
    kid = "k" * 43
    export = kit.made(*kit.filled(action="key.revoked", what=kid))
    officer, own = export.json("accesses.json")["accesses"]
    assert (officer["action"], officer["what"], own["what"]) == ("key.revoked", kid, "")
    assert f"key.revoked · {kid}" in export.read("index.html").decode()
    rows = csv.DictReader(io.StringIO(export.read("data.csv").decode()))
    [said] = [json.loads(row["data"]) for row in rows if row["kind"] == "ACCESS"]
    assert said["what"] == kid


def test_services_are_named_with_what_the_cell_says_of_them(export):
    services = {one["service"]: one for one in export.json("sources.json")["services"]}
    assert services["tax-portal"] == {
        "service": "tax-portal", "entries": 4, "is_configured": True, "purpose": "to tax",
        "recipients": ["the treasury"], "retention": "ten years",
    }  # fmt: skip
    assert not services["heptad"]["is_configured"]


def test_the_manifest_says_what_it_is_and_covers(export):
    manifest = export.json("manifest.json")
    assert manifest["subject"] == export.subject
    assert manifest["scope"]["entries"] == len(export.log.indexes)
    assert manifest["scope"]["first_index"] == export.log.indexes[0]
    assert manifest["scope"]["last_index"] == export.log.indexes[-1]
    assert manifest["checkpoint"]["size"] == export.log.checkpoint.size
    assert manifest["requested_by"] == {"role": "subject", "id": ""}
    assert export.read("checkpoint") == export.log.checkpoint.note


def test_the_same_log_makes_the_same_archive(export, kit):
    assert kit.made(*kit.filled()).data == export.data


def test_the_work_is_told_from_nothing_to_all_of_it(kit):
    log, subject = kit.filled()
    pieces = list(Archive(log, kit.about(log, subject)).pieces())
    done = [piece.done for piece in pieces]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, pieces[-1].total)


def test_what_an_officer_gets_says_so(kit):
    log, subject = kit.filled()
    export = kit.made(log, subject, role="officer", caller="dpo")
    assert export.json("manifest.json")["requested_by"] == {"role": "officer", "id": "dpo"}
    assert "officer dpo" in export.read("README.txt").decode()
    assert "officer dpo" in export.read("index.html").decode()


def test_a_part_says_that_it_is_one_and_where_it_goes_on(kit):
    log, subject = kit.filled()
    log.continues_at = 99
    export = kit.made(log, subject, from_index=1)
    manifest = export.json("manifest.json")
    assert manifest["state"] == "part"
    assert (manifest["scope"]["from_index"], manifest["scope"]["continues_at"]) == (1, 99)
    assert "This is a part" in export.read("index.html").decode()


def test_a_private_half_that_is_gone_is_told_and_breaks_nothing(kit):
    log, subject = kit.filled()
    log.helds[1] = Held(log.helds[1].index, log.helds[1].data)
    export = kit.made(log, subject)
    assert export.json("manifest.json")["scope"]["private_halves_not_held"] == 1
    assert export.json("data.json")["entries"][1]["record"] == {"type": "not held"}
    assert "not held any more" in export.read("index.html").decode()


@pytest.mark.parametrize("data", [b"", b"\xff" * 40, b"\x08\x01\x10\x63"])
def test_an_entry_that_cannot_be_read_is_shown_as_it_is(data):
    row = row_of(Held(7, data, b"payload", b"w" * 32))
    assert row["index"] == 7


def test_a_payload_of_any_bytes_is_shown_as_they_are(kit):
    log = kit.Log()
    for kind in (Kind.REQUEST, Kind.EVENT, Kind.ACCESS, Kind.KEY_ADDED):
        log.hold(b"\xff\x00 no such thing", kind=kind)
    assert {row_of(held)["record"]["type"] for held in log.helds} == {"unknown"}


def test_a_payload_that_the_entry_does_not_commit_to_is_not_taken_for_what_was_recorded(kit):
    log, _ = kit.filled()
    held = log.helds[1]
    row = row_of(Held(held.index, held.data, held.payload + b" ", held.witness))
    assert row["record"]["type"] == "contradicted"


def test_no_cell_of_the_table_is_a_formula(kit):
    log, subject = kit.filled(data={"=1+1": "@SUM(A1)"})
    # What is public is a validator's word, and one may be evil.
    payload = log.helds[1].payload
    log.hold(payload, kind=Kind.REQUEST, service="=1+1", action="@SUM(A1)")
    log.publish()
    for line in csv.reader(io.StringIO(kit.made(log, subject).read("data.csv").decode())):
        assert len(line) == len(COLUMNS)
        assert not [cell for cell in line if cell.startswith(("=", "+", "-", "@"))]


def test_where_semicolons_separate_no_cell_is_a_formula_either(kit):
    data = {"a": ";=1+1", "b": "x\ty\n=1+1", "c": '";=1+1'}
    table = kit.made(*kit.filled(data=data)).read("data.csv").decode()
    cells = [cell for line in table.splitlines() for cell in line.split(";")]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
    shown = [json.loads(row["data"]) for row in csv.DictReader(io.StringIO(table))]
    assert shown[1] == data


def test_what_an_evil_validator_has_written_cuts_no_cell():
    entry = Entry(Kind.REQUEST, "a;=1+1", "b\n=1+1\r-1\t@c", Outcome.ALLOWED, 0, 1, b"c" * 32)
    cells = cells_of(row_of(Held(7, encode_entry(entry))))
    assert not set(";\t\r\n") & set("".join(cells))


class Tags(HTMLParser):
    """Gathers the tags of a page, and what they refer to."""

    def __init__(self):
        super().__init__()
        self.tags, self.links = set(), []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name in ("href", "src")]


def test_the_page_loads_nothing_and_runs_nothing_whatever_stands_in_the_data(kit):
    evil = '"></pre><script>alert(1)</script><img src=https://evil.example/x>'
    export = kit.made(*kit.filled(data={"x": evil}))
    for name in export.open().namelist():
        if name.endswith(".html"):
            parser = Tags()
            parser.feed(export.read(name).decode())
            assert not parser.tags & {"script", "img", "link", "iframe", "object", "form", "base"}
            assert all("//" not in link and ":" not in link for link in parser.links)


def test_many_entries_stand_on_numbered_pages(kit, monkeypatch):
    from heptad.exports import pages

    monkeypatch.setattr(pages, "ENTRIES_PER_PAGE", 3)
    export = kit.made(*kit.filled())
    names = [name for name in export.open().namelist() if name.startswith("pages/")]
    assert names == ["pages/0001.html", "pages/0002.html", "pages/0003.html"]
    shown = "".join(export.read(name).decode() for name in names)
    rows = export.json("data.json")["entries"]
    assert all(shown.count(f'href="../{row["receipt"]}"') == 1 for row in rows)
    assert all(name in export.read("index.html").decode() for name in names)


def test_no_piece_grows_with_the_number_of_entries(kit):
    """The directory at the end of the zip does; a message that holds all of it is not carried."""
    log, subject = kit.filled(requests=1_500)
    pieces = [piece.data for piece in Archive(log, kit.about(log, subject)).pieces()]
    assert max(map(len, pieces)) <= 64 << 10
    assert len(b"".join(pieces)) > 20 * (64 << 10)


def test_little_is_kept_while_much_is_written(kit):
    """Per entry its hash in the manifest and its line in the zip's directory, and no more."""
    log, subject = kit.filled(requests=400)
    archive = Archive(log, kit.about(log, subject))
    tracemalloc.start()
    try:
        size = sum(len(piece.data) for piece in archive.pieces())
        kept = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size > 400_000
    assert kept < 2_000 * 408
