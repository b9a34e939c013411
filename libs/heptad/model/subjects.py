"""The name that a subject gets at its registration.

The id must be opaque and random, carry its cell's code, and yet be bound to the record that made
it: an evil ledger shall not be able to hand a validator somebody else's registration under a known
id. Hashing the record's own random witness together with the registration gives all three: whoever
holds witness and payload can recompute the id, and nobody can choose it.
"""

import base64
import hashlib
import re
from typing import Final, NewType

SubjectId = NewType("SubjectId", str)
"""`<cell code>-<26 characters of lower-case base32>`."""

WITNESS_BYTES: Final = 32

_DOMAIN: Final = b"heptad/v1/subject\0"
_NAME_CHARACTERS: Final = 26
_CELL_CODE = re.compile(r"[a-z0-9]{1,16}")
_SUBJECT_ID = re.compile(r"([a-z0-9]{1,16})-[a-z2-7]{26}")


class SubjectIdInvalidError(ValueError):
    """A text has not the shape of a subject id or of a cell's code."""


def subject_id(*, cell_code: str, witness: bytes, payload: bytes) -> SubjectId:
    """The id of the subject whose registering record has this witness and payload.

    `witness` is the record's 32 random bytes, `payload` the registration exactly as received.
    130 bits of the hash are kept, so ids do not collide by chance.
    Raises: SubjectIdInvalidError for a cell code that is not 1 to 16 lower-case letters or digits.
    """
    if len(witness) != WITNESS_BYTES:
        raise ValueError(f"a witness has {WITNESS_BYTES} bytes, not {len(witness)}")
    if _CELL_CODE.fullmatch(cell_code) is None:
        raise SubjectIdInvalidError("a cell's code is 1 to 16 lower-case letters and digits")
    digest = hashlib.sha256(_DOMAIN + witness + payload).digest()
    name = base64.b32encode(digest).decode("ascii").lower()[:_NAME_CHARACTERS]
    return SubjectId(f"{cell_code}-{name}")


def parse_subject_id(text: str) -> SubjectId:
    """`text` as a subject id, if it has the shape of one.

    Raises: SubjectIdInvalidError; the message does not repeat the text.
    """
    if _SUBJECT_ID.fullmatch(text) is None:
        raise SubjectIdInvalidError("a subject id is a cell's code, a hyphen and 26 base32 letters")
    return SubjectId(text)


def cell_code_of(subject: SubjectId) -> str:
    """The code of the cell that registered the subject."""
    return subject.partition("-")[0]
