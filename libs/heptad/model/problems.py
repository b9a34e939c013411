"""The one table of error codes, read by HTTP, gRPC, the docs and `heptad explain` alike.

A code is a promise to the people who program against Heptad: it keeps its meaning for ever, while
the sentences around it may improve. So everything that a caller may branch on stands here, once,
and each door of the system (gateway, validator, ledger, replica) only looks it up.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from heptad.model.device_key_problems import DEVICE_KEY_ROWS
from heptad.model.erasure_problems import ERASURE_ROWS
from heptad.model.export_problems import EXPORT_ROWS
from heptad.model.problem_kind import GrpcStatus, ProblemKind

__all__ = ["PROBLEMS", "GrpcStatus", "Problem", "ProblemKind"]


class Problem(Exception):  # noqa: N818  the field's word (RFC 9457) is "problem", not "error"
    """A refusal with a stable code, on its way to a caller.

    `detail` says what happened in this case, with numbers and without any personal data or payload;
    `field` names the part of the input that is meant; `retry_after_s` is set where waiting helps.
    """

    def __init__(
        self, code: str, detail: str, *, field: str = "", retry_after_s: int | None = None
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.kind = PROBLEMS[code]
        self.detail = detail
        self.field = field
        self.retry_after_s = retry_after_s

    @property
    def code(self) -> str:
        """The stable code."""
        return self.kind.code


_G = GrpcStatus
_RE_SIGN = "Sign a new request and send that."

# In the order in which a request meets them.
_ROWS: Final[tuple[ProblemKind, ...]] = (
    # Size and shape.
    ProblemKind(
        "request_too_large",
        413,
        _G.INVALID_ARGUMENT,
        False,
        "The request is too large",
        "Keep `data` within 8 KiB and the whole JWS within 16 KiB.",
    ),
    ProblemKind(
        "batch_too_large",
        413,
        _G.INVALID_ARGUMENT,
        False,
        "The batch has too many requests",
        "Send at most 1,000 requests and 1 MiB in one call.",
    ),
    ProblemKind(
        "bundle_too_large",
        413,
        _G.INVALID_ARGUMENT,
        False,
        "The bundle is too large",
        "Keep a bundle within 999 events, 16 KiB of payload each and 1 MiB in all; send two.",
    ),
    ProblemKind(
        "media_type_unsupported",
        415,
        _G.INVALID_ARGUMENT,
        False,
        "The body's media type is not the one of this call",
        "Send the Content-Type that the API description names for this call.",
    ),
    ProblemKind(
        "body_malformed",
        400,
        _G.INVALID_ARGUMENT,
        False,
        "The body cannot be read",
        "Send what the API description says for this call.",
    ),
    ProblemKind(
        "jws_malformed",
        400,
        _G.INVALID_ARGUMENT,
        False,
        "The JWS cannot be read",
        "Send a JWS in compact form: three unpadded, canonical base64url parts.",
    ),
    ProblemKind(
        "jws_header_refused",
        400,
        _G.INVALID_ARGUMENT,
        False,
        "The JWS header holds something that is not allowed",
        "The header holds exactly `alg`, `typ` and `kid`, and nothing else.",
    ),
    ProblemKind(
        "algorithm_refused",
        400,
        _G.INVALID_ARGUMENT,
        False,
        "The signature algorithm is not accepted",
        "Sign with ES256 or EdDSA (Ed25519), the one that the registered key has.",
    ),
    ProblemKind(
        "claims_malformed",
        400,
        _G.INVALID_ARGUMENT,
        False,
        "The claims cannot be read",
        "The claims are one JSON object with each name once, in UTF-8.",
    ),
    ProblemKind(
        "claim_missing",
        400,
        _G.INVALID_ARGUMENT,
        False,
        "A claim is missing",
        "Add the claim that `field` names.",
    ),
    ProblemKind(
        "claim_invalid",
        400,
        _G.INVALID_ARGUMENT,
        False,
        "A claim has a wrong value",
        "Correct the claim that `field` names; the list of claims is in the API description.",
    ),
    ProblemKind(
        "audience_mismatch",
        403,
        _G.PERMISSION_DENIED,
        False,
        "The request is meant for another deployment",
        "Set `aud` to this cell's origin, as `GET /v1` shows it, and sign again.",
    ),
    # Freshness.
    ProblemKind(
        "request_expired", 401, _G.UNAUTHENTICATED, False, "The request has expired", _RE_SIGN
    ),
    ProblemKind(
        "request_from_the_future",
        401,
        _G.UNAUTHENTICATED,
        False,
        "The request's time lies in the future",
        "Your clock is ahead: set it right, then sign anew.",
    ),
    ProblemKind(
        "lifetime_too_long",
        400,
        _G.INVALID_ARGUMENT,
        False,
        "The request would be valid for too long",
        "Choose `exp` at most 300 seconds after `iat`.",
    ),
    # Key and signature.
    ProblemKind(
        "key_unknown",
        401,
        _G.UNAUTHENTICATED,
        False,
        "No registered key fits this subject and key id",
        "Register the subject's key first, or correct `iss` and `kid`.",
    ),
    ProblemKind(
        "key_revoked",
        401,
        _G.UNAUTHENTICATED,
        False,
        "The key has been revoked",
        "Sign with a key that is active.",
    ),
    ProblemKind(
        "service_key_retired",
        401,
        _G.UNAUTHENTICATED,
        False,
        "The service's key was retired before this was signed",
        "Sign with the service's current key: `heptad keys` shows which that is.",
    ),
    ProblemKind(
        "signature_invalid",
        401,
        _G.UNAUTHENTICATED,
        False,
        "The signature does not verify",
        "Sign the exact bytes of header and claims with the registered key.",
    ),
    ProblemKind(
        "key_invalid",
        400,
        _G.INVALID_ARGUMENT,
        False,
        "The public key cannot be used",
        "Send a public JWK: Ed25519 (OKP) or P-256 (EC), on its curve, without private parts.",
    ),
    *DEVICE_KEY_ROWS,
    ProblemKind(
        "registration_closed",
        403,
        _G.PERMISSION_DENIED,
        False,
        "Apps may not register subjects here",
        "Let an internal service of this cell register the subject.",
    ),
    # Replay.
    ProblemKind(
        "request_conflict",
        422,
        _G.ALREADY_EXISTS,
        False,
        "Another request with this `jti` is known, with other claims",
        "Take a new `jti` for a new request.",
    ),
    # Bundles.
    ProblemKind(
        "event_invalid",
        400,
        _G.INVALID_ARGUMENT,
        False,
        "An event of the bundle has a wrong value",
        "Correct what `field` names, as `events[3].time_ms`, and sign the bundle again.",
    ),
    ProblemKind(
        "bundle_mismatch",
        400,
        _G.INVALID_ARGUMENT,
        False,
        "The events are not those that the statement was signed over",
        "Send exactly the events that were signed, in their order, each with its own witness.",
    ),
    ProblemKind(
        "event_subject_unknown",
        422,
        _G.FAILED_PRECONDITION,
        False,
        "An event is about a subject that is not registered here",
        "Register the subject of the event that `field` names, or leave the event out.",
    ),
    ProblemKind(
        "service_rate_limited",
        429,
        _G.RESOURCE_EXHAUSTED,
        True,
        "This service has recorded too many events",
        "Wait as `Retry-After` says, then send the same bundle again.",
    ),
    # Policy.
    ProblemKind(
        "service_unknown",
        403,
        _G.PERMISSION_DENIED,
        False,
        "No service of that name is known here",
        "Correct `svc`.",
    ),
    ProblemKind(
        "action_not_allowed",
        403,
        _G.PERMISSION_DENIED,
        False,
        "This service may not ask for this action",
        "Ask for an action that the service's policy allows.",
    ),
    ProblemKind(
        "subject_rate_limited",
        429,
        _G.RESOURCE_EXHAUSTED,
        True,
        "This subject has sent too many requests",
        "Wait as `Retry-After` says.",
    ),
    ProblemKind(
        "client_rate_limited",
        429,
        _G.RESOURCE_EXHAUSTED,
        True,
        "This client has asked for too much",
        "Wait as `Retry-After` says.",
    ),
    # Capacity and dependencies.
    ProblemKind(
        "overloaded",
        503,
        _G.RESOURCE_EXHAUSTED,
        True,
        "The service is at its limit",
        "Wait as `Retry-After` says, then send the same bytes again.",
    ),
    ProblemKind(
        "vault_unavailable",
        503,
        _G.UNAVAILABLE,
        True,
        "The key for this subject cannot be had just now",
        "Send the same bytes again after `Retry-After`.",
    ),
    ProblemKind(
        "quorum_unavailable",
        503,
        _G.UNAVAILABLE,
        True,
        "Too few replicas are up to agree",
        "Send the same bytes again after `Retry-After`; what was sent is not lost.",
    ),
    ProblemKind(
        "validator_unavailable",
        503,
        _G.UNAVAILABLE,
        True,
        "No validator can be reached",
        "Send the same bytes again after `Retry-After`.",
    ),
    ProblemKind(
        "ledger_unavailable",
        503,
        _G.UNAVAILABLE,
        True,
        "The ledger cannot be reached",
        "Ask again after `Retry-After`.",
    ),
    ProblemKind(
        "draining",
        503,
        _G.UNAVAILABLE,
        True,
        "The service is about to stop",
        "Send the same bytes again, to another address if you have one.",
    ),
    ProblemKind(
        "deadline_exceeded",
        504,
        _G.DEADLINE_EXCEEDED,
        True,
        "The answer did not come before the deadline",
        "Ask for the request's status; send the same bytes again if it is unknown.",
    ),
    # Reads.
    ProblemKind(
        "not_found", 404, _G.NOT_FOUND, False, "There is nothing here", "Correct the address."
    ),
    ProblemKind(
        "method_not_allowed",
        405,
        _G.INVALID_ARGUMENT,
        False,
        "This address does not know that method",
        "Use a method that `Allow` names.",
    ),
    ProblemKind(
        "http_malformed",
        400,
        _G.INVALID_ARGUMENT,
        False,
        "The HTTP message cannot be read",
        "Send well-formed HTTP/1.1; a client library does.",
    ),
    ProblemKind(
        "head_too_large",
        431,
        _G.INVALID_ARGUMENT,
        False,
        "The request line or a header is too long",
        "Send fewer and shorter headers: at most 8 KiB each.",
    ),
    ProblemKind(
        "body_timeout",
        408,
        _G.DEADLINE_EXCEEDED,
        True,
        "The body did not arrive in time",
        "Send the same bytes again, over a better connection if you have one.",
    ),
    ProblemKind(
        "request_unknown",
        404,
        _G.NOT_FOUND,
        True,
        "No request with this id is known",
        "Correct the id; a request just sent is known once its batch is under way.",
    ),
    ProblemKind(
        "receipt_pending",
        404,
        _G.NOT_FOUND,
        True,
        "The receipt is not there yet",
        "Ask again after `Retry-After`: it comes with the next checkpoint.",
    ),
    ProblemKind(
        "checkpoint_pending",
        404,
        _G.NOT_FOUND,
        True,
        "No checkpoint has been published yet",
        "Ask again after `Retry-After`.",
    ),
    ProblemKind(
        "index_out_of_range",
        404,
        _G.OUT_OF_RANGE,
        False,
        "The log has no such index or size",
        "Ask within the size of the latest checkpoint.",
    ),
    ProblemKind(
        "parameter_invalid",
        400,
        _G.INVALID_ARGUMENT,
        False,
        "A parameter has a wrong value",
        "Correct the parameter that `field` names.",
    ),
    ProblemKind(
        "page_token_invalid",
        400,
        _G.INVALID_ARGUMENT,
        False,
        "The page token is not of this listing",
        "Repeat filter and order as they were with the page before, or begin without a token.",
    ),
    ProblemKind(
        "watch_too_slow",
        503,
        _G.RESOURCE_EXHAUSTED,
        True,
        "The stream was not read for too long",
        "Watch again from the last index, and read faster or with a narrower filter.",
    ),
    # Erasure.
    *ERASURE_ROWS,
    *EXPORT_ROWS,
    # Between services.
    ProblemKind(
        "role_refused",
        403,
        _G.PERMISSION_DENIED,
        False,
        "The certificate's role may not make this call",
        "Call with a certificate of a role that this call admits.",
    ),
    ProblemKind(
        "cell_mismatch",
        403,
        _G.PERMISSION_DENIED,
        False,
        "The certificate belongs to another cell",
        "Connect to your own cell.",
    ),
    ProblemKind(
        "frame_malformed",
        400,
        _G.INVALID_ARGUMENT,
        False,
        "A stream's frame cannot be read",
        "Send frames as docs/spec describes them.",
    ),
    ProblemKind(
        "batch_invalid",
        400,
        _G.INVALID_ARGUMENT,
        False,
        "A batch is signed, numbered or built wrongly",
        "Send the batch as its format says; its number follows the last one.",
    ),
    ProblemKind(
        "incarnation_stale",
        409,
        _G.FAILED_PRECONDITION,
        False,
        "A newer incarnation of this validator is known",
        "Stop this process: another one has taken over its name.",
    ),
    ProblemKind(
        "internal_error",
        500,
        _G.INTERNAL,
        True,
        "Something broke inside",
        "Report the trace id; sending the same bytes again is safe.",
    ),
)

PROBLEMS: Final[Mapping[str, ProblemKind]] = MappingProxyType({row.code: row for row in _ROWS})
