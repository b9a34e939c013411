"""A problem leaves as a gRPC status and comes back as the same problem."""

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st

from heptad.model.problems import PROBLEMS, Problem
from heptad.runtime.status import DETAILS_KEY, problem_of, status_of

problems = st.builds(
    Problem,
    st.sampled_from(sorted(PROBLEMS)),
    st.text(max_size=40),
    field=st.sampled_from(["", "iat", "data.size"]),
    retry_after_s=st.none() | st.integers(0, 3_600),
)


def failed_with(status: grpc.Status) -> grpc.aio.AioRpcError:
    metadata = grpc.aio.Metadata(*status.trailing_metadata)
    return grpc.aio.AioRpcError(status.code, grpc.aio.Metadata(), metadata, status.details)


def bare(code: grpc.StatusCode, details: str = "", trailer: bytes | None = None):
    rows = [] if trailer is None else [(DETAILS_KEY, trailer)]
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*rows), details)


@given(problems)
def test_a_problem_survives_the_journey(problem: Problem) -> None:
    back = problem_of(failed_with(status_of(problem)), unavailable="ledger_unavailable")
    assert (back.code, back.detail, back.field, back.retry_after_s) == (
        problem.code,
        problem.detail,
        problem.field,
        problem.retry_after_s,
    )


@pytest.mark.parametrize("code", sorted(PROBLEMS))
def test_each_code_has_its_canonical_status(code: str) -> None:
    assert status_of(Problem(code, "x")).code.name == PROBLEMS[code].grpc.value


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (grpc.StatusCode.UNAVAILABLE, "ledger_unavailable"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "deadline_exceeded"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "overloaded"),
        (grpc.StatusCode.PERMISSION_DENIED, "role_refused"),
        (grpc.StatusCode.UNIMPLEMENTED, "internal_error"),
        (grpc.StatusCode.UNKNOWN, "internal_error"),
    ],
)
def test_a_status_of_grpcs_own_is_mapped_by_its_code(status: grpc.StatusCode, code: str) -> None:
    problem = problem_of(bare(status, "somebody else's text"), unavailable="ledger_unavailable")
    assert problem.code == code
    assert "somebody" not in problem.detail


@pytest.mark.parametrize(
    "trailer",
    [
        b"\xff\xff\xff",
        Status(code=14).SerializeToString(),
        Status(code=14, details=[]).SerializeToString(),
    ],
)
def test_details_that_are_not_ours_are_ignored(trailer: bytes) -> None:
    error = bare(grpc.StatusCode.UNAVAILABLE, "", trailer)
    assert problem_of(error, unavailable="quorum_unavailable").code == "quorum_unavailable"


@pytest.mark.parametrize(
    ("reason", "domain"), [("overloaded", "example.org"), ("no_such_code", "heptad")]
)
def test_a_code_of_another_domain_or_table_is_not_believed(reason: str, domain: str) -> None:
    status = Status(code=14, message="x")
    status.details.add().Pack(ErrorInfo(reason=reason, domain=domain))
    error = bare(grpc.StatusCode.UNAVAILABLE, "x", status.SerializeToString())
    assert problem_of(error, unavailable="quorum_unavailable").code == "quorum_unavailable"
