"""What an entry changes of a subject's keys: rules that a ledger and every validator share."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heptad.crypto.accesses import sign_access
from heptad.crypto.device_keys import sign_key_addition, sign_key_revocation
from heptad.crypto.jwk import PublicKey
from heptad.crypto.key_history import (
    KEYS_MAX,
    KeyChange,
    KeyChangeRefusedError,
    KeyStep,
    changed,
    read_change,
)
from heptad.crypto.keys import Ed25519Key
from heptad.crypto.registry_rows import KeyRow, open_keys, seal_row
from heptad.crypto.sealing import Opened, commitment
from heptad.model.access import AccessRecord
from heptad.model.entry import Entry, Kind, Outcome

ISS, AUD = "c1-abcdefghijklmnopqrstuvwxyz", "heptad.example/c1"
JTI = "6f1d1a0e-4a34-4f57-9f0e-0c1f2b3a4d5e"
WITNESS = b"w" * 32
OLD, NEW = Ed25519Key(b"o" * 32), Ed25519Key(b"n" * 32)
ATTESTING = Ed25519Key(b"A" * 32)
ADDED = sign_key_addition(OLD, NEW, iss=ISS, aud=AUD, jti=JTI, iat=1, exp=60)
REVOKED = sign_key_revocation(OLD, kid=NEW.public.kid, iss=ISS, aud=AUD, jti=JTI, iat=1, exp=60)
FIRST = (KeyRow(OLD.public.kid, 3),)
KEYS = [Ed25519Key(bytes([n]) * 32).public for n in range(1, 7)]


def entry_of(payload: bytes = ADDED, **changes: object) -> Entry:
    is_addition = payload is ADDED
    entry = Entry(
        kind=Kind.KEY_ADDED if is_addition else Kind.KEY_REVOKED,
        service="heptad",
        action="key.add" if is_addition else "key.revoke",
        outcome=Outcome.ALLOWED,
        time_ms=2_000,
        validator=1,
        commitment=commitment(witness=WITNESS, payload=payload),
    )
    return replace(entry, **changes)  # type: ignore[arg-type]


def read(payload: bytes = ADDED, *, origin: str = AUD, **changes: object) -> KeyStep:
    change = read_change(entry_of(payload, **changes), Opened(WITNESS, payload), origin=origin)
    change.verify(OLD.public)
    return change.step


def test_an_addition_and_a_revocation_say_what_was_signed() -> None:
    assert read(ADDED) == KeyStep(OLD.public.kid, added=NEW.public)
    assert read(REVOKED) == KeyStep(OLD.public.kid, revoked_kid=NEW.public.kid)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": Kind.REQUEST},
        {"kind": Kind.KEY_REVOKED},
        {"outcome": Outcome.DENIED},
        {"service": "tax-office"},
        {"action": "key.revoke"},
        {"commitment": b"c" * 32},
        {"time_ms": (60 + 300) * 1000 + 1},
    ],
    ids=str,
)
def test_an_entry_that_says_something_else_than_was_signed_changes_nothing(
    changes: dict[str, object],
) -> None:
    with pytest.raises(KeyChangeRefusedError):
        read(ADDED, **changes)


def test_a_revocation_counts_however_late_it_was_admitted() -> None:
    assert read(REVOKED, time_ms=10**12).revoked_kid == NEW.public.kid


def test_a_request_for_another_cell_changes_nothing() -> None:
    with pytest.raises(KeyChangeRefusedError, match="another cell"):
        read(ADDED, origin="heptad.example/c2")


def test_bytes_that_are_no_request_change_nothing() -> None:
    payload = b"no request"
    with pytest.raises(KeyChangeRefusedError):
        read(payload)


def test_a_change_is_proved_by_the_key_that_it_names_only() -> None:
    change = read_change(entry_of(), Opened(WITNESS, ADDED), origin=AUD)
    with pytest.raises(KeyChangeRefusedError, match="another key"):
        change.verify(NEW.public)
    body, _, _ = ADDED.rpartition(b".")
    forged = body + b"." + REVOKED.rpartition(b".")[2]
    entry = entry_of(commitment=commitment(witness=WITNESS, payload=forged))
    change = read_change(entry, Opened(WITNESS, forged), origin=AUD)
    with pytest.raises(KeyChangeRefusedError, match="signature_invalid"):
        change.verify(OLD.public)


def officers(**changes: object) -> KeyChange:
    said = AccessRecord(
        ledger="ledger-1",
        origin=AUD,
        jti=JTI,
        time_s=1,
        subject_id="c1-" + "a" * 26,
        action="key.revoked",
        role="officer",
        caller="dpo",
        ground="",
        reason="the phone was stolen",
        what=OLD.public.kid,
    )
    payload = sign_access(ATTESTING, replace(said, **changes))  # type: ignore[arg-type]
    entry = Entry(
        kind=Kind.ACCESS,
        service="heptad",
        action=str(changes.get("action", "key.revoked")),
        outcome=Outcome.NONE,
        time_ms=2_000,
        validator=1,
        commitment=commitment(witness=WITNESS, payload=payload),
    )
    return read_change(entry, Opened(WITNESS, payload), origin=AUD)


def test_an_officer_revokes_and_the_ledger_says_so() -> None:
    change = officers()
    change.verify(ATTESTING.public)
    assert change.subject_id == "c1-" + "a" * 26
    assert change.step == KeyStep(ATTESTING.public.kid, revoked_kid=OLD.public.kid, by_officer=True)
    [row] = changed(FIRST, change.step, index=9)
    assert row.revoked_at == 9
    forged = replace(change, signed=replace(change.signed, signature=b"s" * 64))
    with pytest.raises(KeyChangeRefusedError, match="signature_invalid"):
        forged.verify(ATTESTING.public)
    with pytest.raises(KeyChangeRefusedError, match="another key"):
        change.verify(OLD.public)


@pytest.mark.parametrize(
    "changes", [{"action": "hold.set", "what": ""}, {"origin": "heptad.example/c2"}], ids=str
)
def test_another_access_revokes_nothing(changes: dict[str, object]) -> None:
    with pytest.raises(KeyChangeRefusedError):
        officers(**changes)


def test_an_officer_adds_no_key() -> None:
    """Whatever its word is signed with, it can only end a key."""
    with pytest.raises(KeyChangeRefusedError, match="not active"):
        changed(FIRST, KeyStep(ATTESTING.public.kid, added=NEW.public), index=9)


def adding(key: PublicKey, *, by: str = OLD.public.kid) -> KeyStep:
    return KeyStep(by, added=key)


def revoking(kid: str, *, by: str = OLD.public.kid) -> KeyStep:
    return KeyStep(by, revoked_kid=kid)


def test_a_key_is_added_behind_the_others_and_revoked_in_its_place() -> None:
    rows = changed(FIRST, adding(NEW.public), index=5)
    assert rows == (*FIRST, KeyRow(NEW.public.kid, 5))
    rows = changed(rows, revoking(OLD.public.kid, by=NEW.public.kid), index=8)
    assert rows == (KeyRow(OLD.public.kid, 3, revoked_at=8), KeyRow(NEW.public.kid, 5))


def test_the_last_key_may_revoke_itself_once_it_is_in_the_log() -> None:
    [row] = changed(FIRST, revoking(OLD.public.kid), index=8)
    assert row.revoked


@pytest.mark.parametrize("kid", [NEW.public.kid, "x" * 43])
def test_a_key_that_is_not_active_changes_nothing(kid: str) -> None:
    rows = changed(FIRST, adding(NEW.public), index=5)
    rows = changed(rows, revoking(NEW.public.kid), index=6)
    with pytest.raises(KeyChangeRefusedError, match="not active"):
        changed(rows, adding(KEYS[0], by=kid), index=7)
    with pytest.raises(KeyChangeRefusedError, match="not active"):
        changed(rows, revoking(kid), index=7)


def test_a_revoked_key_never_comes_back() -> None:
    """Somebody evil may record the old request to add it once more."""
    rows = changed(FIRST, adding(NEW.public), index=5)
    rows = changed(rows, revoking(NEW.public.kid), index=6)
    with pytest.raises(KeyChangeRefusedError, match="there before"):
        changed(rows, adding(NEW.public), index=7)


def test_no_change_comes_before_one_that_was_made() -> None:
    rows = changed(FIRST, adding(NEW.public), index=5)
    with pytest.raises(KeyChangeRefusedError, match="before"):
        changed(rows, adding(KEYS[0]), index=5)


def test_there_are_so_many_keys_in_a_life_and_no_more() -> None:
    rows = FIRST
    for n in range(1, KEYS_MAX):
        key = replace(NEW.public, kid=f"{n:043}")
        rows = changed(rows, adding(key), index=3 + n)
    with pytest.raises(KeyChangeRefusedError, match=str(KEYS_MAX)):
        changed(rows, adding(NEW.public), index=1_000)


STEPS = st.lists(
    st.tuples(st.sampled_from(KEYS), st.sampled_from(KEYS), st.booleans()), max_size=24
)


@settings(max_examples=150, deadline=None)
@given(steps=STEPS)
def test_whatever_is_recorded_the_rows_keep_to_the_rules(
    steps: list[tuple[PublicKey, PublicKey, bool]],
) -> None:
    rows: tuple[KeyRow, ...] = (KeyRow(KEYS[0].kid, 0),)
    for index, (signer, key, is_addition) in enumerate(steps, start=1):
        before = rows
        active = {row.kid for row in before if not row.revoked}
        step = adding(key, by=signer.kid) if is_addition else revoking(key.kid, by=signer.kid)
        try:
            rows = changed(before, step, index=index)
        except KeyChangeRefusedError:
            assert rows is before
            continue
        assert signer.kid in active
        # What was there stays there, at its place; what was revoked stays revoked.
        assert [(row.kid, row.index) for row in rows[: len(before)]] == [
            (row.kid, row.index) for row in before
        ]
        for old, new in zip(before, rows, strict=False):
            assert old.revoked_at in (None, new.revoked_at)
        assert (key.kid in {row.kid for row in rows if not row.revoked}) is is_addition
    kids = [row.kid for row in rows]
    assert len(kids) == len(set(kids))
    row = seal_row(registry_key=b"r" * 32, slot_key=b"s" * 32, subject_id="ab-x", slot=9, keys=rows)
    assert open_keys(row, slot_key=b"s" * 32, subject_id="ab-x") == rows
