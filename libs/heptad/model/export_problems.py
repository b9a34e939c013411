"""Refusals of exports: rows of `heptad.model.problems`."""

from typing import Final

from heptad.model.problem_kind import GrpcStatus, ProblemKind

EXPORT_ROWS: Final[tuple[ProblemKind, ...]] = (
    ProblemKind(
        "export_rate_limited",
        429,
        GrpcStatus.RESOURCE_EXHAUSTED,
        True,
        "This subject's data are being exported, or were too often",
        "Wait as `Retry-After` says, then ask again.",
    ),
    ProblemKind(
        "export_too_large",
        413,
        GrpcStatus.FAILED_PRECONDITION,
        False,
        "The archive would be too large",
        "Ask for it in parts: `from_index` in `data` says from which entry on.",
    ),
)
