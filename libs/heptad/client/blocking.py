"""The same client for programs without an event loop: a loop of its own in one thread."""

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from heptad.client.client import DEADLINE_S, Client, connect
from heptad.client.erasures import CERTIFICATE_S_MAX
from heptad.client.standing import Standing
from heptad.crypto.bundles import Bundle, Event
from heptad.crypto.keys import RequestKey
from heptad.model.answers import BundleRecorded, Recorded, Registered
from heptad.model.erasing import Erasure
from heptad.model.erasure import ErasureGround
from heptad.model.problems import Problem
from heptad.verification import BundleFile, CertificateFile, ReceiptFile

ResultT = TypeVar("ResultT")
_END_S_MAX: Final = 1.0


class BlockingClient:
    """A `Client` whose methods block; use it in `with`. Any thread may call it."""

    def __init__(self, profile: Path | str) -> None:
        """Read the profile in this folder; connects in `with`. Raises: as `connect`."""
        self._client: Client = connect(profile)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="heptad", daemon=True)

    def __enter__(self) -> Self:
        """Connect. Raises: Problem `validator_unavailable`."""
        self._thread.start()
        try:
            self._run(self._client.__aenter__())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close all connections and end the thread."""
        try:
            self._run(self._client.close())
        finally:
            self._stop()

    def sign(
        self,
        *,
        subject: str,
        action: str,
        data: Mapping[str, object],
        key: RequestKey | None = None,
        service: str | None = None,
    ) -> bytes:
        """See `Client.sign`."""
        return self._client.sign(
            subject=subject, action=action, data=data, key=key, service=service
        )

    def register(self, key: RequestKey | None = None, *, service: str | None = None) -> Registered:
        """See `Client.register`."""
        return self._run(self._client.register(key, service=service))

    def submit(self, request: bytes) -> Recorded:
        """See `Client.submit`."""
        return self._run(self._client.submit(request))

    def add_key(
        self, new_key: RequestKey, *, subject: str, key: RequestKey | None = None
    ) -> Recorded:
        """See `Client.add_key`."""
        return self._run(self._client.add_key(new_key, subject=subject, key=key))

    def revoke_key(self, kid: str, *, subject: str, key: RequestKey | None = None) -> Recorded:
        """See `Client.revoke_key`."""
        return self._run(self._client.revoke_key(kid, subject=subject, key=key))

    def sign_bundle(
        self,
        events: Sequence[Event],
        *,
        key: RequestKey | None = None,
        service: str | None = None,
        jti: str | None = None,
    ) -> Bundle:
        """See `Client.sign_bundle`."""
        return self._client.sign_bundle(events, key=key, service=service, jti=jti)

    def submit_bundle(self, events: Sequence[Event] | Bundle) -> BundleRecorded:
        """See `Client.submit_bundle`."""
        return self._run(self._client.submit_bundle(events))

    def submit_many(self, requests: Iterable[bytes]) -> Iterator[Recorded | Problem]:
        """See `Client.submit_many`; reads `requests` in the client's own thread."""
        answers = self._client.submit_many(requests)
        while (outcome := self._run(_next(answers))) is not None:
            yield outcome

    def status(self, request_id: bytes | str, *, exp_s: int = 0) -> Standing:
        """See `Client.status`."""
        return self._run(self._client.status(request_id, exp_s=exp_s))

    def receipt(
        self,
        request_id: bytes | str,
        *,
        event: int | None = None,
        wait_s: float = DEADLINE_S,
    ) -> ReceiptFile:
        """See `Client.receipt`."""
        return self._run(self._client.receipt(request_id, event=event, wait_s=wait_s))

    def erase(
        self, *, subject: str, key: RequestKey, ground: ErasureGround | None = None
    ) -> Recorded:
        """See `Client.erase`."""
        return self._run(self._client.erase(subject=subject, key=key, ground=ground))

    def erasure(self, request_id: bytes | str) -> Erasure:
        """See `Client.erasure`."""
        return self._run(self._client.erasure(request_id))

    def certificate(
        self, request_id: bytes | str, *, wait_s: float = CERTIFICATE_S_MAX
    ) -> CertificateFile:
        """See `Client.certificate`."""
        return self._run(self._client.certificate(request_id, wait_s=wait_s))

    def event_receipt(
        self, bundle: Bundle, event: int, *, wait_s: float = DEADLINE_S
    ) -> ReceiptFile:
        """See `Client.event_receipt`."""
        return self._run(self._client.event_receipt(bundle, event, wait_s=wait_s))

    def bundle_file(self, request_id: bytes | str, *, wait_s: float = DEADLINE_S) -> BundleFile:
        """See `Client.bundle_file`."""
        return self._run(self._client.bundle_file(request_id, wait_s=wait_s))

    def _run(self, work: Coroutine[object, object, ResultT]) -> ResultT:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _stop(self) -> None:
        self._run(_end_others())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _end_others() -> None:
    """What gRPC has begun and not ended, as `asyncio.run` does; else Python complains of it."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others, timeout=_END_S_MAX)


async def _next(answers: AsyncIterator[Recorded | Problem]) -> Recorded | Problem | None:
    """The next answer; None after the last."""
    return await anext(answers, None)
