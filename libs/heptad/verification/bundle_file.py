"""A whole bundle in one file: what the log holds of it, and what proves that it does.

    {"format": "heptad-bundle/v1",
     "entry": base64, "proof": text of a tlog-proof file,
     "events": [base64 …], "consistency": [base64 …]}

`entry` and `proof` are a receipt of the bundle's own entry. The events' entries stand right behind
it. No proof for each of them is needed: the proof of the bundle's entry holds the edge of the tree
in front of it, the entries extend that edge, and `consistency` (RFC 9162) leads from the tree that
ends with them to the checkpoint.
"""

import json
from dataclasses import dataclass
from typing import Final, Self

from heptad.crypto import strict_json
from heptad.model.bundles import EVENTS_MAX
from heptad.transparency.errors import FormatError
from heptad.transparency.notes import encode_base64
from heptad.transparency.receipt import Receipt
from heptad.verification.errors import ReceiptUnreadableError
from heptad.verification.receipt_file import read_bytes, read_hashes, read_text

FORMAT: Final = "heptad-bundle/v1"
FILE_BYTES_MAX: Final = 4 << 20

_MEMBERS: Final = frozenset({"format", "entry", "proof", "events", "consistency"})


@dataclass(frozen=True, slots=True)
class BundleFile:
    """A bundle as it is kept and passed on; nothing of it has been verified.

    `entry` and `events` are leaves' bytes, `consistency` has hashes of 32 bytes.
    """

    entry: bytes
    receipt: Receipt
    events: tuple[bytes, ...]
    consistency: tuple[bytes, ...]

    def encode(self) -> bytes:
        """The file's bytes: JSON in UTF-8, indented for people."""
        members = {
            "format": FORMAT,
            "entry": encode_base64(self.entry),
            "proof": self.receipt.encode().decode("utf-8"),
            "events": [encode_base64(entry) for entry in self.events],
            "consistency": [encode_base64(value) for value in self.consistency],
        }
        return json.dumps(members, ensure_ascii=False, indent=1).encode("utf-8") + b"\n"

    @classmethod
    def parse(cls, data: bytes, *, bytes_max: int = FILE_BYTES_MAX) -> Self:
        """Read a file. Raises: ReceiptUnreadableError, naming the member that is wrong.

        An honest bundle came in one batch; what an auditor accuses may be longer than that.
        """
        if len(data) > bytes_max:
            raise ReceiptUnreadableError(f"a bundle of {len(data)} bytes; {bytes_max} may be")
        try:
            members = strict_json.decode(data)
        except strict_json.StrictJsonError as error:
            raise ReceiptUnreadableError(f"a bundle is JSON, and this is {error}") from None
        if not isinstance(members, dict) or members.keys() != _MEMBERS:
            listed = ", ".join(sorted(_MEMBERS))
            raise ReceiptUnreadableError(f"a bundle is an object of {listed}")
        if members["format"] != FORMAT:
            raise ReceiptUnreadableError(f"the bundle's format is not {FORMAT!r}")
        events = members["events"]
        if not isinstance(events, list) or len(events) > EVENTS_MAX:
            raise ReceiptUnreadableError(f"events is no list of at most {EVENTS_MAX}")
        try:
            receipt = Receipt.parse(read_text(members, "proof").encode("utf-8"))
        except FormatError as error:
            raise ReceiptUnreadableError(f"proof: {error}") from None
        return cls(
            entry=read_bytes(members, "entry"),
            receipt=receipt,
            events=tuple(read_bytes({"events": event}, "events") for event in events),
            consistency=read_hashes(members, "consistency"),
        )


def is_bundle_file(data: bytes) -> bool:
    """Whether these bytes mean to be such a file."""
    try:
        members = strict_json.decode(data)
    except strict_json.StrictJsonError:
        return False
    return isinstance(members, dict) and members.get("format") == FORMAT
