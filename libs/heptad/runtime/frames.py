"""Hot streams without protobuf objects.

The protos declare the messages of hot streams as `message …Request { bytes body = 1; }`. On the
wire this is a tag, a length and the bytes, which is written and read here directly: any gRPC client
can still speak to us with generated stubs, while our own ends never build a message object.
"""

from typing import Final

from heptad.model.problems import Problem

_TAG: Final = b"\x0a"
_VARINT_BYTES_MAX: Final = 5


def frame_to_wire(body: bytes) -> bytes:
    """The protobuf message whose field 1 is `body`; an empty body is an empty message (proto3)."""
    if not body:
        return b""
    rest = len(body)
    if rest < 0x80:
        return b"\x0a%c%b" % (rest, body)
    length = bytearray()
    while rest >= 0x80:
        length.append(rest & 0x7F | 0x80)
        rest >>= 7
    length.append(rest)
    return b"".join((_TAG, length, body))


def frame_from_wire(message: bytes) -> bytes:
    """The body of such a message, which must be written as `frame_to_wire` writes it.

    Raises: Problem `frame_malformed`.
    """
    if not message:
        return b""
    if message[0] != _TAG[0]:
        raise _malformed("it does not begin with field 1")
    length, shift, at = 0, 0, 1
    while True:
        if at >= len(message) or at > _VARINT_BYTES_MAX:
            raise _malformed("its length does not end")
        byte = message[at]
        length |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            break
        shift += 7
    if byte == 0:
        raise _malformed("its length is not in shortest form")
    if length != len(message) - at:
        raise _malformed(f"it announces {length} bytes and has {len(message) - at}")
    return message[at:]


def _malformed(reason: str) -> Problem:
    return Problem("frame_malformed", f"a message of a stream cannot be read: {reason}")
