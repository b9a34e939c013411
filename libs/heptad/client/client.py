"""The client of a cell for services and apps that hold a certificate.

It speaks gRPC over mutual TLS, keeps one stream to each validator, and judges every receipt by the
policy in its own profile before it hands it on. Sending one request again is always safe, so
`submit` does so by itself while the cell says that it is only short of something.
"""

import asyncio
import time
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

import grpc

from heptad.client import signing
from heptad.client.calls import RETRYING, LedgerReader, Terms, ValidatorCalls
from heptad.client.erasures import CERTIFICATE_S_MAX, await_certificate
from heptad.client.peek import issuer_of
from heptad.client.privacy_calls import PrivacyCalls
from heptad.client.standing import Standing, find_standing
from heptad.client.submission import Submitter
from heptad.client.watching import follow
from heptad.crypto.bundles import Bundle, Event, ServiceKey, parse_statement
from heptad.crypto.keys import RequestKey, load_key
from heptad.model import base64url
from heptad.model.answers import BundleRecorded, Recorded, Registered, Wait
from heptad.model.bundles import private_half
from heptad.model.erasing import Erasure
from heptad.model.erasure import ErasureGround
from heptad.model.own_actions import ERASE, OWN_SERVICE
from heptad.model.problems import Problem
from heptad.model.queries import EntryFilter, EntryQuery, WatchedEntries
from heptad.runtime.channels import open_channel
from heptad.runtime.config import Endpoint, Profile, load_profile
from heptad.runtime.tls import load_tls
from heptad.transparency.checkpoint import Checkpoint
from heptad.transparency.notes import Note
from heptad.transparency.policy import Policy
from heptad.transparency.receipt import Receipt
from heptad.verification import (
    BundleFile,
    CertificateFile,
    ReceiptFile,
    ReceiptReport,
    examine_bundle_file,
    examine_signed,
    has_bundle,
    verify_receipt_file,
)
from heptad.wire.convert.entry import decode_entry

ResultT = TypeVar("ResultT")

DEADLINE_S: Final = 10.0
COALESCE_S: Final = 0.002
IN_FLIGHT_MAX: Final = 4_000
_CONNECT_S_MAX: Final = 5.0
_RECEIPT_PAUSE_S: Final = 0.1
_PAGE_SIZE: Final = 1_000
_NOT_YET: Final = frozenset({"receipt_pending", "checkpoint_pending", "request_unknown"})


def connect(profile: Path | str) -> "Client":
    """The client of the profile in this folder, to be used in `async with`.

    Raises: heptad.runtime.errors.ConfigInvalidError, OSError, for a profile that cannot be used.
    """
    folder = Path(profile)
    return Client(load_profile(folder), folder)


class Client:
    """A connection to one cell. Refusals and failures of calls are raised as `Problem`."""

    def __init__(self, profile: Profile, folder: Path) -> None:
        """Read the profile's files; connects in `async with`."""
        self.profile = profile
        self.policy = Policy.parse((folder / profile.policy).read_bytes())
        self.signing_key: RequestKey | None = (
            load_key(folder / profile.signing_key) if profile.signing_key else None
        )
        self._tls = load_tls(
            ca=folder / profile.ca,
            certificate=folder / profile.certificate,
            key=folder / profile.key,
        )

    async def __aenter__(self) -> Self:
        """Connect; returns once a first validator answers.

        Raises: Problem `validator_unavailable`.
        """
        self.channels = {peer.id: self._channel(peer) for peer in self.profile.validators}
        """The raw gRPC channels to the validators, by member id, for generated stubs."""
        self.ledger_channel = self._channel(self.profile.ledger, RETRYING)
        """The raw gRPC channel to the ledger."""
        by_number = {int(name.rpartition("-")[2]): c for name, c in self.channels.items()}
        self.ledger = LedgerReader(self.ledger_channel)
        self.privacy = PrivacyCalls(self.ledger_channel)
        self.validators = ValidatorCalls(by_number)
        self._submitter = Submitter(
            by_number, coalesce_s=COALESCE_S, deadline_s=DEADLINE_S, in_flight_max=IN_FLIGHT_MAX
        )
        await self._submitter.__aenter__()
        try:
            await self._submitter.wait_ready(_CONNECT_S_MAX)
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close all connections."""
        await self.close()

    async def close(self) -> None:
        """Close all connections; what is under way is answered with `draining`."""
        await self._submitter.__aexit__(None, None, None)
        for channel in (*self.channels.values(), self.ledger_channel):
            await channel.close()

    def sign(
        self,
        *,
        subject: str,
        action: str,
        data: Mapping[str, object],
        key: RequestKey | None = None,
        service: str | None = None,
    ) -> bytes:
        """A signed request for this cell; by default with the profile's key and service."""
        return signing.sign(
            self._key(key),
            subject=subject,
            audience=self.profile.origin,
            service=service or self.profile.name,
            action=action,
            data=data,
        )

    async def register(
        self, key: RequestKey | None = None, *, service: str | None = None
    ) -> Registered:
        """Register the owner of this key as a new subject."""
        jws = signing.sign_new_subject(
            self._key(key),
            audience=self.profile.origin,
            service=service or self.profile.name,
        )
        return await self.register_signed(jws)

    async def register_signed(self, registration: bytes) -> Registered:
        """Register a subject whose app has signed its registration itself."""
        return await self.validators.register(
            registration, iss=issuer_of(registration), terms=TERMS
        )

    async def submit(self, request: bytes, *, wait: Wait = Wait.COMMITTED) -> Recorded:
        """Record one signed request; the answer says whether it is committed yet, and its index.

        A denial by policy is recorded too, and is an answer: look at `outcome`. While the cell says
        that it is short of something, the same bytes are sent again, for ten seconds in all.
        """

        async def attempt() -> Recorded:
            outcome = await self._submitter.submit(request, iss=issuer_of(request), wait=wait)
            if isinstance(outcome, Problem):
                raise outcome
            return outcome

        return await _patiently(attempt)

    async def add_key(
        self, new_key: RequestKey, *, subject: str, key: RequestKey | None = None
    ) -> Recorded:
        """Add a key to a subject who has `key`. From the commit on it signs requests of hers."""
        request = signing.sign_added_key(
            self._key(key), new_key, subject=subject, audience=self.profile.origin
        )
        return await self.submit(request)

    async def revoke_key(
        self, kid: str, *, subject: str, key: RequestKey | None = None
    ) -> Recorded:
        """Revoke the subject's key of that thumbprint, by another of hers or by itself."""
        request = signing.sign_revoked_key(
            self._key(key), kid=kid, subject=subject, audience=self.profile.origin
        )
        return await self.submit(request)

    def sign_bundle(
        self,
        events: Sequence[Event],
        *,
        key: RequestKey | None = None,
        service: str | None = None,
        jti: str | None = None,
    ) -> Bundle:
        """Sign 1 to 999 events as one bundle; by default with the profile's key and service."""
        return signing.sign_bundle(
            self._key(key),
            events,
            audience=self.profile.origin,
            service=service or self.profile.name,
            jti=jti,
        )

    async def submit_bundle(
        self, events: Sequence[Event] | Bundle, *, wait: Wait = Wait.COMMITTED
    ) -> BundleRecorded:
        """Record events under one signature of this service: all of them, or none.

        Give a `Bundle` of `sign_bundle` and keep it, to be able to send it again after a failure:
        the same bundle is recorded once. While the cell says that it is short of something, it is
        sent again by itself, for ten seconds in all.
        """
        bundle = events if isinstance(events, Bundle) else self.sign_bundle(events)
        iss = parse_statement(bundle.statement).iss

        async def attempt() -> BundleRecorded:
            return await self.validators.submit_bundle(bundle, iss=iss, wait=wait, terms=TERMS)

        return await _patiently(attempt)

    async def submit_many(
        self, requests: Iterable[bytes], *, wait: Wait = Wait.COMMITTED
    ) -> AsyncIterator[Recorded | Problem]:
        """Record many requests; the answers come in their order, refusals as values.

        Up to 4,000 are under way at a time; `requests` is read only as fast as they are answered.
        """
        under_way: deque[asyncio.Future[Recorded | Problem]] = deque()
        for request in requests:
            if len(under_way) >= IN_FLIGHT_MAX // 2:
                yield await under_way.popleft()
            under_way.append(self._submitter.submit(request, iss=issuer_of(request), wait=wait))
        while under_way:
            yield await under_way.popleft()

    async def status(self, request_id: bytes | str, *, exp_s: int = 0) -> Standing:
        """How far a request has come; INVALID only for who gives its `exp` (seconds)."""
        return await find_standing(
            _id_bytes(request_id),
            ledger=self.ledger,
            validators=self.validators,
            terms=TERMS,
            exp_s=exp_s,
        )

    async def receipt(
        self,
        request_id: bytes | str,
        *,
        event: int | None = None,
        wait_s: float = DEADLINE_S,
    ) -> ReceiptFile:
        """The receipt of a request or of a bundle's own entry, or of one of its events (from 0).

        Proved by the profile's policy. Waits up to `wait_s` for the checkpoint that covers it.
        Raises: Problem `receipt_pending`, `request_unknown`; ReceiptRefusedError.
        """
        loop = asyncio.get_running_loop()
        give_up_s = loop.time() + wait_s
        while True:
            try:
                found = await self.ledger.receipt(_id_bytes(request_id), event, terms=TERMS)
                break
            except Problem as problem:
                if problem.code not in _NOT_YET or loop.time() + _RECEIPT_PAUSE_S > give_up_s:
                    raise
            await asyncio.sleep(_RECEIPT_PAUSE_S)
        file = ReceiptFile(found.entry, Receipt.parse(found.proof), bundle=found.bundle)
        self.verify(file)
        return file

    def watch(self, wanted: EntryFilter) -> AsyncGenerator[WatchedEntries, None]:
        """The log's entries from `start_index` on, as checkpoints are published.

        See `heptad.client.follow`; what a ledger says of entries is proved by their hashes only.
        """
        return follow(self.ledger, wanted, terms=TERMS)

    async def erase(
        self, *, subject: str, key: RequestKey, ground: ErasureGround | None = None
    ) -> Recorded:
        """Ask for the erasure of all of a subject's data, signed by the subject's own key.

        Follow it by the answer's `request_id`. Raises: Problem `subject_erased` for one that is
        erased already, and as `submit`.
        """
        data = {"ground": ground.value} if ground is not None else {}
        request = self.sign(subject=subject, service=OWN_SERVICE, action=ERASE, data=data, key=key)
        return await self.submit(request)

    async def erasure(self, request_id: bytes | str) -> Erasure:
        """How an erasure stands. Raises: Problem `erasure_unknown`, also in its first moment."""
        return await self.privacy.erasure(_id_bytes(request_id), terms=TERMS)

    async def certificate(
        self, request_id: bytes | str, *, wait_s: float = CERTIFICATE_S_MAX
    ) -> CertificateFile:
        """The certificate of an erasure, once it is there, judged by the profile's policy.

        Raises: Problem `certificate_pending`, `erasure_refused`; ReceiptRefusedError.
        """
        return await await_certificate(
            self.privacy, _id_bytes(request_id), policy=self.policy, wait_s=wait_s
        )

    async def event_receipt(
        self, bundle: Bundle, event: int, *, wait_s: float = DEADLINE_S
    ) -> ReceiptFile:
        """The receipt of one of a bundle's events (from 0), with its private half: for the subject.

        Raises: as `receipt`; ReceiptRefusedError also if the log holds another commitment.
        """
        request_id = parse_statement(bundle.statement).request_id
        public = await self.receipt(request_id, event=event, wait_s=wait_s)
        private = bundle.events[event]
        half = private_half(subject=private.subject, payload=private.payload)
        file = replace(public, payload=half, witness=private.witness)
        self.verify(file)
        return file

    async def bundle_file(
        self, request_id: bytes | str, *, wait_s: float = DEADLINE_S
    ) -> BundleFile:
        """A whole bundle as the log holds it, with its proofs; all of it is proved.

        Raises: as `receipt`; ReceiptRefusedError.
        """
        own = await self.receipt(request_id, wait_s=wait_s)
        statement = parse_statement(decode_entry(own.entry).statement)
        start = own.receipt.leaf_index + 1
        end = start + statement.count
        size = Checkpoint.parse(Note.parse(own.receipt.checkpoint).text).size
        events: list[bytes] = []
        while start + len(events) < end:
            wanted = EntryFilter(start_index=start + len(events), end_index=end)
            page = await self.ledger.entries(EntryQuery(wanted, page_size=_PAGE_SIZE), terms=TERMS)
            if not page.entries:
                raise Problem("internal_error", "the ledger sent an empty page")
            events += (entry.data for entry in page.entries)
        proof = await self.ledger.consistency_proof(end, size, terms=TERMS)
        file = BundleFile(own.entry, own.receipt, tuple(events), proof.hashes)
        self.verify_bundle(file)
        return file

    def verify(self, receipt: ReceiptFile) -> ReceiptReport:
        """Prove a receipt by the profile's policy. Raises: ReceiptRefusedError.

        Of an event and of a bundle also that its service signed it, if the service is this one;
        else all but the signature: the profile does not hold the keys of others.
        """
        report = verify_receipt_file(receipt, policy=self.policy, now_s=int(time.time()))
        if has_bundle(receipt):
            service = report.entry.service if report.entry is not None else ""
            examine_signed(receipt, keys=self._service_keys(service)).require()
        return report

    def verify_bundle(self, file: BundleFile) -> ReceiptReport:
        """Prove a whole bundle, as `verify` does. Raises: ReceiptRefusedError."""
        keys = self._service_keys(decode_entry(file.entry).service)
        in_log, signed = examine_bundle_file(
            file, policy=self.policy, keys=keys, now_s=int(time.time())
        )
        in_log.require()
        signed.require()
        return in_log

    def _service_keys(self, service: str) -> Mapping[str, Mapping[str, ServiceKey]] | None:
        if self.signing_key is None or service != self.profile.name:
            return None
        public = self.signing_key.public
        return {service: {public.kid: ServiceKey(public)}}

    def _key(self, key: RequestKey | None) -> RequestKey:
        chosen = key or self.signing_key
        if chosen is None:
            raise ValueError("the profile has no signing key: give one")
        return chosen

    def _channel(self, peer: Endpoint, service_config_json: str = "") -> grpc.aio.Channel:
        return open_channel(
            address=peer.address,
            peer_id=peer.id,
            origin=self.profile.origin,
            tls=self._tls,
            service_config_json=service_config_json,
        )


TERMS: Final = Terms(deadline_s=DEADLINE_S)


async def _patiently(attempt: Callable[[], Awaitable[ResultT]]) -> ResultT:
    """What `attempt` returns; tried again while the cell says that it is short of something."""
    loop = asyncio.get_running_loop()
    give_up_s = loop.time() + DEADLINE_S
    while True:
        try:
            return await attempt()
        except Problem as problem:
            pause_s = problem.retry_after_s or 1
            is_passing = problem.kind.retry and problem.kind.http == 503
            if not is_passing or loop.time() + pause_s > give_up_s:
                raise
        await asyncio.sleep(pause_s)


def _id_bytes(request_id: bytes | str) -> bytes:
    """A request id as its 32 bytes. Raises: Problem `parameter_invalid`."""
    if isinstance(request_id, bytes):
        return request_id
    try:
        return base64url.decode(request_id)
    except base64url.Base64UrlError as error:
        raise Problem("parameter_invalid", str(error), field="request_id") from None
