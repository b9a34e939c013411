"""The keys of services out of `cell.toml`, and what is refused there."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from heptad.crypto.bundles import ServiceKey as SigningKey
from heptad.crypto.jwk import jwk_of
from heptad.crypto.keys import P256Key
from heptad.runtime.config import Cell
from heptad.runtime.config.dated_keys import ServiceKey
from heptad.runtime.errors import ConfigInvalidError
from heptad.runtime.genesis import GenesisPlan, create_home
from heptad.runtime.ports import PortPlan
from heptad.runtime.service_keys import service_keys


@pytest.fixture(name="cell", scope="module")
def _cell(tmp_path_factory: pytest.TempPathFactory) -> Cell:
    home: Path = tmp_path_factory.mktemp("home") / "cell"
    return create_home(home, GenesisPlan(PortPlan(7700)), now=datetime(2026, 1, 1, tzinfo=UTC))


def with_key(cell: Cell, key: ServiceKey) -> Cell:
    first, *others = cell.services
    return replace(cell, services=(replace(first, keys=(key,)), *others))


def test_each_service_has_the_keys_that_the_genesis_lists(cell: Cell) -> None:
    keys = service_keys(cell)

    assert list(keys) == [service.id for service in cell.services]
    for service in cell.services:
        assert list(keys[service.id]) == [jwk.kid for jwk in service.keys]


def test_a_key_may_be_of_p256(cell: Cell) -> None:
    public = P256Key.generate().public
    jwk = ServiceKey(kid=public.kid, **jwk_of(public))

    assert service_keys(with_key(cell, jwk))[cell.services[0].id] == {
        public.kid: SigningKey(public)
    }


def test_a_retired_key_stays_and_says_until_when_it_counts(cell: Cell) -> None:
    retired = replace(cell.services[0].keys[0], retired="2026-03-01T00:00:00Z")
    [key] = service_keys(with_key(cell, retired))[cell.services[0].id].values()

    at_s = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp())
    late_s = cell.limits.request_lifetime_s_max + cell.limits.clock_skew_s_max
    assert (key.retired_s, key.entered_s) == (at_s, at_s + late_s)


@pytest.mark.parametrize("change", [{"kid": "A" * 43}, {"x": "A" * 43}])
def test_a_key_that_is_none_is_refused(cell: Cell, change: dict[str, str]) -> None:
    bad = replace(cell.services[0].keys[0], **change)

    with pytest.raises(ConfigInvalidError, match="a key of"):
        service_keys(with_key(cell, bad))


def test_no_service_is_called_like_a_subject(cell: Cell) -> None:
    first, *others = cell.services
    named = replace(cell, services=(replace(first, id="kn-" + "a" * 26), *others))

    assert [key for key, _ in named.mistakes()] == ["services[0].id"]
