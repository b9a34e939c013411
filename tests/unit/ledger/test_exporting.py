"""Exports: on whose word, recorded before a byte goes out, bounded, and never of somebody else."""

import asyncio
import json
from contextlib import aclosing
from dataclasses import replace

import pytest
from unit.ledger.export_desk import NOW_S, OFFICER, ORIGIN, Desk

from heptad.crypto.accesses import parse_access
from heptad.crypto.keys import Ed25519Key
from heptad.crypto.requests import parse_request
from heptad.model.entry import Kind, Outcome
from heptad.model.exporting import ExportBegun, ExportChunk, OfficersExport, SubjectsExport
from heptad.model.problems import Problem
from heptad.runtime.identity import Identity, Role
from heptad.wire.convert.exports import encode_export_call
from heptad_ledger.privacy import access_door, exporting
from heptad_ledger.privacy.authority import GRACE_S
from heptad_ledger.privacy.export_limits import ExportLimits


@pytest.fixture
def desk(ledger, group, office):
    desk = Desk(ledger, group, office)
    yield desk
    desk.exports.close()


def indexes(archive):
    return [row["index"] for row in json.loads(archive.read("data.json"))["entries"]]


# On a subject's word.


def test_a_subject_gets_its_own_with_the_entry_that_records_it(desk):
    first, _ = desk.office.request(desk.anna)
    other, _ = desk.office.request(desk.bob)
    desk.commit([first, other])
    jws = desk.sign(desk.anna)
    index = desk.admit(desk.anna, jws)

    begun, archive = asyncio.run(desk.take(SubjectsExport(jws)))

    assert (begun.entries, begun.own_index) == (3, index)
    assert indexes(archive) == [0, 2, index]


def test_the_same_request_signed_anew_is_as_good(desk):
    jti = "00000000-0000-4000-8000-00000000aaaa"
    desk.admit(desk.anna, desk.sign(desk.anna, jti=jti))
    again = desk.sign(desk.anna, jti=jti, exp=desk.now_s + 90)
    asyncio.run(desk.take(SubjectsExport(again)))


def test_what_is_not_in_the_log_opens_nothing(desk):
    assert desk.refused(SubjectsExport(desk.sign(desk.anna))).code == "request_unknown"


def test_a_request_that_replicas_tell_a_moment_later_is_waited_for(desk):
    """A validator has heard of it from f + 1 of them, this ledger from fewer."""
    jws, looks = desk.sign(desk.anna), []

    def look():
        looks.append(None)
        if len(looks) == 2:
            desk.admit(desk.anna, jws)

    desk.on_catch_up, desk.authority._patience_s = look, 5.0
    begun, _ = asyncio.run(desk.take(SubjectsExport(jws)))
    assert begun.entries
    assert len(looks) == 2


def test_a_request_of_another_subject_opens_nothing(desk):
    """Its name is that of a recorded request, and its record is not the subject's."""
    jws = desk.sign(desk.anna)
    desk.admit(desk.bob, jws)
    assert desk.refused(SubjectsExport(jws)).code == "request_unknown"


def test_a_request_that_a_validator_has_made_up_opens_nothing(desk):
    forged = desk.sign(desk.anna, key=Ed25519Key(b"z" * 32))
    desk.admit(desk.anna, forged)
    assert desk.refused(SubjectsExport(forged)).code == "key_unknown"
    kid = parse_request(desk.anna.payload).kid
    stolen = desk.sign(desk.anna)
    spoiled = stolen[:-4] + (b"AAAA" if stolen[-4:] != b"AAAA" else b"BAAA")
    assert parse_request(spoiled).kid == kid
    desk.admit(desk.anna, spoiled)
    assert desk.refused(SubjectsExport(spoiled)).code == "signature_invalid"


def test_another_request_under_a_recorded_name_opens_nothing(desk):
    jti = "00000000-0000-4000-8000-00000000bbbb"
    desk.admit(desk.anna, desk.sign(desk.anna, jti=jti))
    other = desk.sign(desk.anna, jti=jti, data={"from_index": 1})
    assert desk.refused(SubjectsExport(other)).code == "request_conflict"


@pytest.mark.parametrize(
    ("kind", "outcome"), [(Kind.REQUEST, Outcome.ALLOWED), (Kind.EXPORT, Outcome.DENIED)]
)
def test_what_was_not_admitted_as_an_export_opens_nothing(desk, kind, outcome):
    jws = desk.sign(desk.anna)
    desk.admit(desk.anna, jws, kind=kind, outcome=outcome)
    assert desk.refused(SubjectsExport(jws)).code == "action_not_allowed"


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"act": "subject.erase"}, "claim_invalid"),
        ({"svc": "tax"}, "claim_invalid"),
        ({"aud": "other.example"}, "audience_mismatch"),
        ({"data": {"from_index": -1}}, "claim_invalid"),
        ({"data": {"from_index": True}}, "claim_invalid"),
        ({"data": {"note": 1}}, "claim_invalid"),
        ({"iss": "ab-" + "z" * 26}, "subject_unknown"),
    ],
)
def test_a_request_for_something_else_opens_nothing(desk, claims, code):
    jws = desk.sign(desk.anna, **claims)
    desk.admit(desk.anna, jws)
    assert desk.refused(SubjectsExport(jws)).code == code


def test_a_request_opens_for_a_while_and_then_no_more(desk):
    jws = desk.sign(desk.anna)
    desk.admit(desk.anna, jws)
    desk.now_s = NOW_S + 60 + GRACE_S
    asyncio.run(desk.take(SubjectsExport(jws)))
    desk.now_s += 1
    assert desk.refused(SubjectsExport(jws)).code == "request_expired"


def test_a_key_that_was_revoked_meanwhile_opens_nothing(desk, monkeypatch):
    jws = desk.sign(desk.anna)
    desk.admit(desk.anna, jws)
    find = desk.ledger.registry.find

    def revoked(rows, subject):
        found = find(rows, subject)
        return replace(found, keys=tuple(replace(row, revoked_at=2) for row in found.keys))

    monkeypatch.setattr(desk.ledger.registry, "find", revoked)
    assert desk.refused(SubjectsExport(jws)).code == "key_revoked"


def test_a_ledger_that_is_behind_says_so(desk):
    jws = desk.sign(desk.anna)
    desk.admit(desk.anna, jws)
    desk.is_caught_up = False
    problem = desk.refused(SubjectsExport(jws))
    assert (problem.code, problem.retry_after_s) == ("ledger_unavailable", 1)


def test_nothing_goes_out_before_a_checkpoint_covers_the_exports_own_entry(desk, monkeypatch):
    monkeypatch.setattr(exporting, "PUBLISHED_S_MAX", 0.01)
    jws = desk.sign(desk.anna)
    index = desk.admit(desk.anna, jws, publish=False)
    assert desk.refused(SubjectsExport(jws)).code == "checkpoint_pending"
    desk.publish()
    desk.mono_s += 3_600
    _, archive = asyncio.run(desk.take(SubjectsExport(jws)))
    assert indexes(archive)[-1] == index


def test_a_restored_ledger_opens_nothing_before_it_has_carried_out_what_it_owes(desk):
    jws = desk.sign(desk.anna)
    desk.admit(desk.anna, jws)
    desk.owes = True
    assert desk.refused(SubjectsExport(jws)).code == "vault_unavailable"
    assert desk.refused(call(desk.anna), caller=OFFICER).code == "vault_unavailable"
    assert desk.recorded == []


# On an officer's word.


def call(person, **changes):
    values = {"subject_id": person.subject_id, "reason": "asked in writing", "ground": "Art. 15"}
    return OfficersExport(**{**values, **changes})


def test_an_officers_access_is_in_the_log_before_anything_goes_out(desk):
    begun, archive = asyncio.run(desk.take(call(desk.anna), caller=OFFICER))

    assert desk.order == ["access recorded", "begun"]
    assert indexes(archive)[-1] == begun.own_index
    [private] = desk.recorded
    said = parse_access(private.payload).record
    assert (said.role, said.caller, said.action) == ("officer", "dpo", "subject.export")
    assert (said.reason, said.ground) == ("asked in writing", "Art. 15")


def test_the_subject_reads_in_its_next_export_who_has_opened_its_data(desk):
    asyncio.run(desk.take(call(desk.anna), caller=OFFICER))
    jws = desk.sign(desk.anna)
    desk.admit(desk.anna, jws)
    _, archive = asyncio.run(desk.take(SubjectsExport(jws)))
    opened = json.loads(archive.read("accesses.json"))["accesses"]
    assert [(one["role"], one["by"], one["reason"]) for one in opened] == [
        ("officer", "dpo", "asked in writing"), ("subject", "", ""),
    ]  # fmt: skip


def test_without_a_reason_nothing_is_recorded_and_nothing_goes_out(desk):
    problem = desk.refused(call(desk.anna, reason=""), caller=OFFICER)
    assert (problem.code, problem.field) == ("claim_invalid", "reason")
    assert desk.recorded == []


def test_what_cannot_be_recorded_does_not_go_out(desk, monkeypatch):
    async def record(access):
        raise Problem("validator_unavailable", "down")

    monkeypatch.setattr(desk.accesses, "record", record)
    assert desk.refused(call(desk.anna), caller=OFFICER).code == "validator_unavailable"


def test_a_subject_that_is_not_there_is_unknown_and_nothing_is_recorded(desk):
    stranger = OfficersExport("ab-" + "z" * 26, "why", "")
    assert desk.refused(stranger, caller=OFFICER).code == "subject_unknown"
    assert desk.recorded == []


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.OFFICER])
def test_nobody_else_gets_data_for_a_reason(desk, role):
    caller = Identity(ORIGIN, role, "x")
    assert desk.refused(call(desk.anna), caller=caller).code == "role_refused"
    assert desk.recorded == []


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.GATEWAY])
def test_nobody_else_brings_a_subjects_request(desk, role):
    jws = desk.sign(desk.anna)
    desk.admit(desk.anna, jws)
    caller = Identity(ORIGIN, role, "x")
    assert desk.refused(SubjectsExport(jws), caller=caller).code == "role_refused"


def test_of_an_erased_subject_nothing_is_said_but_that(desk, monkeypatch):
    registry = desk.ledger.registry
    monkeypatch.setattr(registry, "find", lambda rows, subject: None)
    monkeypatch.setattr(registry, "erased", lambda snapshot, subject: b"d" * 32)
    desk.exports.certificate_of = lambda subject: b'{"format": "certificate"}'

    begun, archive = asyncio.run(desk.take(call(desk.anna), caller=OFFICER))

    manifest = json.loads(archive.read("manifest.json"))
    assert (manifest["state"], begun.entries) == ("erased", 0)
    assert sorted(archive.namelist()) == ["README.txt", "certificate.json", "manifest.json"]
    assert archive.read("certificate.json") == b'{"format": "certificate"}'
    assert desk.recorded == []
    jws = desk.sign(desk.anna)
    assert desk.refused(SubjectsExport(jws)).code == "subject_erased"


# Limits.


def test_who_has_more_than_one_archive_holds_gets_the_rest_with_the_next(desk):
    desk.commit([desk.office.request(desk.anna)[0] for _ in range(9)])
    small = desk.make(entries_max=6)
    _, first = asyncio.run(desk.take(call(desk.anna), caller=OFFICER, exports=small))
    scope = json.loads(first.read("manifest.json"))["scope"]
    rest = call(desk.anna, from_index=scope["continues_at"])
    _, second = asyncio.run(desk.take(rest, caller=OFFICER, exports=small))
    whole = [*indexes(first), *indexes(second)]
    assert len(indexes(first)) == 6
    assert whole == sorted(set(whole))
    assert len(whole) == 1 + 9 + 2
    small.close()


def test_a_subjects_data_are_exported_so_often_an_hour_and_no_more(desk):
    for _ in range(3):
        asyncio.run(desk.take(call(desk.anna), caller=OFFICER))
    problem = desk.refused(call(desk.anna), caller=OFFICER)
    assert (problem.code, problem.retry_after_s) == ("export_rate_limited", 1_200)
    assert len(desk.recorded) == 3
    asyncio.run(desk.take(call(desk.bob), caller=OFFICER))
    desk.mono_s += 1_200
    asyncio.run(desk.take(call(desk.anna), caller=OFFICER))


def test_one_export_of_a_subject_at_a_time_and_few_in_all(desk):
    async def main():
        desk.limits = desk.exports._limits
        async with aclosing(desk.exports.serve(call(desk.anna), caller=OFFICER)) as first:
            await anext(first)
            with pytest.raises(Problem, match="export_rate_limited"):
                await desk.take(call(desk.anna), caller=OFFICER)
            async with aclosing(desk.exports.serve(call(desk.bob), caller=OFFICER)) as second:
                await anext(second)
                with pytest.raises(Problem, match="overloaded"):
                    await desk.take(OfficersExport("ab-" + "z" * 26, "why"), caller=OFFICER)
                assert desk.exports.under_way == 2
        assert desk.exports.under_way == 0

    asyncio.run(main())


def test_a_caller_that_goes_frees_its_place(desk):
    async def main():
        parts = desk.exports.serve(call(desk.anna), caller=OFFICER)
        await anext(parts)
        await parts.aclose()
        assert desk.exports.under_way == 0

    asyncio.run(main())


def test_an_export_is_handed_out_in_chunks_with_the_work_done(desk, monkeypatch):
    monkeypatch.setattr(exporting, "CHUNK_BYTES", 4_000)
    desk.commit([desk.office.request(desk.anna)[0] for _ in range(30)])

    async def main():
        return [part async for part in desk.exports.serve(call(desk.anna), caller=OFFICER)]

    begun, *chunks = asyncio.run(main())
    assert isinstance(begun, ExportBegun)
    assert all(isinstance(chunk, ExportChunk) for chunk in chunks)
    assert len(chunks) > 5
    done = [chunk.done for chunk in chunks]
    assert done == sorted(done)
    assert done[-1] == chunks[-1].total


def test_an_archive_that_grows_too_large_ends_with_its_code(desk, monkeypatch):
    from heptad.exports import zip_stream

    monkeypatch.setattr(zip_stream, "ARCHIVE_BYTES_MAX", 3_000)
    desk.commit([desk.office.request(desk.anna)[0] for _ in range(30)])
    assert desk.refused(call(desk.anna), caller=OFFICER).code == "export_too_large"


def test_a_subject_that_is_erased_meanwhile_is_not_read_on(desk, monkeypatch):
    monkeypatch.setattr(exporting, "CHUNK_BYTES", 1)
    desk.commit([desk.office.request(desk.anna)[0] for _ in range(300)])

    async def main():
        parts = desk.exports.serve(call(desk.anna), caller=OFFICER)
        await anext(parts)
        await anext(parts)
        desk.ledger.vault.erase(slots=[desk.anna.slot])
        with pytest.raises(Problem, match="subject_erased"):
            async for _ in parts:
                pass

    asyncio.run(main())


def test_what_was_read_before_an_order_does_not_go_out_after_it(desk, monkeypatch):
    """A slow caller's export holds some entries that were opened already."""
    monkeypatch.setattr(exporting, "CHUNK_BYTES", 1)
    desk.commit([desk.office.request(desk.anna)[0] for _ in range(9)])

    async def main():
        parts = desk.exports.serve(call(desk.anna), caller=OFFICER)
        await anext(parts)
        await anext(parts)
        desk.ledger.filer.close(desk.anna.slot)
        with pytest.raises(Problem, match="subject_erased"):
            await anext(parts)

    asyncio.run(main())


def test_how_often_an_erased_subject_was_exported_is_forgotten(desk):
    asyncio.run(desk.take(call(desk.anna), caller=OFFICER))
    desk.exports.forget([desk.anna.subject_id, ""])
    assert not desk.limits._full_at_s


def test_a_caller_that_takes_nothing_is_let_go(desk, monkeypatch):
    """Until then what was read for it stays in memory, and it has one of few places."""
    monkeypatch.setattr(access_door, "STALL_S_MAX", 0.01)
    monkeypatch.setattr(access_door, "peer_identity", lambda context: OFFICER)
    door = access_door.AccessDoor(exports=desk.exports, receipts=None, keys=None)

    class Stalled:
        async def write(self, data):
            await asyncio.Event().wait()

    async def main():
        with pytest.raises(Problem, match="deadline_exceeded"):
            await asyncio.wait_for(door._export(encode_export_call(call(desk.anna)), Stalled()), 5)
        assert desk.exports.under_way == 0

    asyncio.run(main())


def test_subjects_who_take_their_exports_slowly_leave_a_quarter_of_the_places_to_officers():
    limits = ExportLimits(at_once_max=4, per_hour_max=3, now_s=lambda: 0.0)
    with limits.one("a"), limits.one("b"), limits.one("c"):
        with pytest.raises(Problem, match="overloaded"), limits.one("d"):
            pass
        with limits.one("d", by_officer=True):
            assert limits.under_way == 4


def test_a_subject_counts_as_one_and_an_officer_as_another(desk, monkeypatch):
    told, one = [], desk.limits.one
    monkeypatch.setattr(
        desk.limits, "one", lambda name, *, by_officer: told.append(by_officer) or one(name)
    )
    jws = desk.sign(desk.anna)
    desk.admit(desk.anna, jws)
    asyncio.run(desk.take(SubjectsExport(jws)))
    asyncio.run(desk.take(call(desk.anna), caller=OFFICER))
    assert told == [False, True]
