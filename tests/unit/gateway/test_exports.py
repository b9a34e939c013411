"""Taking data out over HTTP: recorded first, passed on as it comes, and never a part as all."""

import aiohttp
import pytest

from heptad.crypto.keys import Ed25519Key
from heptad.crypto.requests import sign_request
from heptad.model import base64url
from heptad.model.answers import RequestState, Wait
from heptad.model.entry import Outcome
from heptad.model.exporting import (
    ExportBegun,
    ExportChunk,
    OpenedReceipt,
    OpenReceipt,
    SubjectsExport,
)
from heptad.model.log_reads import RequestReceipt
from heptad.model.problems import Problem
from heptad.model.requests import request_id_of
from heptad.transparency.checkpoint import Checkpoint
from heptad.transparency.notes import Note, NoteSignature
from heptad.transparency.receipt import Receipt
from heptad.verification import ReceiptFile

PATH = "/v1/subjects/me/export"
SUBJECT = "kn-" + "a" * 26
BEGUN = ExportBegun(SUBJECT, entries=12, own_index=7)
CHUNKS = [ExportChunk(b"PK first", 1, 2), ExportChunk(b" and last", 2, 2)]
ID = b"i" * 32


def signed(act="subject.export", svc="heptad", **data):
    return sign_request(
        Ed25519Key(b"k" * 32), iss=SUBJECT, aud="cell.example",
        jti="0b8f1f9e-6c1f-4c39-9c57-52a0d2fdd8a1", iat=1_000, exp=1_300, svc=svc, act=act,
        data=data,
    )  # fmt: skip


JWS = signed()


def ask(gateway, jws=JWS, path=PATH, method="GET"):
    return gateway.call(method, path, headers={"Authorization": f"Heptad {jws.decode()}"})


def test_the_request_is_recorded_and_the_archive_passed_on(gateway):
    async def story(gateway):
        gateway.ledger.answers["export"] = [BEGUN, *CHUNKS]
        answer = await ask(gateway)
        assert (answer.status, answer.body) == (200, b"PK first and last")
        assert answer.headers["Content-Type"] == "application/zip"
        assert answer.headers["Content-Disposition"] == 'attachment; filename="heptad-export.zip"'
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Heptad-Entries"] == "12"
        assert gateway.submissions.sent == [(JWS, SUBJECT, Wait.COMMITTED)]
        [(name, call, _)] = gateway.ledger.asked
        assert (name, call) == ("export", SubjectsExport(JWS))
        assert gateway.ledger.watching == 0

    gateway(story)


@pytest.mark.parametrize("code", ["subject_erased", "key_unknown", "subject_rate_limited"])
def test_what_is_not_recorded_is_not_asked_for(gateway, code):
    async def story(gateway):
        gateway.submissions.answer = lambda _: Problem(code, "no")
        assert (await ask(gateway)).code == code
        assert gateway.ledger.asked == []

    gateway(story)


def test_a_request_that_was_denied_opens_nothing(gateway, recorded):
    async def story(gateway):
        gateway.submissions.answer = lambda _: recorded(
            7, outcome=Outcome.DENIED, denied_code="action_not_allowed"
        )
        assert (await ask(gateway)).code == "action_not_allowed"
        assert gateway.ledger.asked == []

    gateway(story)


def test_a_request_that_is_not_committed_yet_is_to_be_sent_again(gateway, recorded):
    async def story(gateway):
        gateway.submissions.answer = lambda _: recorded(7, state=RequestState.PENDING)
        answer = await ask(gateway)
        assert (answer.status, answer.headers["Retry-After"]) == (202, "1")
        assert gateway.ledger.asked == []

    gateway(story)


def test_a_refusal_of_the_ledger_is_the_answer(gateway):
    async def story(gateway):
        refusal = Problem("export_rate_limited", "often", retry_after_s=9)
        gateway.ledger.answers["export"] = [refusal]
        answer = await ask(gateway)
        assert answer.code == "export_rate_limited"
        assert answer.headers["Retry-After"] == "9"

    gateway(story)


def test_an_archive_that_breaks_off_has_no_end(gateway):
    """A client must not take what it has for the whole."""

    async def story(gateway):
        gateway.ledger.answers["export"] = [BEGUN, CHUNKS[0], Problem("subject_erased", "gone")]
        with pytest.raises(aiohttp.ClientPayloadError):
            await ask(gateway)
        assert gateway.ledger.watching == 0

    gateway(story)


def test_without_the_subjects_word_nothing_is_recorded(gateway):
    async def story(gateway):
        assert (await gateway.call("GET", PATH)).code == "authorization_missing"
        assert (await ask(gateway, signed(act="subject.erase"))).code == "claim_invalid"
        assert (await ask(gateway, signed(svc="tax-portal"))).code == "claim_invalid"
        assert (await ask(gateway, path=f"{PATH}?subject=x")).code == "parameter_invalid"
        assert gateway.submissions.sent == []

    gateway(story)


def test_a_look_at_the_head_alone_records_nothing(gateway):
    async def story(gateway):
        assert (await ask(gateway, method="HEAD")).status == 405
        assert gateway.submissions.sent == []

    gateway(story)


# Receipts.


def opened():
    body = Checkpoint("cell.example", 9, bytes(32)).body()
    note = Note(body, (NoteSignature("cell.example", b"abcd", bytes(64)),)).encode()
    receipt = RequestReceipt(b"entry", Receipt(7, (b"h" * 32,), note).encode(), 7)
    return OpenedReceipt(receipt, b"payload", b"w" * 32)


def test_with_the_subjects_word_a_receipt_has_its_private_half(gateway):
    async def story(gateway):
        gateway.ledger.answers["open_receipt"] = opened()
        jws = signed("receipt.open", request_id=base64url.encode(ID))
        path = f"/v1/requests/{request_id_of(ID)}/receipt"
        answer = await ask(gateway, jws, path)
        file = ReceiptFile.parse(answer.body)
        assert (file.payload, file.witness) == (b"payload", b"w" * 32)
        assert answer.headers["Cache-Control"] == "no-store"
        [(name, call, _)] = gateway.ledger.asked
        assert (name, call) == ("open_receipt", OpenReceipt(jws, ID, None))
        await ask(gateway, jws, f"{path}?event=3")
        assert gateway.ledger.asked[-1][1].event == 3
        assert gateway.submissions.sent == []

    gateway(story)


def test_another_word_opens_no_receipt(gateway):
    async def story(gateway):
        path = f"/v1/requests/{request_id_of(ID)}/receipt"
        assert (await ask(gateway, JWS, path)).code == "claim_invalid"
        answer = await gateway.call("GET", path, headers={"Authorization": "Bearer x"})
        assert answer.code == "authorization_missing"
        assert gateway.ledger.asked == []

    gateway(story)
