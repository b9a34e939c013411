"""Replay: one `jti` of a subject stands for one request, however often it comes."""

from heptad.model.problems import Problem


def check_same_request(*, claims_digest: bytes, known_claims_digest: bytes) -> None:
    """Refuse a request whose id is known with other claims (digests of 32 bytes).

    Raises: Problem `request_conflict`.
    """
    if claims_digest != known_claims_digest:
        raise Problem("request_conflict", "this jti is taken by another request", field="jti")
