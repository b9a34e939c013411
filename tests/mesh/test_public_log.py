"""The public log of a running cell, read as files, and by nginx, tlog-scales and sigstore.

The story: some hundred requests are recorded. The ledger's folder of static files is copied as an
operator would copy it, and Debian's nginx serves the copy with the file of our documentation. Then
auditors come who do not trust our code and bring theirs.
"""

import asyncio
import base64
import contextlib
import hashlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sigstore._internal.merkle import verify_merkle_inclusion
from sigstore._internal.rekor import checkpoint as sigstore_checkpoint
from sigstore._internal.trust import Keyring
from sigstore.errors import VerificationError
from sigstore.models import TransparencyLogEntry
from sigstore_models.common.v1 import LogId, PublicKey, PublicKeyDetails
from sigstore_models.rekor.v1 import Checkpoint, InclusionProof, KindVersion
from sigstore_models.rekor.v1 import TransparencyLogEntry as RekorEntry
from tlog_scales import signing, tlog
from tlog_scales.reader import TilesReader

from heptad.transparency.checkpoint import cosigned_message
from heptad.transparency.notes import Note, SignatureType, VerifierKey
from heptad.transparency.tiled_tree import inclusion_proof
from heptad.transparency.tiles import FetchedTiles, TilePath, all_tiles
from heptad.verification import FolderSource, HttpSource, verify_log

pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated")

PEOPLE, REQUESTS_EACH = 10, 30
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
NGINX_FILE = Path(__file__).resolve().parents[2] / "docs" / "operations" / "nginx.conf"
NO_NGINX = "nginx is not installed: apt-get install nginx (see docs/operations/public-log.md)"


@pytest.fixture(scope="module")
def size_min(mesh, tools):
    """Enough entries for a full tile are published."""

    async def record():
        people = await tools.new_people(mesh, PEOPLE)
        crowd = tools.Crowd(mesh, people)
        requests = [
            person.jws(tools.claims_of(person, mesh.cell.origin))
            for person in people
            for _ in range(REQUESTS_EACH)
        ]
        async with tools.session(mesh) as session:
            await asyncio.gather(*(crowd.insist(session, jws) for jws in requests))
            size = max(crowd.acknowledged.values()) + 1
            await tools.checkpoint(session, size_min=size)
        return size

    size = asyncio.run(record())
    assert size > 256
    return size


@pytest.fixture(scope="module")
def folder(mesh, tools, size_min):
    """The ledger's folder, once it shows as much."""
    folder = mesh.home / "ledger-1" / "data" / "static"

    async def shows():
        with contextlib.suppress(FileNotFoundError):
            return size_of((folder / "checkpoint").read_bytes()) >= size_min

    asyncio.run(tools.eventually(shows))
    return folder


@pytest.fixture(scope="module")
def copied(folder, tmp_path_factory):
    """A copy made while the log grows: the checkpoint first, as the documentation says."""
    copy = tmp_path_factory.mktemp("copy") / "log"
    copy.mkdir(mode=0o755)
    for name in ("checkpoint", "tile"):
        subprocess.run(["cp", "-r", str(folder / name), str(copy)], check=True)
    return copy


@pytest.fixture(scope="module")
def served_by_nginx(copied, tmp_path_factory):
    """The address of an nginx that serves the copy with the file of the documentation."""
    if NGINX is None:
        pytest.skip(NO_NGINX)
    home = tmp_path_factory.mktemp("nginx")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = NGINX_FILE.read_text()
    for there, here in (
        ("listen 8080;", f"listen 127.0.0.1:{port};"),
        ("root /srv/heptad/log;", f"root {copied};"),
    ):
        assert server.count(there) == 1
        server = server.replace(there, here)
    (home / "server.conf").write_text(server)
    temporary = "".join(
        f"{name}_temp_path {home}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (home / "nginx.conf").write_text(
        f"{'user root;' if os.getuid() == 0 else ''} daemon off; worker_processes 1;"
        f"pid {home}/pid; error_log {home}/errors; events {{ worker_connections 64; }}"
        f"http {{ access_log off; {temporary} include {home}/server.conf; }}"
    )
    process = subprocess.Popen(
        [NGINX, "-p", str(home), "-c", str(home / "nginx.conf"), "-e", str(home / "errors")]
    )
    try:
        until_s = time.monotonic() + 30
        while not is_open(port):
            assert process.poll() is None, (home / "errors").read_text()
            assert time.monotonic() < until_s
            time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def is_open(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@pytest.fixture(scope="module")
def place(request, mesh, size_min):
    """A source for each of the places where the log can be read: `FolderSource`, `HttpSource`."""
    kind = request.param
    if kind == "the gateway":
        source = HttpSource(mesh.gateway_url)
    elif kind == "nginx":
        source = HttpSource(f"http://{request.getfixturevalue('served_by_nginx')}")
    else:
        source = FolderSource(
            request.getfixturevalue({"the folder": "folder", "a copy": "copied"}[kind])
        )
    with source:
        yield source


everywhere = pytest.mark.parametrize(
    "place", ["the gateway", "the folder", "a copy", "nginx"], indirect=True
)


def size_of(note):
    return int(note.split(b"\n")[1])


def keys_of(home):
    """The log's key and the witnesses' out of the policy file, as vkeys."""
    lines = [line.split() for line in (home / "policy").read_text().splitlines() if line]
    log = next(words[1] for words in lines if words[0] == "log")
    return log, [words[2] for words in lines if words[0] == "witness"]


# Ourselves.


@everywhere
def test_the_log_verifies_wherever_it_lies(place, policy, size_min):
    verified = verify_log(place.read, policy=policy, now_s=int(time.time()))
    assert verified.checkpoint.size >= size_min


def test_heptad_verify_says_so_too(mesh, copied):
    for where in (str(copied), mesh.gateway_url):
        arguments = ["verify", where, "--policy", str(mesh.home / "policy"), "--json"]
        done = subprocess.run(
            [sys.executable, "-m", "heptad.cli.main", *arguments],
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert json.loads(done.stdout)["valid"]


def test_every_file_of_the_folder_is_what_the_gateway_serves(mesh, copied, policy):
    with HttpSource(mesh.gateway_url) as gateway:
        paths = [path for path in copied.rglob("*") if path.is_file() and path.name != "checkpoint"]
        assert len(paths) >= len(list(all_tiles(size_of((copied / "checkpoint").read_bytes()))))
        for path in paths:
            name = path.relative_to(copied).as_posix()
            assert gateway.read(TilePath.parse(name).format()) == path.read_bytes(), name


# nginx, with the file of the documentation.


def ask(address, method, path, **headers):
    host, port = address.split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    with contextlib.closing(connection):
        connection.request(
            method, path, headers={name.replace("_", "-"): v for name, v in headers.items()}
        )
        with connection.getresponse() as response:
            return response.status, response.headers, response.read()


def test_nginx_and_the_gateway_give_the_same_headers(mesh, served_by_nginx, copied):
    size = size_of((copied / "checkpoint").read_bytes())
    paths = ["checkpoint", *(path.format() for path in all_tiles(size))]
    assert "tile/0/000" in paths
    assert any(".p/" in path for path in paths)
    for path in paths:
        for encoding in ("identity", "gzip"):
            answers = [
                ask(address, "GET", f"/{path}", Accept_Encoding=encoding)
                for address in (served_by_nginx, mesh.cell.gateways[0].http)
            ]
            seen = [
                (
                    status,
                    *(
                        headers[name]
                        for name in (
                            "Content-Type",
                            "Cache-Control",
                            "Content-Encoding",
                            "Vary",
                            "X-Content-Type-Options",
                        )
                    ),
                )
                for status, headers, _ in answers
            ]
            assert seen[0] == seen[1], path
            assert all(headers["ETag"] for _, headers, _ in answers)


def test_nginx_tells_who_has_the_bytes_already(served_by_nginx):
    for path in ("/checkpoint", "/tile/0/000", "/tile/entries/000"):
        status, headers, body = ask(served_by_nginx, "GET", path, Accept_Encoding="gzip")
        assert (status, bool(body)) == (200, True)
        again = ask(
            served_by_nginx, "GET", path, If_None_Match=headers["ETag"], Accept_Encoding="gzip"
        )
        assert (again[0], again[2]) == (304, b"")
        assert ask(served_by_nginx, "HEAD", path)[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/tile/0/999",
        "/tile/0/000.p/256",
        "/tile/0/",
        "/tile/",
        "/tile",
        "/.checkpoint",
        "/tile/0/.000",
        "/policy",
        "/tile/64/000",
    ],
)
def test_what_is_not_there_is_kept_by_no_cache(mesh, served_by_nginx, copied, path):
    """Also what must not be seen although it is there: files that are being written, folders."""
    for hidden in (".checkpoint", "tile/0/.000", "policy"):
        (copied / hidden).write_bytes(b"half")
    status, headers, _ = ask(served_by_nginx, "GET", path)
    assert (status, headers["Cache-Control"]) == (404, "no-store")
    if path != "/policy":
        status, headers, _ = ask(mesh.cell.gateways[0].http, "GET", path)
        assert (status, headers["Cache-Control"]) == (404, "no-store")


def test_nginx_takes_nothing(served_by_nginx):
    assert ask(served_by_nginx, "POST", "/checkpoint")[0] == 405


# tlog-scales.


class Backend:
    """What tlog-scales calls a backend, over one of our places."""

    def __init__(self, place):
        self.place = place

    def get(self, *path):
        return self.place.read("/".join(path))


@everywhere
def test_tlog_scales_reads_the_log_and_counts_its_cosignatures(place, mesh):
    log, witnesses = keys_of(mesh.home)
    reader = TilesReader(Backend(place))
    checkpoint = reader.get_checkpoint()
    checkpoint.verify(signing.Vkey.from_string(log))
    known = signing.VkeySet(*map(signing.Vkey.from_string, witnesses))
    good = {vkey.name for vkey, _ in known.verify(checkpoint.signatures, checkpoint)}
    assert len(good) >= 5

    assert reader.calculate_root_hash() == checkpoint.root_hash
    for index in (0, 255, 256, checkpoint.size - 1):
        proof = reader.get_inclusion_proof(index, checkpoint.size)
        leaf = hashlib.sha256(b"\0" + reader.get_entry(index)).digest()
        proof.check(leaf, checkpoint.root_hash)
        with pytest.raises(tlog.InclusionProofInvalid):
            proof.check(leaf, bytes(32))


# sigstore, whose log is an RFC 6962 tree with signed notes, as ours is.


def sigstore_entry(place, index):
    """An entry of ours as sigstore holds one: body, proof, and checkpoint as it is served."""
    note = place.read("checkpoint")
    size = size_of(note)
    first = TilePath(level=None, index=index // 256, width=min(256, size - index // 256 * 256))
    bundle = place.read(first.format()) or place.read(TilePath(None, index // 256).format())
    body = nth_entry(bundle, index % 256)
    hashes = inclusion_proof(leaf_index=index, tree_size=size, tiles=FetchedTiles(place.read))
    encode = base64.b64encode
    return TransparencyLogEntry(
        RekorEntry(
            log_index=str(index),
            log_id=LogId(key_id=encode(bytes(32))),
            kind_version=KindVersion(kind="heptad", version="1"),
            inclusion_proof=InclusionProof(
                log_index=str(index),
                root_hash=encode(base64.b64decode(note.split(b"\n")[2])),
                tree_size=str(size),
                hashes=[encode(value) for value in hashes],
                checkpoint=Checkpoint(envelope=note.decode()),
            ),
            canonicalized_body=encode(body),
        )
    )


def nth_entry(bundle, count):
    for _ in range(count):
        bundle = bundle[2 + int.from_bytes(bundle[:2], "big") :]
    return bundle[2 : 2 + int.from_bytes(bundle[:2], "big")]


def sigstore_keyring(*vkeys):
    """Our Ed25519 keys as sigstore takes them: DER, in base64."""
    keys = [Ed25519PublicKey.from_public_bytes(vkey.public_key) for vkey in vkeys]
    return Keyring(
        [
            PublicKey(
                raw_bytes=base64.b64encode(
                    key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
                ),
                key_details=PublicKeyDetails.PKIX_ED25519,
            )
            for key in keys
        ]
    )


@everywhere
def test_sigstore_s_merkle_code_proves_our_entries(place):
    size = size_of(place.read("checkpoint"))
    for index in (0, 1, 255, 256, size - 1):
        entry = sigstore_entry(place, index)
        verify_merkle_inclusion(entry)
        entry._inner.canonicalized_body += b"x"
        with pytest.raises(VerificationError, match="invalid root hash"):
            verify_merkle_inclusion(entry)


@everywhere
def test_sigstore_s_checkpoint_code_verifies_the_logs_signature(place, mesh):
    log = VerifierKey.parse(keys_of(mesh.home)[0])
    note = place.read("checkpoint").decode()
    signed = sigstore_checkpoint.SignedCheckpoint.from_text(note)

    lines = note.split("\n")
    assert signed.checkpoint.origin == mesh.cell.origin == lines[0]
    assert signed.checkpoint.log_size == int(lines[1])
    assert bytes.fromhex(signed.checkpoint.log_hash) == base64.b64decode(lines[2])
    assert signed.checkpoint.other_content == []
    signed.signed_note.verify(sigstore_keyring(log), log.key_id)

    # And as part of an entry, whose proof has to lead to the same root.
    entry = sigstore_entry(place, 0)
    entry._inner.log_id.key_id = log.key_id + bytes(28)
    sigstore_checkpoint.verify_checkpoint(sigstore_keyring(log), entry)
    entry._inner.inclusion_proof.root_hash = bytes(32)
    with pytest.raises(VerificationError, match="invalid root hash"):
        sigstore_checkpoint.verify_checkpoint(sigstore_keyring(log), entry)


def test_sigstore_refuses_a_checkpoint_of_another_size_or_key(mesh, size_min):
    log, witnesses = keys_of(mesh.home)
    log_key, other = VerifierKey.parse(log), VerifierKey.parse(witnesses[0])
    with HttpSource(mesh.gateway_url) as place:
        note = place.read("checkpoint").decode()
    size = size_of(note.encode())
    changed = note.replace(f"\n{size}\n", f"\n{size + 1}\n", 1)
    for text, key in ((changed, log_key), (note, other)):
        signed = sigstore_checkpoint.SignedCheckpoint.from_text(text)
        with pytest.raises(VerificationError, match="invalid signature"):
            signed.signed_note.verify(sigstore_keyring(key), log_key.key_id)


def test_sigstore_knows_no_cosignatures_but_its_keys_verify_what_they_sign(mesh, size_min):
    """What sigstore cannot: `cosignature/v1` signs a time too, which its notes know nothing of. So
    it takes none of them, and the quorum is nothing that it can count. Given the message that the
    standard prescribes, its key ring does accept each signature."""
    with HttpSource(mesh.gateway_url) as place:
        data = place.read("checkpoint")
    signed = sigstore_checkpoint.SignedCheckpoint.from_text(data.decode())
    note, accepted = Note.parse(data), 0
    for vkey in map(VerifierKey.parse, keys_of(mesh.home)[1]):
        assert vkey.type is SignatureType.COSIGNATURE
        line = next((line for line in note.signatures if line.is_by(vkey)), None)
        if line is None:
            continue
        ring = sigstore_keyring(vkey)
        with pytest.raises(VerificationError, match="invalid signature"):
            signed.signed_note.verify(ring, vkey.key_id)
        time_s = int.from_bytes(line.signature[:8], "big")
        message = cosigned_message(note.text, time_s=time_s)
        ring.verify(key_id=vkey.key_id, signature=line.signature[8:], data=message)
        accepted += 1
    assert accepted >= 5
