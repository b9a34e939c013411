"""What a row of the table of refusals (`heptad.model.problems`) holds."""

from dataclasses import dataclass
from enum import Enum


class GrpcStatus(Enum):
    """The canonical gRPC status names that Heptad answers with."""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    OUT_OF_RANGE = "OUT_OF_RANGE"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    UNAVAILABLE = "UNAVAILABLE"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    INTERNAL = "INTERNAL"


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """One row of the table.

    `http` is the status of the HTTP answer, `grpc` the status of the gRPC one. `retry` says whether
    the same bytes may succeed later; `advice` tells a caller what to do.
    """

    code: str
    http: int
    grpc: GrpcStatus
    retry: bool
    title: str
    advice: str
