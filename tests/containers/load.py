"""Apps that post signed requests to a gateway and insist until each is acknowledged."""

import json
import threading
import time
import urllib.error
import urllib.request
import uuid
from base64 import b64decode
from typing import Final

from heptad.client import sign
from heptad.crypto.keys import Ed25519Key
from heptad.crypto.registration import sign_registration
from heptad.wire.convert.entry_facts import decode_duplicate

APPS: Final = 8
PASSING: Final = frozenset({202, 429, 500, 502, 503, 504})
WAIT_S_MAX: Final = 60.0
"""A request that is not acknowledged after so long has failed."""


class Load:
    """A context: eight apps post while it is open. `count` is how many answers said 201."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._origin = str(self._get("/v1")["origin"])
        self._stop = threading.Event()
        self._apps = [threading.Thread(target=self._app) for _ in range(APPS)]
        self._lock = threading.Lock()
        self._acknowledged: dict[str, int] = {}
        self._longest_s = 0.0
        self._failures: list[str] = []

    @property
    def count(self) -> int:
        """Acknowledged so far. Raises: SystemExit if an app has failed."""
        if self._failures:
            raise SystemExit(f"FAILED: {self._failures[0]}")
        return len(self._acknowledged)

    def __enter__(self) -> "Load":
        """Begin."""
        for app in self._apps:
            app.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End, once what is under way is acknowledged."""
        self._stop.set()
        for app in self._apps:
            app.join()

    def wait_for_more(self, more: int) -> float:
        """Wait for so many more; the longest that a request has taken since the last look, in s."""
        until = self.count + more
        deadline_s = time.monotonic() + WAIT_S_MAX
        while self.count < until:
            if time.monotonic() > deadline_s:
                raise SystemExit(f"FAILED: no {more} answers within {WAIT_S_MAX:.0f} s")
            time.sleep(0.05)
        longest_s, self._longest_s = self._longest_s, 0.0
        return longest_s

    def require_recorded(self) -> int:
        """Every acknowledged request is in the log, where it was said to be; return how many twice.

        One that two validators admitted in the same moment, because the first died before it could
        answer, has two leaves: the lower index counts, and the log itself says of the other that it
        is a copy (docs/spec/mesh.md, "Replay").
        """
        indexes = list(self._acknowledged.values())
        if len(set(indexes)) != len(indexes):
            raise SystemExit("FAILED: two requests were acknowledged at one index")
        moved = {}
        for request_id, index in self._acknowledged.items():
            status = self._get(f"/v1/requests/{request_id}")
            if status["state"] != "COMMITTED":
                raise SystemExit(f"FAILED: {request_id} was said to be at {index}: {status}")
            if status["index"] != index:
                moved[index] = status["index"]
        deadline_s = time.monotonic() + WAIT_S_MAX
        while not moved.items() <= self._copies().items():
            if time.monotonic() > deadline_s:
                raise SystemExit(f"FAILED: the log does not call these copies: {moved}")
            time.sleep(0.5)
        return len(moved)

    def _copies(self) -> dict[int, int]:
        """What the log says of later copies: their index, and that of the first."""
        page = self._get("/v1/entries?kind=DUPLICATE&page_size=1000")
        entries = page["entries"]
        assert isinstance(entries, list)
        return dict(decode_duplicate(b64decode(entry["statement"])) for entry in entries)

    def _app(self) -> None:
        try:
            key = Ed25519Key.generate()
            subject = self._registered(key)
            while not self._stop.is_set():
                self._record(key, subject)
        except SystemExit as failure:
            self._failures.append(str(failure))

    def _registered(self, key: Ed25519Key) -> str:
        now_s = int(time.time())
        jws = sign_registration(
            key, aud=self._origin, jti=_jti(), iat=now_s, exp=now_s + 300, svc="tax-portal"
        )
        return str(self._insisted("/v1/subjects", jws)["subject_id"])

    def _record(self, key: Ed25519Key, subject: str) -> None:
        jws = sign(
            key,
            subject=subject,
            audience=self._origin,
            service="tax-portal",
            action="authenticate",
            data={},
        )
        started_s = time.monotonic()
        answer = self._insisted("/v1/requests", jws)
        with self._lock:
            self._acknowledged[str(answer["request_id"])] = int(str(answer["index"]))
            self._longest_s = max(self._longest_s, time.monotonic() - started_s)

    def _insisted(self, path: str, jws: bytes) -> dict[str, object]:
        """Send the same bytes until they are acknowledged: that is always safe."""
        deadline_s = time.monotonic() + WAIT_S_MAX
        while time.monotonic() < deadline_s:
            status, members = self._post(path, jws)
            if status in (200, 201):
                return members
            if status not in PASSING:
                raise SystemExit(f"{path} refused a good request: {status} {members}")
            time.sleep(0.2)
        raise SystemExit(f"{path}: not acknowledged within {WAIT_S_MAX:.0f} s")

    def _post(self, path: str, jws: bytes) -> tuple[int, dict[str, object]]:
        request = urllib.request.Request(
            self._url + path, data=jws, headers={"Content-Type": "application/jose"}
        )
        try:
            with urllib.request.urlopen(request, timeout=15) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)
        except OSError as error:
            return 503, {"detail": str(error)}

    def _get(self, path: str) -> dict[str, object]:
        with urllib.request.urlopen(self._url + path, timeout=10) as answer:
            members: dict[str, object] = json.load(answer)
            return members


def _jti() -> str:
    return str(uuid.uuid4())
