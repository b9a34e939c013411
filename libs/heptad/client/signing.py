"""Signing requests with the clock and the randomness of this process."""

import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Final

from heptad.crypto import bundles, device_keys
from heptad.crypto.bundles import Bundle, Event
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


def sign_bundle(
    key: RequestKey,
    events: Sequence[Event],
    *,
    audience: str,
    service: str,
    jti: str | None = None,
    now_s: int | None = None,
) -> Bundle:
    """A service's signature over 1 to 999 events, valid for four minutes from now.

    Draws a witness for each event: keep the bundle to send the very same again.
    """
    issued_s = int(time.time()) if now_s is None else now_s
    return bundles.sign_bundle(
        key,
        events,
        iss=service,
        aud=audience,
        jti=jti or str(uuid.uuid4()),
        iat=issued_s,
        exp=issued_s + LIFETIME_S,
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


def sign_added_key(
    key: RequestKey,
    new_key: RequestKey,
    *,
    subject: str,
    audience: str,
    jti: str | None = None,
    now_s: int | None = None,
) -> bytes:
    """The request by which a subject's `key` adds `new_key`, with the new key's own proof.

    Keep the bytes to send it again: a proof that was signed anew makes it another request.
    """
    issued_s = int(time.time()) if now_s is None else now_s
    return device_keys.sign_key_addition(
        key,
        new_key,
        iss=subject,
        aud=audience,
        jti=jti or str(uuid.uuid4()),
        iat=issued_s,
        exp=issued_s + LIFETIME_S,
    )


def sign_revoked_key(
    key: RequestKey,
    *,
    kid: str,
    subject: str,
    audience: str,
    jti: str | None = None,
    now_s: int | None = None,
) -> bytes:
    """The request by which a subject's `key` revokes the one of thumbprint `kid`; maybe itself."""
    issued_s = int(time.time()) if now_s is None else now_s
    return device_keys.sign_key_revocation(
        key,
        kid=kid,
        iss=subject,
        aud=audience,
        jti=jti or str(uuid.uuid4()),
        iat=issued_s,
        exp=issued_s + LIFETIME_S,
    )
