"""Refusals of requests that add or revoke a subject's keys: rows of `heptad.model.problems`."""

from typing import Final

from heptad.model.problem_kind import GrpcStatus, ProblemKind

DEVICE_KEY_ROWS: Final[tuple[ProblemKind, ...]] = (
    ProblemKind(
        "key_proof_invalid",
        400,
        GrpcStatus.INVALID_ARGUMENT,
        False,
        "The new key does not prove that it belongs to this request",
        "Have the new key sign `iss`, `aud` and `jti` of this very request, and put that JWS into"
        " `data.proof`.",
    ),
    ProblemKind(
        "key_exists",
        409,
        GrpcStatus.ALREADY_EXISTS,
        False,
        "The subject has, or had, this key already",
        "Nothing to do if it is active; make a new key if it was revoked: a revoked one never"
        " comes back.",
    ),
    ProblemKind(
        "key_not_active",
        409,
        GrpcStatus.FAILED_PRECONDITION,
        False,
        "The subject has no active key of the kid that is to be revoked",
        "Nothing to do if it was revoked already; else correct `data.kid`.",
    ),
    ProblemKind(
        "key_last",
        409,
        GrpcStatus.FAILED_PRECONDITION,
        False,
        "The subject's last active key cannot be revoked by the subject",
        "Add another key first; if this one is lost or stolen, ask the cell's officer to revoke"
        " it.",
    ),
    ProblemKind(
        "keys_too_many",
        409,
        GrpcStatus.FAILED_PRECONDITION,
        False,
        "The subject has had as many keys as a subject may have",
        "A subject has at most 64 keys in all its life, revoked ones included: keep to those that"
        " are active.",
    ),
)
