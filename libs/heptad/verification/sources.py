"""Where a log lies: at an HTTP address, or in a folder that somebody copied.

Both look the same to whoever verifies (`read(path)`), because both *are* the same: the public
layout is plain files with plain names (C2SP tlog-tiles), so a server adds nothing but a way to get
at them. A source is never trusted, and the limits here are for that: it may be slow, endless,
packed, or no log at all, and costs its reader a bounded time and memory whatever it is.

"There is no such file" is an answer and None, since it may be a finding about the log; "I could not
look" is a fault of the way there, `SourceUnreadableError`, and says nothing about the log.
"""

import errno
import http.client
import io
import os
import socket
import stat
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, Self
from urllib.parse import urlsplit

from heptad.transparency.errors import FormatError
from heptad.transparency.tiled_tree import TILE_BYTES, TILE_WIDTH
from heptad.transparency.tiles import CHECKPOINT_PATH, ENTRY_BYTES_MAX, TilePath
from heptad.verification.errors import SourceAwayError, SourceUnreadableError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

NOTE_BYTES_MAX: Final = 1 << 16
REASON_MAX: Final = 200
"""Characters of what is said about a server."""
BUNDLE_BYTES_MAX: Final = TILE_WIDTH * (2 + ENTRY_BYTES_MAX)
STEP_S_MAX: Final = 20.0
"""How long a server may be silent."""
READ_S_MAX: Final = 60.0
"""How long one file may take, however busily it comes."""

_CHUNK_BYTES: Final = 1 << 16
_ABSENT: Final = frozenset({404, 410})
_BUSY: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_HEADERS: Final = {"Accept-Encoding": "gzip, identity", "User-Agent": "heptad"}
_GZIP_WBITS: Final = 16 + zlib.MAX_WBITS


class TileSource(Protocol):
    """A log's public files. For one thread; leaving the context closes it."""

    @property
    def name(self) -> str:
        """What to call it in a message to people: the address, or the folder."""
        ...

    def read(self, path: str) -> bytes | None:
        """The file at `checkpoint` or `tile/…`; None where there is none. Blocks.

        Raises: SourceUnreadableError, also for a file longer than any such file can be;
        SourceAwayError, which is one, if it may go better in a while.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def open_source(where: str) -> TileSource:
    """The log at an `http://…` or `https://…` address, else the log in a folder.

    Nothing is read yet, but a folder has to be there.
    Raises: SourceUnreadableError.
    """
    if "://" in where:
        return HttpSource(where)
    return FolderSource(Path(where))


def bytes_max(path: str) -> int:
    """How long the file at a path can be at most. Raises: ValueError for no path of a log's."""
    if path == CHECKPOINT_PATH:
        return NOTE_BYTES_MAX
    try:
        tile = TilePath.parse(path)
    except FormatError as error:
        raise ValueError(str(error)) from error
    return BUNDLE_BYTES_MAX if tile.level is None else TILE_BYTES


class FolderSource:
    """A log that lies in a folder: `<folder>/checkpoint`, `<folder>/tile/…`."""

    def __init__(self, folder: Path) -> None:
        """Raises: SourceUnreadableError, if that is no folder."""
        if not folder.is_dir():
            raise SourceUnreadableError(f"{folder} is no folder")
        self._folder = folder
        self._root = folder.resolve()

    @property
    def name(self) -> str:
        """The folder."""
        return str(self._folder)

    def read(self, path: str) -> bytes | None:
        """See `TileSource`."""
        size_max = bytes_max(path)
        try:
            with open(self._folder / path, "rb", opener=_opened_inside(self._root)) as file:
                data = file.read(size_max + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise SourceUnreadableError(f"{self._folder / path}: {error.strerror}") from error
        return _bounded(data, size_max, f"{self._folder / path}")

    def __enter__(self) -> Self:
        """Nothing to open."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""


def _opened_inside(root: Path) -> Callable[[str, int], int]:
    """Opens plain files below `root` and nothing else.

    Who makes a copy may put anything in it: a link to a file that its reader alone may read, which
    a proof of what was found would carry to everybody, or a pipe that nobody ever writes to.
    """

    def opener(path: str, flags: int) -> int:
        descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
        is_plain = stat.S_ISREG(os.fstat(descriptor).st_mode)
        if is_plain and _place_of(descriptor, path).startswith(f"{root}/"):
            return descriptor
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is no plain file of this folder")

    return opener


def _place_of(descriptor: int, path: str) -> str:
    """Where what was opened really lies; the kernel knows, at a tenth of what resolving costs."""
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return str(Path(path).resolve())


class HttpSource:
    """A log behind an HTTP(S) address, over one connection that is kept."""

    def __init__(self, url: str) -> None:
        """`url` is the log's prefix, such as `https://log.example/heptad`; nothing is read yet.

        Raises: SourceUnreadableError for what is no such address.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
            raise SourceUnreadableError(f"{url!r} is no http or https address of a log")
        self._url = url.rstrip("/")
        self._prefix = parts.path.rstrip("/")
        is_tls = parts.scheme == "https"
        kind = http.client.HTTPSConnection if is_tls else http.client.HTTPConnection
        try:
            self._connection = kind(parts.hostname, parts.port, timeout=STEP_S_MAX)
            self._connection.response_class = _ResponseInTime
        except ValueError as error:
            raise SourceUnreadableError(f"{url!r}: {error}") from error

    @property
    def name(self) -> str:
        """The address."""
        return self._url

    def read(self, path: str) -> bytes | None:
        """See `TileSource`."""
        size_max = bytes_max(path)
        where = f"{self._url}/{path}"
        # A kept connection may have been closed by the server meanwhile: then once more, on a new.
        was_open = self._connection.sock is not None
        try:
            return self._get(path, size_max, where)
        except (http.client.HTTPException, OSError) as error:
            self._connection.close()
            if not was_open or isinstance(error, TimeoutError):
                raise _unreachable(where, error) from error
        try:
            return self._get(path, size_max, where)
        except (http.client.HTTPException, OSError) as error:
            self._connection.close()
            raise _unreachable(where, error) from error

    def close(self) -> None:
        """Close the connection; a later read opens a new one."""
        self._connection.close()

    def __enter__(self) -> Self:
        """Nothing is opened before the first read."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self.close()

    def _get(self, path: str, size_max: int, where: str) -> bytes | None:
        if self._connection.sock is not None:
            self._connection.sock.settimeout(STEP_S_MAX)
        self._connection.request("GET", f"{self._prefix}/{path}", headers=_HEADERS)
        with self._connection.getresponse() as response:
            try:
                body = _read_body(response, size_max, where)
            except SourceUnreadableError:
                self._connection.close()
                raise
        if response.status in _ABSENT:
            return None
        if response.status in _BUSY:
            raise SourceAwayError(f"{where}: status {response.status}")
        if response.status != http.client.OK:
            raise SourceUnreadableError(f"{where}: status {response.status}")
        encoding = response.headers.get("Content-Encoding", "identity").lower()
        if encoding == "gzip":
            return _unpacked(body, size_max, where)
        if encoding != "identity":
            raise SourceUnreadableError(f"{where}: packed as {encoding!r}, which nobody asked for")
        return body


class _ResponseInTime(http.client.HTTPResponse):
    """An answer that is there within `READ_S_MAX`, or fails.

    A bound for each step is not enough: head, chunk sizes and body may each come byte by byte.
    """

    def __init__(
        self,
        sock: socket.socket,
        debuglevel: int = 0,
        method: str | None = None,
        url: str | None = None,
    ) -> None:
        super().__init__(sock, debuglevel, method, url)
        self.fp = io.BufferedReader(_InTime(self.fp, sock, time.monotonic() + READ_S_MAX))


class _InTime(io.RawIOBase):
    """Reads from a socket's file until a time is over."""

    def __init__(self, file: io.BufferedIOBase, sock: socket.socket, until_s: float) -> None:
        self._file = file
        self._socket = sock
        self._until_s = until_s

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Raises: TimeoutError; OSError."""
        left_s = self._until_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError(f"not read within {READ_S_MAX:g} s")
        self._socket.settimeout(min(left_s, STEP_S_MAX))
        return self._file.readinto1(buffer)

    def close(self) -> None:
        """Close the file, too."""
        self._file.close()
        super().close()


def _read_body(response: http.client.HTTPResponse, size_max: int, where: str) -> bytes:
    """All of the body. Packed content is allowed to be no longer than plain."""
    parts: list[bytes] = []
    size = 0
    while chunk := response.read1(_CHUNK_BYTES):
        parts.append(chunk)
        size += len(chunk)
        if size > size_max:
            break
    body = _bounded(b"".join(parts), size_max, where)
    if response.length:
        raise http.client.IncompleteRead(body, response.length)
    return body


def _unpacked(body: bytes, size_max: int, where: str) -> bytes:
    try:
        machine = zlib.decompressobj(_GZIP_WBITS)
        data = machine.decompress(body, size_max + 1)
    except zlib.error as error:
        raise SourceUnreadableError(f"{where}: {error}") from error
    if not machine.eof and len(data) <= size_max:
        raise SourceUnreadableError(f"{where}: the packed content is cut off")
    return _bounded(data, size_max, where)


def _bounded(data: bytes, size_max: int, where: str) -> bytes:
    if len(data) > size_max:
        raise SourceUnreadableError(f"{where} has more than {size_max} bytes")
    return data


def _unreachable(where: str, error: Exception) -> SourceAwayError:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    # It may be the server's own words: a line that is no HTTP, of any length and any characters.
    reason = "".join(letter if letter.isprintable() else "?" for letter in reason[:REASON_MAX])
    return SourceAwayError(f"{where}: {reason}")
