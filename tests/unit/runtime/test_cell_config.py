"""`cell.toml` and its companions: what a cell may look like."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heptad.runtime.config import (
    Cell,
    Endpoint,
    GatewayConfig,
    LedgerConfig,
    Node,
    Profile,
    ReplicaConfig,
    ValidatorConfig,
    load_node_config,
    split_address,
    write_config,
)
from heptad.runtime.config.decode import decode, encode
from heptad.runtime.errors import ConfigInvalidError


def mistakes(config: object) -> list[str]:
    return [f"{key}: {reason}" for key, reason in config.mistakes()]


def test_a_new_cell_breaks_no_rule(cell: Cell) -> None:
    assert mistakes(cell) == []


def test_the_quorum_is_n_minus_f(cell: Cell) -> None:
    found = {
        n: (smaller.fault_count, smaller.quorum)
        for n in (1, 3, 4, 6, 7)
        for smaller in [replace(cell, replicas=cell.replicas[:n])]
    }
    assert found == {1: (0, 1), 3: (0, 3), 4: (1, 3), 6: (1, 5), 7: (2, 5)}


@pytest.mark.parametrize(
    "origin", ["https://a.b", "a.b/c", "A.b", "a", "a..b", "-a.b", "a_b.c", "a.b:1", "a b.c"]
)
def test_an_origin_that_is_no_dns_name_is_refused(cell: Cell, origin: str) -> None:
    assert mistakes(replace(cell, origin=origin))[0].startswith("origin: ")


@pytest.mark.parametrize("code", ["", "a", "A1", "abc-d", "a" * 13])
def test_a_code_that_would_not_fit_into_a_subject_id_is_refused(cell: Cell, code: str) -> None:
    assert mistakes(replace(cell, code=code))[0].startswith("code: ")


def test_a_key_may_serve_one_purpose_of_one_member_only(cell: Cell) -> None:
    first, second, *rest = cell.replicas
    twice = replace(cell, replicas=(first, replace(second, vote_key=first.cosign_key), *rest))
    assert mistakes(twice) == ["replicas[0].cosign_key: is the same key as replicas[1].vote_key"]


def test_two_members_may_not_share_an_address_or_an_id(cell: Cell) -> None:
    first, second, *rest = cell.replicas
    shared = replace(second, id=first.id, address=first.address)
    assert mistakes(replace(cell, replicas=(first, shared, *rest))) == [
        "replicas[1].id: replica-1 is also replicas[0].id",
        f"replicas[1].address: {first.address} is also replicas[0].address",
    ]


def test_a_member_stands_in_the_list_of_its_role(cell: Cell) -> None:
    stray = replace(cell.validators[0], id="replica-9")
    assert mistakes(replace(cell, validators=(stray,))) == [
        "validators[0].id: 'replica-9' is not validator-<n>"
    ]


def test_a_services_policy_is_spelt_as_requests_spell_it(cell: Cell) -> None:
    service = replace(cell.services[0], id="Tax", actions=("Read", "a.b"))
    assert mistakes(replace(cell, services=(service, cell.services[1]))) == [
        "services[0].id: 'Tax' is not lower-case letters, digits and dashes",
        "services[0].actions: 'Read' is not an action's name",
    ]


def test_no_service_takes_the_cells_own_name_or_actions(cell: Cell) -> None:
    named = replace(cell.services[0], id="heptad")
    acting = replace(cell.services[1], actions=("authenticate", "key.add"))
    assert mistakes(replace(cell, services=(named, acting))) == [
        "services[0].id: heptad is the cell's own service",
        "services[1].actions: key.add is an action of the cell's own service",
    ]


def test_a_services_key_is_of_a_kind_that_validators_verify(cell: Cell) -> None:
    service = cell.services[0]
    key = replace(service.keys[0], crv="P-256")
    wrong = replace(cell, services=(replace(service, keys=(key,)),))
    assert mistakes(wrong) == ["services[0].keys[0]: is neither OKP Ed25519 nor EC P-256"]


def test_a_key_of_the_wrong_length_is_refused_when_the_file_is_read(cell: Cell) -> None:
    document = encode(cell)
    document["replicas"][3]["vote_key"] = "AAAA"
    with pytest.raises(ConfigInvalidError) as caught:
        decode(Cell, document, source="cell.toml")
    assert caught.value.mistakes == ("cell.toml: replicas[3].vote_key: is 3 bytes, wanted 32",)


NODE = Node("replica-1", "127.0.0.1:1", "127.0.0.1:2")
GATEWAY = Node("gateway-1", "127.0.0.1:1", "127.0.0.1:2")
LEDGER = Node("ledger-1", "127.0.0.1:1", "127.0.0.1:2")
VALIDATOR = Node("validator-1", "127.0.0.1:1", "127.0.0.1:2")


def broken_services() -> Iterator[tuple[object, str]]:
    yield ReplicaConfig(NODE, timeout_ms_min=900, timeout_ms_max=800), "timeout_ms_min"
    yield ReplicaConfig(NODE, map_bytes_max=1 << 24), "map_bytes_max"
    yield ReplicaConfig(replace(NODE, listen="nowhere")), "node.listen"
    yield ReplicaConfig(replace(NODE, metrics=NODE.listen)), "node.metrics"
    yield ReplicaConfig(replace(NODE, log_level="loud")), "node.log_level"
    yield ValidatorConfig(VALIDATOR, batch_resend_ms=5_000), "batch_resend_ms"
    yield LedgerConfig(replace(LEDGER, listen="a:0")), "node.listen"
    yield GatewayConfig(GATEWAY, http="127.0.0.1:1", admin="127.0.0.1:4"), "http"
    yield GatewayConfig(GATEWAY, http="127.0.0.1:3", admin="x"), "admin"


@pytest.mark.parametrize(("config", "key"), list(broken_services()))
def test_a_rule_between_settings_names_the_setting(config: object, key: str) -> None:
    assert [found for found, _ in config.mistakes()] == [key]


def test_a_members_file_must_lie_in_its_own_folder(home: Path, tmp_path: Path) -> None:
    (tmp_path / "replica-2").mkdir()
    config = load_node_config(ReplicaConfig, home=home, name="replica-1")
    write_config(config, tmp_path / "replica-2" / "config.toml", head="")
    with pytest.raises(ConfigInvalidError, match="'replica-1' lies in the folder of 'replica-2'"):
        load_node_config(ReplicaConfig, home=tmp_path, name="replica-2")


def test_a_members_file_is_read_by_its_own_role_only(tmp_path: Path) -> None:
    (tmp_path / "ledger-1").mkdir()
    write_config(ReplicaConfig(LEDGER), tmp_path / "ledger-1" / "config.toml", head="")
    with pytest.raises(ConfigInvalidError, match="'ledger-1' is not a replica"):
        load_node_config(ReplicaConfig, home=tmp_path, name="ledger-1")


PROFILE = Profile(
    name="operator",
    role="operator",
    origin="a.bc",
    gateway_url="http://127.0.0.1:7700",
    validators=(Endpoint("validator-1", "127.0.0.1:7711"),),
    ledger=Endpoint("ledger-1", "127.0.0.1:7720"),
)


def test_a_profile_of_a_member_role_is_refused() -> None:
    assert mistakes(replace(PROFILE, role="replica")) == [
        "role: 'replica' is not one of service, operator, auditor, officer"
    ]


def test_a_signing_key_comes_with_its_kid() -> None:
    assert mistakes(replace(PROFILE, signing_key="k.pem")) == [
        "signing_kid: signing_key and signing_kid come together"
    ]


@given(st.ip_addresses(), st.integers(1, 65_535))
def test_an_address_splits_into_host_and_port(host: object, port: int) -> None:
    text = f"[{host}]" if ":" in str(host) else str(host)
    assert split_address(f"{text}:{port}") == (str(host), port)


@pytest.mark.parametrize("text", ["", "a", ":1", "a:", "a:b", "a:0", "a:65536", "::1:5", "a:-1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"host:port|port|brackets"):
        split_address(text)
