"""What two ends of a connection have agreed on, read from the bytes of their handshake.

A TLS 1.3 ServerHello is the last thing on the wire that anybody can read, and it says all that is
asked here: the version, the cipher, and the group of the key exchange. It is read from the wire
rather than asked of a library, because what counts is what was said, and gRPC does not tell.

Sources: RFC 8446 (sections 4.1 to 4.2.8, 5.1), RFC 5246 for TLS 1.2, IANA's "TLS Supported Groups".
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

HANDSHAKE_BYTES_MAX: Final = 16 << 10
"""A ClientHello with two post-quantum key shares has 3 KiB; no Hello is longer than this."""

_HANDSHAKE: Final = 22
_CLIENT_HELLO: Final = 1
_SERVER_HELLO: Final = 2
_SERVER_KEY_EXCHANGE: Final = 12
_SUPPORTED_GROUPS: Final = 10
_SUPPORTED_VERSIONS: Final = 43
_KEY_SHARE: Final = 51
_SIGNATURE_ALGORITHMS: Final = 13
_PROTOCOLS: Final = 16
_ASKED_GROUPS: Final = (0x11EC, 0x001D, 0x0017)
_ASKED_CIPHERS: Final = (0x1301, 0x1302, 0x1303)
_RETRY_RANDOM: Final = bytes.fromhex(
    "cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c"
)
"""RFC 8446, section 4.1.3: a ServerHello with it asks for another ClientHello."""

VERSIONS: Final = {0x0301: "TLS 1.0", 0x0302: "TLS 1.1", 0x0303: "TLS 1.2", 0x0304: "TLS 1.3"}
GROUPS: Final = {
    0x0017: "P-256",
    0x0018: "P-384",
    0x0019: "P-521",
    0x001D: "X25519",
    0x001E: "X448",
    0x0200: "ML-KEM-512",
    0x0201: "ML-KEM-768",
    0x0202: "ML-KEM-1024",
    0x11EB: "SecP256r1MLKEM768",
    0x11EC: "X25519MLKEM768",
    0x11ED: "SecP384r1MLKEM1024",
    0x6399: "X25519Kyber768Draft00",
}
QUANTUM_SAFE_GROUPS: Final = frozenset({0x0200, 0x0201, 0x0202, 0x11EB, 0x11EC, 0x11ED})
"""Groups with ML-KEM (FIPS 203). The draft of Kyber is not that algorithm, and does not count."""
CIPHERS: Final = {
    0x1301: "AES-128-GCM",
    0x1302: "AES-256-GCM",
    0x1303: "ChaCha20-Poly1305",
    0xC02B: "ECDHE-ECDSA-AES-128-GCM",
    0xC02C: "ECDHE-ECDSA-AES-256-GCM",
    0xCCA9: "ECDHE-ECDSA-ChaCha20-Poly1305",
}


@dataclass(frozen=True, slots=True)
class Agreed:
    """What a handshake has settled on. `group` is 0 where the server has not said one."""

    version: int
    cipher: int
    group: int

    @property
    def version_name(self) -> str:
        """Such as `TLS 1.3`."""
        return VERSIONS.get(self.version, f"version {self.version:#06x}")

    @property
    def cipher_name(self) -> str:
        """Such as `AES-128-GCM`."""
        return CIPHERS.get(self.cipher, f"cipher {self.cipher:#06x}")

    @property
    def group_name(self) -> str:
        """Such as `X25519MLKEM768`."""
        if not self.group:
            return "none"
        return GROUPS.get(self.group, f"group {self.group:#06x}")

    @property
    def is_quantum_safe(self) -> bool:
        """Whether recorded traffic stays closed to somebody who breaks elliptic curves later.

        That is so of TLS 1.3 only: in TLS 1.2 the group is one that a curve alone provides.
        """
        return self.version == 0x0304 and self.group in QUANTUM_SAFE_GROUPS


def agreed_in(server_bytes: bytes) -> Agreed | None:
    """What the first bytes that a server sent say; None if they hold no ServerHello."""
    agreed = None
    for kind, body in _messages(server_bytes):
        if kind == _SERVER_HELLO and (said := _server_hello(body)) is not None:
            agreed = said
        elif kind == _SERVER_KEY_EXCHANGE and agreed is not None and body[:1] == b"\x03":
            return Agreed(agreed.version, agreed.cipher, int.from_bytes(body[1:3], "big"))
    return agreed


def chosen_group(server_bytes: bytes) -> int:
    """The group that a server's first bytes settle on, or ask for; 0 where they say none."""
    for kind, body in _messages(server_bytes):
        if kind == _SERVER_HELLO and (hello := _read_server_hello(body)) is not None:
            return hello.group
    return 0


def group_question(entropy: Callable[[int], bytes]) -> bytes:
    """A ClientHello that offers groups and no key share, so that the server has to name one.

    `entropy(n)` returns n random bytes. A server of TLS 1.3 answers with the group that it wants
    most of those offered (RFC 8446, section 4.1.4), before anybody has to show a certificate.
    """
    groups = _vector(b"".join(group.to_bytes(2, "big") for group in _ASKED_GROUPS))
    extensions = (
        (_SUPPORTED_VERSIONS, b"\x02\x03\x04"),
        (_SUPPORTED_GROUPS, groups),
        (_SIGNATURE_ALGORITHMS, _vector(bytes.fromhex("040308040807"))),
        (_KEY_SHARE, b"\x00\x00"),
        (_PROTOCOLS, _vector(b"\x02h2")),
    )
    block = b"".join(kind.to_bytes(2, "big") + _vector(body) for kind, body in extensions)
    ciphers = _vector(b"".join(cipher.to_bytes(2, "big") for cipher in _ASKED_CIPHERS))
    session = b"\x20" + entropy(32)
    hello = b"\x03\x03" + entropy(32) + session + ciphers + b"\x01\x00" + _vector(block)
    message = bytes((_CLIENT_HELLO,)) + len(hello).to_bytes(3, "big") + hello
    return bytes((_HANDSHAKE,)) + b"\x03\x01" + _vector(message)


def _vector(body: bytes) -> bytes:
    return len(body).to_bytes(2, "big") + body


def offered_groups(client_bytes: bytes) -> tuple[int, ...]:
    """The groups that a client's first ClientHello offers, best first; empty if there is none."""
    for kind, body in _messages(client_bytes):
        if kind != _CLIENT_HELLO:
            continue
        at = 34 + 1 + body[34]
        at += 2 + int.from_bytes(body[at : at + 2], "big")
        at += 1 + body[at]
        groups = dict(_extensions(body[at:])).get(_SUPPORTED_GROUPS, b"")[2:]
        return tuple(int.from_bytes(groups[at : at + 2], "big") for at in range(0, len(groups), 2))
    return ()


def _server_hello(body: bytes) -> Agreed | None:
    """None for one that only asks for another ClientHello, or that is cut off."""
    return None if body[2:34] == _RETRY_RANDOM else _read_server_hello(body)


def _read_server_hello(body: bytes) -> Agreed | None:
    """What it says, also where it asks for another ClientHello; None if it is cut off."""
    if len(body) < 38:
        return None
    at = 34 + 1 + body[34]
    cipher = int.from_bytes(body[at : at + 2], "big")
    extensions = dict(_extensions(body[at + 3 :]))
    version = extensions.get(_SUPPORTED_VERSIONS, body[:2])
    group = extensions.get(_KEY_SHARE, b"")[:2]
    return Agreed(int.from_bytes(version, "big"), cipher, int.from_bytes(group, "big"))


def _extensions(block: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and content of each, out of a block with its u16 length in front."""
    at, end = 2, 2 + int.from_bytes(block[:2], "big")
    while at + 4 <= min(end, len(block)):
        length = int.from_bytes(block[at + 2 : at + 4], "big")
        yield int.from_bytes(block[at : at + 2], "big"), block[at + 4 : at + 4 + length]
        at += 4 + length


def _messages(stream: bytes) -> Iterator[tuple[int, bytes]]:
    """The whole handshake messages in the records that a stream begins with, while readable."""
    plain = bytearray()
    at = 0
    while at + 5 <= len(stream) and stream[at] == _HANDSHAKE:
        length = int.from_bytes(stream[at + 3 : at + 5], "big")
        plain += stream[at + 5 : at + 5 + length]
        at += 5 + length
    at = 0
    while at + 4 <= len(plain):
        length = int.from_bytes(plain[at + 1 : at + 4], "big")
        if at + 4 + length > len(plain):
            return
        yield plain[at], bytes(plain[at + 4 : at + 4 + length])
        at += 4 + length
