"""The one way from bytes to a protobuf message: garbage is a refusal with a stable code."""

from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from heptad.model.problems import Problem

MessageT = TypeVar("MessageT", bound=Message)


def parse(kind: type[MessageT], data: bytes) -> MessageT:
    """Read `data` as a message of this kind. Raises: Problem `frame_malformed`."""
    message = kind()
    try:
        message.ParseFromString(data)
    except DecodeError:
        name = kind.DESCRIPTOR.name
        raise Problem("frame_malformed", f"{len(data)} bytes are no {name}") from None
    return message
