"""A log's files: alike from a folder and from a server, and bounded whoever serves them."""

import gzip
import os
import socket
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from heptad.verification import (
    FolderSource,
    HttpSource,
    SourceAwayError,
    SourceUnreadableError,
    open_source,
    sources,
    verify_log,
)


@contextmanager
def serving(answer, *, prefix=""):
    """A server that answers a path by (status, headers, body); yields its address."""
    requests = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            requests.append((self.client_address, self.path, dict(self.headers)))
            status, headers, body = answer(self.path.removeprefix(prefix + "/"))
            self.send_response(status)
            for name, value in {"Content-Length": len(body), **headers}.items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(body)
            if headers.get("Connection") == "quiet close":
                self.close_connection = True

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{prefix}", requests
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def files(log):
    def answer(path):
        body = log.files.get(path)
        return (404, {}, b"nothing") if body is None else (200, {}, body)

    return answer


def in_folder(log, folder):
    for path, content in log.files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def test_a_log_verifies_alike_from_a_folder_and_over_http(make_log, policy, now_s, tmp_path):
    log = make_log(300)
    in_folder(log, tmp_path)
    with serving(files(log), prefix="/some/log") as (url, _):
        for where in (str(tmp_path), url, url + "/"):
            with open_source(where) as source:
                assert isinstance(source, FolderSource | HttpSource)
                verified = verify_log(source.read, policy=policy, now_s=now_s)
            assert verified.checkpoint.size == 300


def test_what_is_not_there_is_none(make_log, tmp_path):
    log = make_log(3)
    in_folder(log, tmp_path)
    with serving(files(log)) as (url, _), HttpSource(url) as over_http:
        for source in (FolderSource(tmp_path), over_http):
            assert source.read("tile/0/001") is None
            assert source.read("tile/0/000.p/3") == log.files["tile/0/000.p/3"]
            # The folder's name is a file elsewhere in the tree, and the other way round.
            assert source.read("tile/0/000.p/4") is None


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "tile/0/1", "policy", "tile", ""])
def test_nothing_but_a_logs_paths_is_read(tmp_path, path):
    (tmp_path / "policy").write_bytes(b"")
    for source in (FolderSource(tmp_path), HttpSource("http://127.0.0.1:1")):
        with pytest.raises(ValueError, match="canonical"):
            source.read(path)


@pytest.mark.parametrize(
    "where", ["ftp://a/b", "http://", "https:///x", "http://a:b/", "http://a/?b", "/not/there"]
)
def test_what_is_no_log_s_place_is_refused(where):
    with pytest.raises(SourceUnreadableError):
        open_source(where)


@pytest.mark.parametrize("status", [301, 429, 500, 503])
def test_no_other_answer_says_that_a_file_is_missing(status):
    with (
        serving(lambda _: (status, {}, b"")) as (url, _),
        HttpSource(url) as source,
        pytest.raises(SourceUnreadableError, match=f"status {status}") as raised,
    ):
        source.read("checkpoint")
    assert isinstance(raised.value, SourceAwayError) == (status != 301)


def test_a_server_that_is_not_there_is_a_fault_and_no_finding():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (
        HttpSource(f"http://127.0.0.1:{port}") as source,
        pytest.raises(SourceAwayError, match="refused"),
    ):
        source.read("checkpoint")


def test_one_connection_is_kept_and_a_closed_one_is_opened_again():
    headers = {}
    with (
        serving(lambda _: (200, dict(headers), b"note")) as (url, requests),
        HttpSource(url) as source,
    ):
        assert [source.read("checkpoint"), source.read("checkpoint")] == [b"note"] * 2
        headers["Connection"] = "quiet close"
        for _ in range(3):
            assert source.read("checkpoint") == b"note"
    assert requests[0][0] == requests[1][0]
    assert len({client for client, _, _ in requests}) == 3


def test_a_packed_bundle_is_unpacked():
    packed = gzip.compress(b"\0\1a" * 256, mtime=0)
    answer = (200, {"Content-Encoding": "gzip"}, packed)
    with serving(lambda _: answer) as (url, requests), HttpSource(url) as source:
        assert source.read("tile/entries/000") == b"\0\1a" * 256
    assert "gzip" in requests[0][2]["Accept-Encoding"]


@pytest.mark.parametrize(
    ("headers", "body", "reason"),
    [
        ({"Content-Encoding": "gzip"}, gzip.compress(bytes(8193), mtime=0), "more than 8192"),
        ({"Content-Encoding": "gzip"}, gzip.compress(bytes(8192), mtime=0)[:-9], "cut off"),
        ({"Content-Encoding": "gzip"}, b"plain", "incorrect header"),
        ({"Content-Encoding": "br"}, b"plain", "nobody asked"),
        ({}, bytes(8193), "more than 8192"),
        ({"Content-Length": 9000, "Connection": "quiet close"}, bytes(8000), "IncompleteRead"),
    ],
)
def test_a_server_that_answers_too_much_or_wrong_is_refused(headers, body, reason):
    with (
        serving(lambda _: (200, headers, body)) as (url, _),
        HttpSource(url) as source,
        pytest.raises(SourceUnreadableError, match=reason),
    ):
        source.read("tile/0/000")


def test_a_file_in_a_folder_that_is_too_long_is_refused(tmp_path):
    (tmp_path / "checkpoint").write_bytes(bytes(70_000))
    with pytest.raises(SourceUnreadableError, match="more than 65536"):
        FolderSource(tmp_path).read("checkpoint")


def test_a_file_that_cannot_be_read_is_a_fault_and_no_finding(tmp_path):
    (tmp_path / "checkpoint").mkdir()
    with pytest.raises(SourceUnreadableError, match="plain file"):
        FolderSource(tmp_path).read("checkpoint")


@pytest.mark.parametrize("path", ["checkpoint", "tile/0/000"])
def test_a_link_in_a_copy_leads_to_no_file_outside_of_it(tmp_path, path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"for its owner alone")
    copy = tmp_path / "copy"
    (copy / path).parent.mkdir(parents=True)
    (copy / path).symlink_to(secret)
    with pytest.raises(SourceUnreadableError, match="plain file"):
        FolderSource(copy).read(path)


def test_a_folder_of_links_in_a_copy_leads_to_no_file_outside_of_it(tmp_path):
    (tmp_path / "elsewhere" / "0").mkdir(parents=True)
    (tmp_path / "elsewhere" / "0" / "000").write_bytes(b"for its owner alone")
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "tile").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SourceUnreadableError, match="plain file"):
        FolderSource(tmp_path / "copy").read("tile/0/000")


def test_a_copy_may_itself_be_a_link(tmp_path):
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "checkpoint").write_bytes(b"note")
    (tmp_path / "link").symlink_to(tmp_path / "copy")
    assert FolderSource(tmp_path / "link").read("checkpoint") == b"note"


def test_a_pipe_in_a_copy_holds_nobody_up(tmp_path):
    os.mkfifo(tmp_path / "checkpoint")
    with pytest.raises(SourceUnreadableError, match="plain file"):
        FolderSource(tmp_path).read("checkpoint")


@contextmanager
def dripping(head, drop):
    """A server that sends `head` and then one and the same bytes for as long as it is read."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            with server.accept()[0] as connection, suppress(OSError):
                connection.recv(4096)
                connection.sendall(head)
                while True:
                    connection.sendall(drop)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
    thread.join()


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "drop"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\n", b"x"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (CHUNKED, b"1\r\nx\r\n"),
        (CHUNKED + b"0\r\n", b"X: y\r\n"),
    ],
    ids=["body", "head", "no head yet", "chunks", "trailers"],
)
def test_no_part_of_an_answer_is_waited_for_without_end(monkeypatch, head, drop):
    times_s = iter(range(0, 1_000_000, 25))
    monkeypatch.setattr(sources, "time", SimpleNamespace(monotonic=lambda: next(times_s)))
    with (
        dripping(head, drop) as url,
        HttpSource(url) as source,
        pytest.raises(SourceUnreadableError, match="not read within"),
    ):
        source.read("checkpoint")


def test_what_a_server_says_instead_of_an_answer_is_cut_short_and_gives_no_orders():
    """A terminal that shows it must not obey it."""
    listener = socket.create_server(("127.0.0.1", 0))

    def lie():
        with suppress(OSError), listener.accept()[0] as connection:
            connection.recv(65_536)
            connection.sendall(b"\x1b[2J\x07VALID" + b"\xff" * 5_000 + b"\r\n\r\n")

    thread = threading.Thread(target=lie)
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with HttpSource(url) as source, pytest.raises(SourceUnreadableError) as raised:
        source.read("checkpoint")
    thread.join()
    listener.close()
    assert "?[2J?VALID" in str(raised.value)
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < len(url) + 250
