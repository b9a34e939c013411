"""On whose word personal data go out: what the ledger itself proves before it opens anything.

A gateway brings a subject's signed request, and is not believed. For an export the ledger looks for
that request in the log, opens its record under the subject's own key, and verifies the signature by
a key that the registry has for that subject and that is not revoked; so neither a gateway nor a
validator can get at anybody's data by making requests up. For a single receipt, which leaves no
entry, the request itself is verified in the same way, and must be fresh.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from heptad.crypto.derivation import request_ref
from heptad.crypto.errors import SealBrokenError
from heptad.crypto.requests import SignedRequest, claims_digest, parse_request, verify_request
from heptad.crypto.sealing import Opened, open_stored
from heptad.model import base64url
from heptad.model.canonical import MalformedError
from heptad.model.entry import Kind, Outcome
from heptad.model.own_actions import EXPORT, LIST_KEYS, OWN_SERVICE, RECEIPT
from heptad.model.problems import Problem
from heptad.wire.convert.entry import decode_entry
from heptad_ledger.privacy.key_changes import stored_key
from heptad_ledger.registry import Registry, Subject
from heptad_ledger.store import LogStore, Snapshot

GRACE_S: Final = 300
"""For how long after its `exp` a recorded request still opens an export: for a download that broke
off, as the same request can be sent again only until then."""

CATCH_UP_S_MAX: Final = 4.0

PATIENCE_S: Final = 2.0
"""How long a request may be known to a validator, by the word of f + 1 replicas, and not yet to as
many links of this ledger: what is committed reaches each of them by its own way."""

_PAUSE_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Terms:
    """What the cell asks of requests, as validators do; seconds."""

    origin: str
    skew_s_max: int
    lifetime_s_max: int


@dataclass(frozen=True, slots=True)
class Asked:
    """A subject has asked, and it is proved: by the entry at `own_index`."""

    subject: Subject = field(repr=False)
    own_index: int
    from_index: int


class Authority:
    """Proves subjects' requests. `now_s` is the wall clock."""

    def __init__(
        self,
        *,
        store: LogStore,
        registry: Registry,
        index_key: Callable[[], bytes],
        terms: Terms,
        catch_up: Callable[[float], Awaitable[bool]],
        require_settled: Callable[[], None],
        now_s: Callable[[], int],
        patience_s: float = PATIENCE_S,
    ) -> None:
        """`catch_up` waits, so many seconds at most, until what is committed now is applied.

        `require_settled` raises a Problem while keys may be here that were to be destroyed.
        """
        self._store = store
        self._registry = registry
        self._index_key = index_key
        self._terms = terms
        self._catch_up = catch_up
        self._require_settled = require_settled
        self._now_s = now_s
        self._patience_s = patience_s

    async def exporting(self, jws: bytes) -> Asked:
        """The subject who asks for its data by this request, which must be in the log.

        Raises: Problem, `request_unknown` if it is not.
        """
        request = self._read(jws, EXPORT)
        if request.exp + GRACE_S < self._now_s():
            raise Problem("request_expired", "the request is too old", field="exp")
        from_index = _from_index(request)
        loop = asyncio.get_running_loop()
        give_up_s = loop.time() + self._patience_s
        while True:
            if not await self._catch_up(CATCH_UP_S_MAX):
                detail = "the ledger is behind the replicas"
                raise Problem("ledger_unavailable", detail, retry_after_s=1)
            try:
                with self._store.snapshot() as snapshot:
                    subject = self.subject(request.iss, snapshot)
                    index = self._recorded(request, subject, snapshot)
                return Asked(subject, index, from_index)
            except Problem as problem:
                if problem.code != "request_unknown" or loop.time() + _PAUSE_S > give_up_s:
                    raise
            await asyncio.sleep(_PAUSE_S)

    def opening(self, jws: bytes, request_id: bytes, event: int | None) -> Subject:
        """The subject who asks for that receipt by this request, which is proved here.

        Raises: Problem.
        """
        request = self._read(jws, RECEIPT)
        self._require_fresh(request)
        wanted: dict[str, object] = {"request_id": base64url.encode(request_id)}
        if event is not None:
            wanted["event"] = event
        if request.data != wanted:
            raise Problem("claim_invalid", "data names another receipt", field="data")
        return self._signer(request)

    def listing_keys(self, jws: bytes) -> Subject:
        """The subject who asks for its own keys by this request, which is proved here.

        Raises: Problem.
        """
        request = self._read(jws, LIST_KEYS)
        self._require_fresh(request)
        return self._signer(request)

    def subject(self, subject_id: str, snapshot: Snapshot) -> Subject:
        """A registered subject. Raises: Problem `subject_unknown`, `subject_erased`, and until a
        restored ledger owes no erasures, `vault_unavailable`."""
        self._require_settled()
        found = self._registry.find(snapshot, subject_id)
        if found is None:
            if self.is_erased(subject_id, snapshot):
                raise Problem("subject_erased", "nothing is held about it any more")
            raise Problem("subject_unknown", "nobody is registered under this id")
        return found

    def _signer(self, request: SignedRequest) -> Subject:
        """The subject, once it is proved that it has signed the request. Raises: Problem."""
        with self._store.snapshot() as snapshot:
            subject = self.subject(request.iss, snapshot)
            self._verify(request, subject, snapshot)
        return subject

    def is_erased(self, subject_id: str, snapshot: Snapshot) -> bool:
        """Whether the subject of that id was erased."""
        self._require_settled()
        return self._registry.erased(snapshot, subject_id) is not None

    def _read(self, jws: bytes, action: str) -> SignedRequest:
        request = parse_request(jws)
        if request.aud != self._terms.origin:
            raise Problem("audience_mismatch", "aud is another cell", field="aud")
        for name, said, wanted in (
            ("svc", request.svc, OWN_SERVICE),
            ("act", request.act, action),
        ):
            if said != wanted:
                raise Problem("claim_invalid", f"{name} of this call is {wanted}", field=name)
        return request

    def _recorded(self, request: SignedRequest, subject: Subject, snapshot: Snapshot) -> int:
        """Where the log has the request, once it is proved that the subject made it."""
        reference = request_ref(cell_index_key=self._index_key(), request_id=request.request_id)
        index = snapshot.request(reference)
        opened = None if index is None else _opened(index, subject, snapshot)
        if index is None or opened is None:
            raise Problem("request_unknown", "the log has no such request", retry_after_s=1)
        try:
            entry = decode_entry(snapshot.entry(index))
        except MalformedError:
            raise Problem("request_unknown", "the log has no such request") from None
        if entry.kind is not Kind.EXPORT or entry.outcome is not Outcome.ALLOWED:
            raise Problem("action_not_allowed", "the request was not admitted as an export")
        recorded = parse_request(opened.payload)
        if claims_digest(recorded) != claims_digest(request):
            raise Problem("request_conflict", "the log has another request of this name")
        self._verify(recorded, subject, snapshot)
        return index

    @staticmethod
    def _verify(request: SignedRequest, subject: Subject, snapshot: Snapshot) -> None:
        """By an active key of the subject. Raises: Problem."""
        for row in subject.keys:
            if row.kid == request.kid:
                if row.revoked:
                    raise Problem("key_revoked", "the subject has revoked this key", field="kid")
                verify_request(request, stored_key(snapshot, row, slot_key=subject.slot_key))
                return
        raise Problem("key_unknown", "the subject has no key of this kid", field="kid")

    def _require_fresh(self, request: SignedRequest) -> None:
        now_s, skew_s = self._now_s(), self._terms.skew_s_max
        if request.exp - request.iat > self._terms.lifetime_s_max:
            detail = f"at most {self._terms.lifetime_s_max} s are allowed"
            raise Problem("lifetime_too_long", detail, field="exp")
        if request.exp + skew_s < now_s:
            detail = f"exp lies {now_s - request.exp} s in the past"
            raise Problem("request_expired", detail, field="exp")
        if request.iat - skew_s > now_s:
            detail = f"iat lies {request.iat - now_s} s in the future"
            raise Problem("request_from_the_future", detail, field="iat")


def _opened(index: int, subject: Subject, snapshot: Snapshot) -> Opened | None:
    """The record of an entry, if it is one of this subject's."""
    stored = snapshot.sealed(index)
    if stored is None:
        return None
    entry = snapshot.entry(index)
    try:
        return open_stored(stored, entry=entry, entry_index=index, slot_key=subject.slot_key)
    except SealBrokenError:
        return None


def _from_index(request: SignedRequest) -> int:
    """Which part is asked for, if not all. Raises: Problem `claim_invalid`."""
    value = request.data.get("from_index", 0)
    if request.data.keys() - {"from_index"} or type(value) is not int or not 0 <= value < 1 << 63:
        detail = "data of an export is empty, or holds from_index, a number"
        raise Problem("claim_invalid", detail, field="data")
    return value
