"""The client over real mutual TLS: it submits, waits, and hands on only receipts that hold."""

import asyncio
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from heptad.client import BlockingClient, connect
from heptad.crypto.keys import Ed25519Key, KeyRole, load_service_key
from heptad.crypto.registration import verify_registration
from heptad.crypto.requests import parse_request, verify_request
from heptad.model import base64url
from heptad.model.answers import PendingRequest, RequestState, Wait
from heptad.model.entry import Entry, Kind, Outcome
from heptad.model.log_reads import RequestReceipt
from heptad.model.problems import Problem
from heptad.model.routing import ranked
from heptad.runtime.config import load_cell
from heptad.runtime.vkeys import log_vkey, witness_vkey
from heptad.transparency.checkpoint import Checkpoint, cosign_checkpoint, sign_checkpoint
from heptad.transparency.merkle import leaf_hash
from heptad.transparency.notes import Note
from heptad.transparency.receipt import Receipt
from heptad.verification import ReceiptRefusedError
from heptad.wire.convert import ledger as wire
from heptad.wire.convert.entry import encode_entry

EXAMPLE = Path(__file__).resolve().parents[3] / "docs" / "examples" / "service.py"
ENTRY = encode_entry(Entry(Kind.REQUEST, "tax-portal", "authenticate", Outcome.ALLOWED, 1, 1, b""))


def receipt_of(home, entry=ENTRY, cosigners=5):
    """A receipt of a log of one entry, signed by the home's real keys."""
    cell = load_cell(home)
    checkpoint = Checkpoint(cell.origin, 1, leaf_hash(entry))
    log_key = load_service_key(home / "ledger-1" / "keys" / KeyRole.LOG.file_name)
    signatures = [sign_checkpoint(checkpoint, key=log_vkey(cell), sign=log_key.sign)]
    for replica in cell.replicas[:cosigners]:
        key = load_service_key(home / replica.id / "keys" / KeyRole.COSIGN.file_name)
        vkey = witness_vkey(cell, replica)
        signatures.append(cosign_checkpoint(checkpoint, key=vkey, time_s=1, sign=key.sign))
    note = Note(checkpoint.body(), tuple(signatures)).encode()
    return wire.encode_receipt(RequestReceipt(entry, Receipt(0, (), note).encode(), 0))


@pytest.fixture
def profile(home):
    return home / "clients" / "tax-portal"


def test_a_service_submits_and_its_answer_is_what_was_recorded(home, profile, fake_members):
    async def story():
        async with fake_members(home) as cell, connect(profile) as heptad:
            jws = heptad.sign(subject="kn-x", action="authenticate", data={"a": 1})
            recorded = await heptad.submit(jws)
            assert recorded.state is RequestState.COMMITTED
            [item] = [item for v in cell.validators.values() for item in v.items]
            assert (item.jws, item.wait) == (jws, Wait.COMMITTED)

    asyncio.run(story())


def test_what_the_client_signs_is_for_its_cell_and_by_its_key(profile):
    client = connect(profile)
    request = parse_request(client.sign(subject="kn-x", action="authenticate", data={"a": 1}))
    assert (request.aud, request.svc) == (client.profile.origin, "tax-portal")
    assert request.exp - request.iat <= 300
    assert request.kid == client.profile.signing_kid
    verify_request(request, client.signing_key.public)


def test_two_signatures_are_two_requests(profile):
    client = connect(profile)
    first, second = (
        parse_request(client.sign(subject="kn-x", action="a", data={})) for _ in range(2)
    )
    assert first.jti != second.jti


def test_registering_proves_possession_of_the_key(home, profile, fake_members):
    async def story():
        key, seen = Ed25519Key.generate(), []
        async with fake_members(home) as cell, connect(profile) as heptad:
            for validator in cell.validators.values():
                validator.registered = watching(validator.registered, seen)
            registered = await heptad.register(key)
            assert registered.subject_id == "kn-" + "a" * 26
            assert verify_registration(parse_request(seen[0])) == key.public

    asyncio.run(story())


def watching(answer, seen):
    def watch(jws):
        seen.append(jws)
        return answer(jws)

    return watch


def test_a_registration_goes_to_the_next_validator_only_if_the_first_is_gone(
    home, profile, fake_members
):
    async def story():
        key = Ed25519Key.generate()
        first, second = ranked(key.public.kid, (1, 2))
        async with fake_members(home) as cell, connect(profile) as heptad:
            cell.validators[first].registered = lambda _: Problem("key_invalid", "bad")
            with pytest.raises(Problem, match="key_invalid"):
                await heptad.register(key)
            await cell.validators[first].stop()
            seen = []
            answer = cell.validators[second].registered
            cell.validators[second].registered = watching(answer, seen)
            await heptad.register(key)
            assert len(seen) == 1

    asyncio.run(story())


@pytest.mark.parametrize("code", ["quorum_unavailable", "vault_unavailable"])
@pytest.mark.parametrize("is_gone", [True, False])
def test_a_registration_that_a_validator_may_have_recorded_is_not_called_unrecorded(
    home, profile, fake_members, is_gone, code
):
    async def story():
        key = Ed25519Key.generate()
        first, second = ranked(key.public.kid, (1, 2))
        before = "validator_unavailable" if is_gone else "quorum_unavailable"
        async with fake_members(home) as cell, connect(profile) as heptad:
            cell.validators[first].registered = lambda _: Problem(before, "it broke off")
            cell.validators[second].registered = lambda _: Problem(code, "not now")
            with pytest.raises(Problem) as refusal:
                await heptad.register(key)
            assert refusal.value.code == (before if is_gone else code)

    asyncio.run(story())


def test_a_denial_is_an_answer_and_a_refusal_is_raised(home, profile, fake_members, recorded):
    async def story():
        async with fake_members(home) as cell, connect(profile) as heptad:
            for validator in cell.validators.values():
                validator.answer = lambda _: recorded(
                    1, outcome=Outcome.DENIED, denied_code="action_not_allowed"
                )
            assert (await heptad.submit(b"a.b.c")).denied_code == "action_not_allowed"
            for validator in cell.validators.values():
                validator.answer = lambda _: Problem("jws_malformed", "no")
            with pytest.raises(Problem, match="jws_malformed"):
                await heptad.submit(b"a.b.c")

    asyncio.run(story())


def test_what_passes_is_tried_again_with_the_same_bytes(home, profile, fake_members, recorded):
    async def story():
        async with fake_members(home) as cell, connect(profile) as heptad:
            answers = [Problem("vault_unavailable", "wait", retry_after_s=0), recorded(5)]
            for validator in cell.validators.values():
                validator.answer = lambda _: answers.pop(0)
            assert (await heptad.submit(b"a.b.c")).index == 5
            items = [item for v in cell.validators.values() for item in v.items]
            assert [item.jws for item in items] == [b"a.b.c", b"a.b.c"]

    asyncio.run(story())


def test_many_requests_are_answered_in_their_order(home, profile, fake_members, recorded):
    async def story():
        def answer(item):
            number = int(item.jws)
            return Problem("request_expired", "old") if number == 7 else recorded(number)

        async with fake_members(home) as cell, connect(profile) as heptad:
            for validator in cell.validators.values():
                validator.answer = answer
            answers = [
                one async for one in heptad.submit_many(b"%d" % number for number in range(5_000))
            ]
        assert answers[7].code == "request_expired"
        del answers[7]
        assert [one.index for one in answers] == [n for n in range(5_000) if n != 7]

    asyncio.run(story())


def test_a_receipt_is_proved_before_it_is_handed_on(home, profile, fake_members):
    async def story():
        async with fake_members(home) as cell, connect(profile) as heptad:
            cell.ledger.answers["GetReceipt"] = receipt_of(home)
            for request_id in (bytes(32), base64url.encode(bytes(32))):
                receipt = await heptad.receipt(request_id)
                assert heptad.verify(receipt).holds
            cell.ledger.answers["GetReceipt"] = receipt_of(home, cosigners=4)
            with pytest.raises(ReceiptRefusedError, match="has 4"):
                await heptad.receipt(bytes(32))

    asyncio.run(story())


def test_a_receipt_is_waited_for_and_given_up_in_time(home, profile, fake_members, eventually):
    async def story():
        async with fake_members(home) as cell, connect(profile) as heptad:
            cell.ledger.answers["GetReceipt"] = Problem("receipt_pending", "soon")
            with pytest.raises(Problem, match="receipt_pending"):
                await heptad.receipt(bytes(32), wait_s=0)
            waiting = asyncio.create_task(heptad.receipt(bytes(32)))
            await eventually(lambda: len(cell.ledger.asked) >= 2)
            cell.ledger.answers["GetReceipt"] = receipt_of(home)
            assert (await waiting).entry == ENTRY

    asyncio.run(story())


def test_a_request_id_that_is_none_is_refused_here(home, profile, fake_members):
    async def story():
        async with fake_members(home), connect(profile) as heptad:
            with pytest.raises(Problem, match="parameter_invalid"):
                await heptad.receipt("no id")

    asyncio.run(story())


def test_the_status_asks_ledger_and_validators(home, profile, fake_members):
    async def story():
        async with fake_members(home) as cell, connect(profile) as heptad:
            assert (await heptad.status(bytes(32))).state is RequestState.UNKNOWN
            cell.validators[2].pending = PendingRequest(RequestState.PENDING, 0, 9)
            assert (await heptad.status(bytes(32))).state is RequestState.PENDING

    asyncio.run(story())


def test_a_cell_that_is_not_there_is_a_problem_that_names_who_was_tried(home, profile, monkeypatch):
    monkeypatch.setattr("heptad.client.client._CONNECT_S_MAX", 0.05)

    async def story():
        with pytest.raises(Problem, match="validator-1"):
            async with connect(profile):
                pass

    asyncio.run(story())


def test_a_member_with_another_certificate_is_not_spoken_to(
    home, profile, fake_members, monkeypatch
):
    """Each channel wants the very member that it was opened for: here they have changed places."""
    monkeypatch.setattr("heptad.client.client._CONNECT_S_MAX", 0.3)

    async def story():
        async with fake_members(home):
            client = connect(profile)
            one, two = client.profile.validators
            client.profile = replace(
                client.profile,
                validators=(replace(one, address=two.address), replace(two, address=one.address)),
            )
            with pytest.raises(Problem, match="validator_unavailable"):
                async with client:
                    pass

    asyncio.run(story())


def test_the_raw_stubs_can_be_reached(home, profile, fake_members):
    async def story():
        async with fake_members(home), connect(profile) as heptad:
            assert set(heptad.channels) == {"validator-1", "validator-2"}
            assert isinstance(heptad.ledger_channel, grpc.aio.Channel)

    asyncio.run(story())


def test_a_program_without_an_event_loop_has_a_client_too(home, profile, fake_members, recorded):
    def work():
        with BlockingClient(profile) as heptad:
            jws = heptad.sign(subject="kn-x", action="authenticate", data={})
            many = list(heptad.submit_many([jws] * 10))
            receipt = heptad.receipt(bytes(32))
            state = heptad.status(bytes(32)).state
            return heptad.submit(jws), many, receipt, state, heptad.register(Ed25519Key.generate())

    async def story():
        async with fake_members(home) as cell:
            cell.ledger.answers["GetReceipt"] = receipt_of(home)
            return await asyncio.to_thread(work)

    one, many, receipt, state, registered = asyncio.run(story())
    assert one.state is RequestState.COMMITTED
    assert len(many) == 10
    assert receipt.entry == ENTRY
    assert state is RequestState.UNKNOWN
    assert registered.kid


def test_the_example_of_the_docs_runs(home, profile, fake_members):
    async def story():
        async with fake_members(home) as cell:
            cell.ledger.answers["GetReceipt"] = receipt_of(home)
            return await asyncio.to_thread(
                subprocess.run, [sys.executable, EXAMPLE, profile],
                capture_output=True, text=True, check=False,
            )  # fmt: skip

    done = asyncio.run(story())
    assert done.returncode == 0, done.stderr
    assert "proved by 5 replicas" in done.stdout


def test_a_program_without_an_event_loop_leaves_nothing_running_when_it_ends(monkeypatch):
    """Python complains of such tasks, beside the answer to a refused request."""
    ended = threading.Event()

    async def for_ever():
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    class Refused:
        async def __aenter__(self):
            self.call = asyncio.ensure_future(for_ever())
            await asyncio.sleep(0)
            return self

        async def close(self):
            """As gRPC does: the call's own task goes on for a moment."""

    monkeypatch.setattr("heptad.client.blocking.connect", lambda profile: Refused())
    with BlockingClient("nowhere"):
        assert not ended.is_set()
    assert ended.is_set()
