"""A subject is told its own keys, on the word of one of them, and nobody else is."""

import asyncio

import grpc
import pytest

from heptad.crypto.keys import Ed25519Key
from heptad.crypto.requests import sign_request
from heptad.model.listed_keys import ListedKey
from heptad.model.problems import Problem
from heptad.runtime.identity import Role
from heptad.wire.convert import privacy as wire
from heptad_ledger.privacy.access_door import ROLES, AccessDoor
from heptad_ledger.privacy.authority import Authority, Terms
from heptad_ledger.privacy.key_list import KeyList

NOW_S = 1_700_000_000
PHONE, THIEF = Ed25519Key(b"p" * 32), Ed25519Key(b"t" * 32)


@pytest.fixture
def keys(ledger):
    async def at_once(_timeout_s):
        return True

    authority = Authority(
        store=ledger.store,
        registry=ledger.registry,
        index_key=ledger.vault.index_key,
        terms=Terms(origin="log.test", skew_s_max=30, lifetime_s_max=300),
        catch_up=at_once,
        now_s=lambda: NOW_S,
        require_settled=lambda: None,
    )
    return KeyList(store=ledger.store, authority=authority)


@pytest.fixture
def anna(ledger, group, office):
    """She has added a phone, and revoked the key that she began with."""
    person = office.register(1)
    records = [person.registration, office.add_key(person, PHONE)]
    records.append(office.revoke_key(person, person.key, by=PHONE))
    for record in records:
        group.commit(group.batch([record]))
    ledger.catch_up()
    return person


def asking(person, key=PHONE, **changes):
    claims = {
        "iss": person.subject_id, "aud": "log.test", "jti": "0" * 8 + "-0000-4000-8000-" + "0" * 12,
        "iat": NOW_S - 10, "exp": NOW_S + 50, "svc": "heptad", "act": "subject.keys", "data": {},
    }  # fmt: skip
    return sign_request(key, **{**claims, **changes})


def test_all_keys_are_listed_with_their_times_and_entries(keys, anna):
    first, phone = keys.keys_of(asking(anna))
    assert first == ListedKey(
        anna.key.public.kid, 0, added_ms=NOW_S * 1000, revoked_index=2, revoked_ms=2_000
    )
    assert phone == ListedKey(PHONE.public.kid, 1, added_ms=2_000)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"aud": "other.test"}, "audience_mismatch"),
        ({"act": "subject.export"}, "claim_invalid"),
        ({"svc": "tax"}, "claim_invalid"),
        ({"iat": NOW_S - 200, "exp": NOW_S - 31}, "request_expired"),
        ({"iat": NOW_S + 31, "exp": NOW_S + 60}, "request_from_the_future"),
        ({"exp": NOW_S + 291}, "lifetime_too_long"),
        ({"iss": "ab-" + "b" * 26}, "subject_unknown"),
    ],
)
def test_a_request_for_something_else_or_of_another_time_lists_nothing(keys, anna, changes, code):
    with pytest.raises(Problem) as caught:
        keys.keys_of(asking(anna, **changes))
    assert caught.value.code == code


def test_only_an_active_key_of_the_subject_lists_them(keys, anna):
    for key, code in ((THIEF, "key_unknown"), (anna.key, "key_revoked")):
        with pytest.raises(Problem) as caught:
            keys.keys_of(asking(anna, key))
        assert caught.value.code == code


def test_a_forged_signature_lists_nothing(keys, anna):
    genuine = asking(anna)
    with pytest.raises(Problem, match="signature_invalid"):
        keys.keys_of(genuine[:-8] + b"AAAAAAAA")


def test_the_door_is_for_gateways(keys, anna):
    class Server:
        def add_generic_rpc_handlers(self, handlers):
            [self.handler] = handlers

    server = Server()
    AccessDoor(exports=None, receipts=None, keys=keys).register(server)
    assert ROLES[f"/{wire.SERVICE}/ListKeys"] == {Role.GATEWAY}

    class Details:
        method = f"/{wire.SERVICE}/ListKeys"
        invocation_metadata = ()

    found = server.handler.service(Details())
    assert isinstance(found, grpc.RpcMethodHandler)
    answer = asyncio.run(found.unary_unary(wire.encode_keys_call(asking(anna)), None))
    assert wire.decode_keys(answer) == keys.keys_of(asking(anna))
