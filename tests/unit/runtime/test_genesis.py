"""A new home is complete, private, and there as a whole or not at all."""

import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from heptad.crypto.keys import load_service_key
from heptad.runtime import genesis
from heptad.runtime.config import (
    Cell,
    GatewayConfig,
    ReplicaConfig,
    cell_digest,
    load_cell,
    load_node_config,
    load_profile,
)
from heptad.runtime.errors import HomeRefusedError
from heptad.runtime.genesis import GenesisPlan, create_home
from heptad.runtime.ports import PortPlan
from heptad.runtime.readdress import readdress
from heptad.transparency.policy import Policy

NOW = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
PLAN = GenesisPlan(PortPlan(7700), replica_count=4, validator_count=1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("made") / "home"
    create_home(home, PLAN, now=NOW)
    return home


def test_a_default_cell_has_seven_replicas_on_the_documented_ports(cell: Cell) -> None:
    assert cell.member_addresses() == {
        **{f"replica-{n}": f"127.0.0.1:{7730 + n}" for n in range(1, 8)},
        **{f"validator-{n}": f"127.0.0.1:{7710 + n}" for n in (1, 2)},
        "ledger-1": "127.0.0.1:7720",
        "gateway-1": "127.0.0.1:7702",
    }
    assert cell.gateways[0].http == "127.0.0.1:7700"


def test_metrics_listen_one_hundred_ports_above(home: Path) -> None:
    assert load_node_config(ReplicaConfig, home=home, name="replica-3").node.metrics == (
        "127.0.0.1:7833"
    )


def test_what_was_made_is_what_is_read_back(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert create_home(home, PLAN, now=NOW) == load_cell(home)


def test_private_files_are_readable_by_their_owner_only(made: Path) -> None:
    private = [path for path in made.rglob("*") if path.suffix == ".key" or "keys" in path.parts]
    private += list(made.glob("clients/*/signing.pem"))
    assert len(private) > 20
    for path in private:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_the_public_keys_in_the_cell_are_those_of_the_key_files(made: Path) -> None:
    cell = load_cell(made)
    for replica in cell.replicas:
        keys = made / replica.id / "keys"
        assert load_service_key(keys / "vote.pem").public_key == replica.vote_key
        assert load_service_key(keys / "cosign.pem").public_key == replica.cosign_key
    keys = made / "ledger-1" / "keys"
    assert load_service_key(keys / "log.pem").public_key == cell.ledger.log_key


def test_a_service_can_sign_with_the_key_that_the_cell_lists(made: Path) -> None:
    folder = made / "clients" / "tax-portal"
    profile = load_profile(folder)
    key = load_service_key(folder / profile.signing_key)
    listed = load_cell(made).service("tax-portal").keys[0]
    assert (profile.signing_kid, key.public.kid) == (listed.kid, listed.kid)


def test_certificates_name_role_and_id_twice_and_end_within_a_year_or_so(made: Path) -> None:
    origin = load_cell(made).origin
    certificate = x509.load_pem_x509_certificate((made / "replica-3" / "tls.pem").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [
        f"spiffe://{origin}/replica/3"
    ]
    assert names.get_values_for_type(x509.DNSName) == [f"replica-3.{origin}"]
    assert (certificate.not_valid_after_utc - NOW).days == 397
    assert certificate.not_valid_before_utc < NOW


def test_a_clients_certificate_cannot_be_a_servers(made: Path) -> None:
    path = made / "clients" / "tax-portal" / "tls.pem"
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [x509.ExtendedKeyUsageOID.CLIENT_AUTH]


def test_the_policy_wants_a_quorum_of_the_replicas(made: Path) -> None:
    policy = Policy.parse((made / "policy").read_bytes())
    assert policy.groups[0].threshold == 3
    assert [witness.name for witness in policy.witnesses] == [f"replica-{n + 1}" for n in range(4)]
    assert policy.logs[0].key.name == load_cell(made).origin


def test_a_folder_with_something_in_it_is_never_written_over(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.tex").write_text("years of work")
    with pytest.raises(HomeRefusedError, match="exists and is not empty"):
        create_home(home, PLAN, now=NOW)
    assert [path.name for path in home.iterdir()] == ["thesis.tex"]


def test_a_genesis_that_is_cut_off_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(genesis, "client_profile", full_disk)
    with pytest.raises(OSError, match="No space left"):
        create_home(tmp_path / "home", PLAN, now=NOW)
    assert list(tmp_path.iterdir()) == []


def test_two_cells_share_neither_name_nor_key(tmp_path: Path) -> None:
    one = create_home(tmp_path / "one", PLAN, now=NOW)
    two = create_home(tmp_path / "two", PLAN, now=NOW)
    assert one.origin != two.origin
    keys = [
        {r.vote_key for r in c.replicas} | {r.cosign_key for r in c.replicas} for c in (one, two)
    ]
    assert not keys[0] & keys[1]


def test_moving_to_other_ports_changes_addresses_and_nothing_else(tmp_path: Path) -> None:
    home = tmp_path / "home"
    before = create_home(home, PLAN, now=NOW)
    digest = cell_digest(home)
    after = readdress(home, PortPlan(20_000))
    assert load_cell(home) == after
    assert after.member_addresses()["replica-2"] == "127.0.0.1:20032"
    assert load_profile(home / "clients" / "operator").ledger.address == "127.0.0.1:20020"
    assert load_node_config(GatewayConfig, home=home, name="gateway-1").http == "127.0.0.1:20000"
    assert readdress(home, PortPlan(7700)) == before
    assert cell_digest(home) == digest
