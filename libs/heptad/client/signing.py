"""Signing requests with the clock and the randomness of this process."""

import time
import uuid
from collections.abc import Mapping
from typing import Final

from heptad.crypto.keys import RequestKey
from heptad.crypto.registration import sign_registration
from heptad.crypto.requests import sign_request

LIFETIME_S: Final = 240
"""Below the limit of 300, so that a clock that is a little off does no harm."""


def sign(
    key: RequestKey,
    *,
    subject: str,
    audience: str,
    service: str,
    action: str,
    data: Mapping[str, object],
    jti: str | None = None,
    now_s: int | None = None,
) -> bytes:
    """A signed request as compact JWS, valid for four minutes from now.

    `subject` is the subject's id and `audience` the cell's origin. `jti` is what makes a retry the
    same request: keep it, or the bytes, to send the request again.
    """
    issued_s = int(time.time()) if now_s is None else now_s
    return sign_request(
        key,
        iss=subject,
        aud=audience,
        jti=jti or str(uuid.uuid4()),
        iat=issued_s,
        exp=issued_s + LIFETIME_S,
        svc=service,
        act=action,
        data=data,
    )


def sign_new_subject(
    key: RequestKey, *, audience: str, service: str, now_s: int | None = None
) -> bytes:
    """The registration of this key's owner as a new subject, valid for four minutes."""
    issued_s = int(time.time()) if now_s is None else now_s
    return sign_registration(
        key,
        aud=audience,
        jti=str(uuid.uuid4()),
        iat=issued_s,
        exp=issued_s + LIFETIME_S,
        svc=service,
    )
