"""Handshakes as they stand on the wire."""

import pytest

from heptad.runtime.handshake import Agreed, agreed_in, offered_groups

RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")


def record(body, kind=22):
    return bytes((kind, 3, 3)) + len(body).to_bytes(2, "big") + body


def message(kind, body):
    return bytes((kind,)) + len(body).to_bytes(3, "big") + body


def extension(kind, body):
    return kind.to_bytes(2, "big") + len(body).to_bytes(2, "big") + body


def server_hello(*, group=0x11EC, version=0x0304, cipher=0x1301, random=bytes(32), share=1_120):
    extensions = b""
    if version == 0x0304:
        key_share = group.to_bytes(2, "big") + (share.to_bytes(2, "big") + bytes(share))
        extensions = extension(51, key_share) + extension(43, version.to_bytes(2, "big"))
    else:
        extensions = extension(23, b"")
    body = b"\3\3" + random + b"\x20" + bytes(32) + cipher.to_bytes(2, "big") + b"\0"
    return message(2, body + len(extensions).to_bytes(2, "big") + extensions)


def test_version_group_and_cipher_are_read_from_a_server_hello():
    agreed = agreed_in(record(server_hello()) + record(b"\1", kind=20) + record(b"\0" * 99, 23))

    assert agreed == Agreed(0x0304, 0x1301, 0x11EC)
    assert (agreed.version_name, agreed.group_name) == ("TLS 1.3", "X25519MLKEM768")
    assert agreed.cipher_name == "AES-128-GCM"


@pytest.mark.parametrize(
    ("group", "is_safe"),
    [(0x11EC, True), (0x11EB, True), (0x0201, True), (0x1D, False), (0x17, False), (0x6399, False)],
)
def test_a_key_exchange_is_quantum_safe_only_with_ml_kem(group, is_safe):
    agreed = agreed_in(record(server_hello(group=group)))

    assert agreed is not None
    assert agreed.is_quantum_safe is is_safe


def test_a_retry_is_no_answer_and_what_follows_it_is():
    asked_again = record(server_hello(group=0x17, random=RETRY))

    assert agreed_in(asked_again) is None
    assert agreed_in(asked_again + record(server_hello())) == Agreed(0x0304, 0x1301, 0x11EC)


def test_a_resumption_without_a_key_share_has_no_group():
    body = b"\3\3" + bytes(32) + b"\0" + b"\x13\x01" + b"\0"
    versions = extension(43, b"\3\4")
    hello = message(2, body + len(versions).to_bytes(2, "big") + versions)

    agreed = agreed_in(record(hello))

    assert (agreed.group_name, agreed.is_quantum_safe) == ("none", False)


def test_tls_1_2_names_its_group_in_a_message_of_its_own():
    hello = server_hello(version=0x0303, cipher=0xC02B)
    key_exchange = message(12, b"\3\0\x1d" + bytes(70))

    agreed = agreed_in(record(hello) + record(key_exchange))

    assert agreed == Agreed(0x0303, 0xC02B, 0x1D)
    assert not agreed.is_quantum_safe


def test_a_hello_in_two_records_is_read_and_half_of_one_is_not():
    hello = server_hello()

    assert agreed_in(record(hello[:100]) + record(hello[100:])) is not None
    assert agreed_in(record(hello[:100])) is None
    assert agreed_in(b"HTTP/1.1 400 Bad Request\r\n\r\n") is None
    assert agreed_in(b"") is None


def test_a_client_hellos_groups_are_read_in_their_order():
    groups = (0x11EC, 0x1D, 0x17)
    listed = b"".join(group.to_bytes(2, "big") for group in groups)
    extensions = extension(10, len(listed).to_bytes(2, "big") + listed)
    body = b"\3\3" + bytes(32) + b"\x20" + bytes(32) + b"\0\4\x13\1\x13\2" + b"\1\0"
    hello = message(1, body + len(extensions).to_bytes(2, "big") + extensions)

    assert offered_groups(record(hello)) == groups
    assert offered_groups(b"\x16\3\1") == ()
