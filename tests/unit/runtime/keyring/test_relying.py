"""A service's key: named, used, and its former ones retired by a date."""

import pytest

from heptad.crypto.jwk import jwk_of
from heptad.crypto.keys import P256Key, load_key
from heptad.runtime.config import load_profile
from heptad.runtime.errors import ConfigInvalidError, HomeRefusedError
from heptad.runtime.keyring import relying
from heptad.runtime.service_keys import service_keys

SINCE, AT = "2026-06-01T00:00:00Z", "2026-06-20T00:00:00Z"
NAME = "tax-portal"


@pytest.fixture
def signer(home):
    """The key id that the profile says, and that of the key that it names."""

    def signer():
        folder = home / "clients" / NAME
        profile = load_profile(folder)
        return profile.signing_kid, load_key(folder / profile.signing_key).public.kid

    return signer


def test_a_key_is_named_then_used_then_alone(home, cell_of, signer):
    old = signer()[0]
    step = relying.start(home, NAME, since=SINCE)
    [first, second] = cell_of().service(NAME).keys
    assert (first.kid, second.since, second.retired) == (old, SINCE, "")
    assert step.restart == ("validator-1", "validator-2", "ledger-1")
    assert signer() == (old, old)
    relying.use(home, NAME)
    assert signer() == (second.kid, second.kid)
    relying.finish(home, NAME, at=AT)
    keys = service_keys(cell_of())[NAME]
    assert [keys[kid].retired_s is None for kid in (old, second.kid)] == [False, True]
    files = sorted(path.name for path in (home / "clients" / NAME).glob("signing*"))
    assert files == [load_profile(home / "clients" / NAME).signing_key]


def test_other_services_keep_their_keys(home, cell_of):
    before = cell_of().service("health-records")
    relying.start(home, NAME, since=SINCE)
    relying.use(home, NAME)
    relying.finish(home, NAME, at=AT)
    assert cell_of().service("health-records") == before


def test_a_service_brings_a_public_key_of_its_own(home, cell_of):
    key = P256Key.generate().public
    jwk = {**jwk_of(key), "kid": key.kid}
    relying.start(home, "health-records", since=SINCE, brought=jwk)
    assert service_keys(cell_of())["health-records"][key.kid].public == key
    assert not (home / "clients" / "health-records" / relying.NEXT_FILE).exists()
    with pytest.raises(ConfigInvalidError, match="the JWK"):
        relying.start(home, NAME, since=SINCE, brought={"kty": "OKP"})


def test_what_the_profile_does_not_sign_with_yet_is_not_left_alone(home, cell_of):
    relying.start(home, NAME, since=SINCE)
    before = cell_of()
    with pytest.raises(HomeRefusedError, match="--use"):
        relying.finish(home, NAME, at=AT)
    assert cell_of() == before


def test_a_key_is_used_only_once_it_is_named(home, monkeypatch):
    monkeypatch.setattr(relying, "revise", lambda home, change: False)
    relying.start(home, NAME, since=SINCE)
    with pytest.raises(HomeRefusedError, match="not named yet"):
        relying.use(home, NAME)


def test_the_same_order_again_changes_nothing(home, cell_of, signer):
    for order in (
        lambda: relying.start(home, NAME, since=SINCE),
        lambda: relying.use(home, NAME),
        lambda: relying.finish(home, NAME, at=AT),
    ):
        assert order().is_news
        state = cell_of(), signer()
        assert not order().is_news
        assert (cell_of(), signer()) == state


def test_nobody_else_is_a_service(home):
    with pytest.raises(HomeRefusedError, match="no service 'nobody'"):
        relying.start(home, "nobody", since=SINCE)


def test_a_crash_at_any_write_leaves_a_profile_that_signs_with_a_named_key(
    home, cell_of, signer, crashes
):
    def rotate():
        if len(cell_of().service(NAME).keys) == 1 or next_file.exists():
            relying.start(home, NAME, since=SINCE)
        relying.use(home, NAME)
        relying.finish(home, NAME, at=AT)

    next_file = home / "clients" / NAME / relying.NEXT_FILE
    for number in crashes(rotate):  # noqa: B007  looked at afterwards
        said, held = signer()
        assert said == held
        key = next(key for key in cell_of().service(NAME).keys if key.kid == said)
        assert key.retired == ""
    assert number == 7
    assert [bool(key.retired) for key in cell_of().service(NAME).keys] == [True, False]
    assert len(list((home / "clients" / NAME).glob("signing*"))) == 1
