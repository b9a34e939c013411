"""Names in certificates: one way to write each, and no client can pass for a member."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from heptad.runtime.errors import CertificateInvalidError
from heptad.runtime.identity import MEMBER_ROLES, Identity, Role, from_uri, member

names = st.from_regex(r"[a-z][a-z0-9-]{0,30}", fullmatch=True)
numbers = st.integers(1, 9_999)
CELL = "ab2.heptad.internal"

members = st.builds(
    lambda role, number: member(CELL, f"{role}-{number}"),
    st.sampled_from(sorted(MEMBER_ROLES)),
    numbers,
)
clients = st.builds(
    lambda role, name: Identity(CELL, role, name),
    st.sampled_from(sorted(set(Role) - MEMBER_ROLES)),
    names,
)


@given(members | clients)
def test_a_uri_is_read_back(identity: Identity) -> None:
    assert from_uri(identity.uri) == identity


def test_a_members_uri_and_dns_name_are_as_documented() -> None:
    identity = member(CELL, "replica-3")
    assert identity.uri == f"spiffe://{CELL}/replica/3"
    assert identity.dns_name == f"replica-3.{CELL}"


@given(members, clients)
@example(member(CELL, "replica-3"), Identity(CELL, Role.SERVICE, "replica-3"))
def test_no_client_has_a_members_dns_name(one: Identity, other: Identity) -> None:
    assert one.dns_name != other.dns_name


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "https://a.b/replica/3",
        "spiffe://a.b/replica",
        "spiffe://a.b/replica/3/4",
        "spiffe://a.b/king/3",
        "spiffe://A.b/replica/3",
        "spiffe://a.b/replica/3 ",
        "spiffe://a.b/replica/3\n",
        "spiffe:///replica/3",
    ],
)
def test_another_form_is_refused(uri: str) -> None:
    with pytest.raises(CertificateInvalidError):
        from_uri(uri)
