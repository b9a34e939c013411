"""Refusals around the erasure of subjects: rows of `heptad.model.problems`."""

from typing import Final

from heptad.model.problem_kind import GrpcStatus, ProblemKind

ERASURE_ROWS: Final[tuple[ProblemKind, ...]] = (
    ProblemKind(
        "authorization_missing",
        401,
        GrpcStatus.UNAUTHENTICATED,
        False,
        "The call has to be signed by its subject",
        "Send `Authorization: Heptad <JWS>`: a signed request with `svc` heptad whose `act` is the"
        " call.",
    ),
    ProblemKind(
        "subject_erased",
        410,
        GrpcStatus.FAILED_PRECONDITION,
        False,
        "The subject is erased, or is about to be",
        "Nothing more is recorded for it, and its id does not come back. Ask for its certificate;"
        " register anew to go on.",
    ),
    ProblemKind(
        "subject_unknown",
        404,
        GrpcStatus.NOT_FOUND,
        False,
        "No subject of that id is registered here",
        "Correct the subject's id.",
    ),
    ProblemKind(
        "subject_on_hold",
        409,
        GrpcStatus.FAILED_PRECONDITION,
        False,
        "The subject's data are kept on a legal ground",
        "Lift the hold first, if its ground has gone; until then requests are refused with it.",
    ),
    ProblemKind(
        "hold_unknown",
        404,
        GrpcStatus.NOT_FOUND,
        False,
        "The subject has no hold on that ground",
        "Correct the ground.",
    ),
    ProblemKind(
        "erasure_unknown",
        404,
        GrpcStatus.NOT_FOUND,
        True,
        "No erasure is known by that name",
        "Correct the id; what was asked for just now is known a moment after it is recorded.",
    ),
    ProblemKind(
        "erasure_decided",
        409,
        GrpcStatus.FAILED_PRECONDITION,
        False,
        "There is nothing left to decide",
        "Ask how the erasure stands: it is ordered, done or refused.",
    ),
    ProblemKind(
        "erasure_refused",
        409,
        GrpcStatus.FAILED_PRECONDITION,
        False,
        "The erasure was refused",
        "Its ground stands in the log and in the erasure's status. Who was refused may complain to"
        " a supervisory authority.",
    ),
    ProblemKind(
        "certificate_pending",
        404,
        GrpcStatus.NOT_FOUND,
        True,
        "The certificate is not there yet",
        "Ask again after `Retry-After`; how the erasure stands says what it waits for.",
    ),
)
