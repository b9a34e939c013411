"""A service's signature over many events: the statement, the root, and the making of both.

The statement is a compact JWS of a type of its own, under the same header rules as a request. It
names how many events there are and the root of the tree of their leaves (`heptad.model.bundles`);
the events themselves travel beside it, because the log keeps the statement in public.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from heptad.crypto import strict_json
from heptad.crypto.claims import AUD, JTI, Shape, lifetime, read_claims, text, whole_number
from heptad.crypto.errors import ClaimInvalidError, ServiceKeyRetiredError
from heptad.crypto.jwk import PublicKey
from heptad.crypto.jws import parse_compact, sign_compact, verify_signature
from heptad.crypto.keys import RequestKey
from heptad.crypto.sealing import commitment, new_witness
from heptad.crypto.signatures import Algorithm
from heptad.model import base64url
from heptad.model.bundles import (
    EVENTS_MAX,
    STATEMENT_BYTES_MAX,
    PrivateEvent,
    PublicEvent,
    event_leaves,
    private_half,
)
from heptad.model.entry import Outcome
from heptad.model.requests import RequestId, request_id
from heptad.transparency.merkle import CompactRange, leaf_hashes, node_hash

BUNDLE_TYP: Final = "heptad-bundle+jws"

_CLAIMS_DOMAIN: Final = b"heptad/v1/bundle-claims\0"
_NAMES: Final = dict.fromkeys(("iss", "aud", "jti", "iat", "exp", "root", "count"))
_ISS: Final = Shape(
    re.compile(r"[a-z][a-z0-9-]{0,62}"), "1 to 63 lower-case letters, digits and dashes"
)
_ROOT: Final = Shape(
    re.compile(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]"), "32 bytes in canonical base64url"
)


@dataclass(frozen=True, slots=True)
class SignedBundle:
    """A statement whose bytes are in order; its signature has not been verified.

    `iss` is the service, `root` has 32 bytes, `count` is from 1 to 999. `iat` and `exp` are seconds
    since 1970, `exp` after `iat`. `raw` is the whole JWS as received.
    """

    iss: str
    aud: str
    jti: str
    iat: int
    exp: int
    root: bytes
    count: int
    algorithm: Algorithm
    kid: str
    signing_input: bytes
    signature: bytes
    raw: bytes

    @property
    def request_id(self) -> RequestId:
        """The bundle's public handle: like a request's, from `iss` and `jti`."""
        return request_id(iss=self.iss, jti=self.jti)


@dataclass(frozen=True, slots=True)
class ServiceKey:
    """A public key with which a service signs bundles, and until when: None for no end.

    A statement counts by the time that it was *signed* at, so that a bundle under way when its key
    is retired is still taken. Who steals a retired key can date a statement back, but its entry's
    time is the validator's: `entered_s` is the latest at which an honest one admits what was signed
    before `retired_s`. Both are seconds since 1970, and excluded.
    """

    public: PublicKey
    retired_s: int | None = None
    entered_s: int | None = None

    def require_in_use(self, signed_s: int) -> None:
        """Do nothing if it was in use at that time. Raises: ServiceKeyRetiredError."""
        if self.retired_s is not None and signed_s >= self.retired_s:
            detail = f"signed at {signed_s}, the key was retired at {self.retired_s}"
            raise ServiceKeyRetiredError(detail, field="kid")

    def require_entered_in_time(self, entered_ms: int) -> None:
        """Do nothing if an entry of that time may hold its signature.

        Raises: ServiceKeyRetiredError.
        """
        if self.entered_s is not None and entered_ms >= self.entered_s * 1000:
            detail = f"recorded at {entered_ms} ms, the key was retired at {self.retired_s} s"
            raise ServiceKeyRetiredError(detail, field="kid")


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a service did, before it is bundled; see `PrivateEvent`."""

    subject: str
    action: str
    payload: bytes = field(repr=False)
    time_ms: int
    outcome: Outcome = Outcome.ALLOWED


@dataclass(frozen=True, slots=True)
class Bundle:
    """A statement and its events: all that a validator needs, and the service keeps.

    The same value sent again is the same bundle.
    """

    statement: bytes
    events: tuple[PrivateEvent, ...]


def parse_statement(raw: bytes) -> SignedBundle:
    """The statement that `raw`, a compact JWS, spells.

    Raises: RequestTooLargeError, JwsMalformedError, JwsHeaderRefusedError, AlgorithmRefusedError,
    ClaimsMalformedError, ClaimMissingError, ClaimInvalidError, in this order.
    """
    jws = parse_compact(raw, typ=BUNDLE_TYP, bytes_max=STATEMENT_BYTES_MAX)
    claims = read_claims(jws.payload, names=_NAMES)
    iat, exp = lifetime(claims)
    count = whole_number(claims, "count")
    if not 1 <= count <= EVENTS_MAX:
        raise ClaimInvalidError(f"count is not in 1..{EVENTS_MAX}", field="count")
    return SignedBundle(
        iss=text(claims, "iss", _ISS),
        aud=text(claims, "aud", AUD),
        jti=text(claims, "jti", JTI),
        iat=iat,
        exp=exp,
        root=base64url.decode(text(claims, "root", _ROOT)),
        count=count,
        algorithm=jws.algorithm,
        kid=jws.kid,
        signing_input=jws.signing_input,
        signature=jws.signature,
        raw=raw,
    )


def verify_statement(statement: SignedBundle, key: PublicKey) -> None:
    """Prove that the service's `key` signed the statement.

    Raises: AlgorithmRefusedError, SignatureInvalidError.
    """
    verify_signature(
        key,
        algorithm=statement.algorithm,
        signing_input=statement.signing_input,
        signature=statement.signature,
    )


def bundle_digest(statement: SignedBundle) -> bytes:
    """32 bytes that are equal for two statements iff all claims but `iat` and `exp` are equal."""
    claims = {
        "iss": statement.iss,
        "aud": statement.aud,
        "jti": statement.jti,
        "root": base64url.encode(statement.root),
        "count": statement.count,
    }
    return hashlib.sha256(_CLAIMS_DOMAIN + strict_json.encode(claims)).digest()


def public_events(events: Iterable[PrivateEvent]) -> list[PublicEvent]:
    """What everybody will see of these events, each with its commitment, computed here."""
    return [
        PublicEvent(
            event.action,
            event.outcome,
            event.time_ms,
            commitment(
                witness=event.witness,
                payload=private_half(subject=event.subject, payload=event.payload),
            ),
        )
        for event in events
    ]


def bundle_root(leaves: Sequence[bytes]) -> bytes:
    """The RFC 6962 root over `event_leaves`, 32 bytes."""
    return CompactRange.empty().extended(leaf_hashes(leaves)).root()


def membership_path(leaves: Sequence[bytes], place: int) -> tuple[bytes, ...]:
    """What proves leaf `place` (from 0) to be in the tree of `bundle_root`, from the leaf upwards.

    Source: RFC 9162, section 2.1.3.1; a bundle's tree is small enough to be made anew.
    """
    path: list[bytes] = []
    nodes = leaf_hashes(leaves)
    while len(nodes) > 1:
        sibling = place ^ 1
        if sibling < len(nodes):
            path.append(nodes[sibling])
        # The last of an odd number has no sibling at this height: it rises as it is.
        rising = nodes[len(nodes) & ~1 :]
        nodes = [*map(node_hash, nodes[::2], nodes[1::2]), *rising]
        place >>= 1
    return tuple(path)


def sign_bundle(
    key: RequestKey,
    events: Sequence[Event],
    *,
    iss: str,
    aud: str,
    jti: str,
    iat: int,
    exp: int,
    entropy: Callable[[int], bytes] = os.urandom,
) -> Bundle:
    """Draw a witness for each event, commit, and sign them all as service `iss`.

    `iat` and `exp` are seconds; `jti` is a UUID in canonical lower case. 1 to 999 events.
    Raises: ValueError for another number of them.
    """
    if not 1 <= len(events) <= EVENTS_MAX:
        raise ValueError(f"a bundle has 1 to {EVENTS_MAX} events, not {len(events)}")
    private = tuple(
        PrivateEvent(
            subject=event.subject,
            action=event.action,
            outcome=event.outcome,
            time_ms=event.time_ms,
            witness=new_witness(entropy),
            payload=event.payload,
        )
        for event in events
    )
    root = bundle_root(event_leaves(public_events(private), service=iss))
    return Bundle(
        sign_statement(
            key, iss=iss, aud=aud, jti=jti, iat=iat, exp=exp, root=root, count=len(private)
        ),
        private,
    )


def sign_statement(
    key: RequestKey,
    *,
    iss: str,
    aud: str,
    jti: str,
    iat: int,
    exp: int,
    root: bytes,
    count: int,
) -> bytes:
    """A statement as compact JWS, in ASCII; `root` has 32 bytes."""
    claims = {
        "iss": iss,
        "aud": aud,
        "jti": jti,
        "iat": iat,
        "exp": exp,
        "root": base64url.encode(root),
        "count": count,
    }
    return sign_compact(key, strict_json.encode(claims), typ=BUNDLE_TYP)
