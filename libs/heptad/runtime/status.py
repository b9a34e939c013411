"""`Problem` to gRPC status and back, with the same stable codes as HTTP.

The code travels in `google.rpc.ErrorInfo.reason` (domain `heptad`), the field in `BadRequest`, the
waiting time in `RetryInfo`. A status that carries none of them came from gRPC itself or from
a stranger; it is mapped by its canonical code, and its text is not passed on.
"""

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import (
    BadRequest,
    ErrorInfo,
    RetryInfo,
)
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from heptad.model.problems import PROBLEMS, Problem

DOMAIN = "heptad"
DETAILS_KEY = "grpc-status-details-bin"


def status_of(problem: Problem) -> grpc.Status:
    """The gRPC status that says this problem, to be given to `context.abort_with_status`."""
    code = getattr(grpc.StatusCode, problem.kind.grpc.value)
    details = [_packed(ErrorInfo(reason=problem.code, domain=DOMAIN))]
    if problem.field:
        violation = BadRequest.FieldViolation(field=problem.field, description=problem.detail)
        details.append(_packed(BadRequest(field_violations=[violation])))
    if problem.retry_after_s is not None:
        details.append(_packed(RetryInfo(retry_delay=Duration(seconds=problem.retry_after_s))))
    rich = Status(code=code.value[0], message=problem.detail, details=details)
    status: grpc.Status = rpc_status.to_status(rich)
    return status


def problem_of(error: grpc.aio.AioRpcError, *, unavailable: str) -> Problem:
    """The problem that a failed call reports.

    `unavailable` is the code that says that this peer cannot be reached, such as
    `ledger_unavailable`: gRPC's own UNAVAILABLE does not know whom the caller was talking to.
    """
    problem = _rich_problem(error)
    if problem is not None:
        return problem
    status = error.code()
    if status is grpc.StatusCode.UNAVAILABLE:
        return Problem(unavailable, "the connection failed", retry_after_s=1)
    if status is grpc.StatusCode.DEADLINE_EXCEEDED:
        return Problem("deadline_exceeded", "the call did not end in time")
    if status is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return Problem("overloaded", "the peer is at its limit", retry_after_s=1)
    if status in (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED):
        return Problem("role_refused", "the peer refused the call")
    return Problem("internal_error", f"the call failed with {status.name}")


def _rich_problem(error: grpc.aio.AioRpcError) -> Problem | None:
    """The problem in the trailing metadata, if there is one of this domain and table."""
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            try:
                return _read(Status.FromString(value))
            except DecodeError:
                return None
    return None


def _read(status: Status) -> Problem | None:
    code, field, retry_after_s = "", "", None
    for detail in status.details:
        info, bad, retry = ErrorInfo(), BadRequest(), RetryInfo()
        if detail.Unpack(info):
            code = info.reason if info.domain == DOMAIN else ""
        elif detail.Unpack(bad):
            field = bad.field_violations[0].field if bad.field_violations else ""
        elif detail.Unpack(retry):
            retry_after_s = retry.retry_delay.seconds
    if code not in PROBLEMS:
        return None
    return Problem(code, status.message, field=field, retry_after_s=retry_after_s)


def _packed(message: ErrorInfo | BadRequest | RetryInfo) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(message)
    return packed
