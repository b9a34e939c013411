"""The export of a subject that was erased: that nothing is held any more, and what proves it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from heptad.exports.held import FORMAT
from heptad.exports.rows import in_utc
from heptad.exports.zip_stream import ZipStream

CERTIFICATE: Final = "certificate.json"
FILES: Final = frozenset({"README.txt", CERTIFICATE})
"""All that such an archive may hold besides its manifest."""

_TEXT: Final = """\
{origin} holds nothing any more about {subject}: the subject was erased.
Asked on {created} by {who}.

{proof}
What remains for good is the public half of each entry (time, service, action, outcome, and a
commitment that says nothing without its witness), and that this id was used and is erased.
"""
_WITH: Final = """\
certificate.json is the certificate of the erasure. Check it, with a policy and a cell.toml that
come from somebody else than who gave you this archive:

  heptad verify certificate.json --policy policy --cell cell.toml
"""
_WITHOUT: Final = """\
The certificate of the erasure is not in here; it is found by the id of the request for erasure.
"""


@dataclass(frozen=True, slots=True)
class AboutErased:
    """Who asked for whose data, as in `About`. `certificate` is its file, once there is one."""

    origin: str
    subject_id: str = field(repr=False)
    created_ms: int
    role: str
    caller: str
    software: str
    certificate: bytes | None = None


def erased_archive(about: AboutErased) -> bytes:
    """The whole archive, a few kilobytes."""
    files = {"README.txt": _read_me(about)}
    if about.certificate is not None:
        files[CERTIFICATE] = about.certificate
    files["manifest.json"] = _manifest(about, files)
    stream = ZipStream(time_ms=about.created_ms)
    parts: list[bytes] = []
    for name, content in files.items():
        parts += [stream.begin(name), stream.write(content), stream.end()]
    return b"".join([*parts, stream.finish()])


def _read_me(about: AboutErased) -> bytes:
    return _TEXT.format(
        origin=about.origin,
        subject=about.subject_id,
        created=in_utc(about.created_ms),
        who=f"{about.role} {about.caller}",
        proof=_WITHOUT if about.certificate is None else _WITH,
    ).encode()


def _manifest(about: AboutErased, files: Mapping[str, bytes]) -> bytes:
    members = {
        "format": FORMAT,
        "state": "erased",
        "origin": about.origin,
        "subject": about.subject_id,
        "created": in_utc(about.created_ms),
        "requested_by": {"role": about.role, "id": about.caller},
        "software": about.software,
        "files": [
            {"name": name, "bytes": len(content), "sha256": sha256(content).hexdigest()}
            for name, content in files.items()
        ],
    }
    return json.dumps(members, ensure_ascii=False, indent=1).encode() + b"\n"
