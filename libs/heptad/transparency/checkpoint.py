"""Checkpoints: what a log says about itself, who cosigned it, and whether that is enough.

Why the checks return findings before they raise: one rule set serves the ledger, which only wants
to know that a note may be published, and `heptad verify`, which has to show a person each
signature and why it does or does not hold. `examine_checkpoint` looks at everything;
`verify_checkpoint` is the same with a raise at the first finding that does not hold.

Why one bad signature by a known key spoils the whole note: the note format asks for it, and a
ledger that publishes signatures without checking them is broken whoever made them.

Source: c2sp.org/tlog-checkpoint v1.0.0, c2sp.org/tlog-cosignature v1.0.1.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from heptad.model.problems import Problem
from heptad.transparency.errors import CheckpointRejectedError, FormatError
from heptad.transparency.merkle import EMPTY_ROOT, HASH_BYTES, SIZE_MAX
from heptad.transparency.notes import (
    Note,
    NoteSignature,
    Sign,
    SignatureType,
    VerifierKey,
    Verify,
    decode_base64,
    encode_base64,
    require_key_name,
)
from heptad.transparency.policy import Policy

TIME_S_MAX: Final = 2**63 - 1
SIGNATURE_BYTES: Final = 64
COSIGNATURE_BYTES: Final = 8 + SIGNATURE_BYTES

_DECIMAL = re.compile("0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A log's head: `origin` names the log, `size` counts leaves, `root` is 32 bytes.

    The origin is also the name of the log's key, so it holds neither spaces nor plus signs.
    Raises: FormatError, on construction.
    """

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        """Refuse a head that no log can have."""
        require_key_name(self.origin)
        if not 0 <= self.size <= SIZE_MAX:
            raise FormatError(f"tree size {self.size} is not in 0..{SIZE_MAX}")
        if len(self.root) != HASH_BYTES:
            raise FormatError(f"a root hash has 32 bytes, not {len(self.root)}")
        if self.size == 0 and self.root != EMPTY_ROOT:
            raise FormatError(f"an empty tree's root is not {self.root.hex()}")

    def body(self) -> bytes:
        """Return the text that is signed: origin, size and base64 of the root, a line each."""
        return f"{self.origin}\n{self.size}\n{encode_base64(self.root)}\n".encode()

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Read a body; extension lines, other spellings and other bytes are refused.

        Raises: FormatError.
        """
        try:
            lines = body.decode().split("\n")
        except UnicodeDecodeError:
            raise FormatError("a checkpoint is not UTF-8") from None
        if len(lines) != 4 or lines[3]:
            raise FormatError(f"a checkpoint has three lines, and this one {len(lines) - 1}")
        origin, size, root = lines[:3]
        if not _DECIMAL.fullmatch(size):
            raise FormatError(f"checkpoint of {origin[:100]!r}: size {size[:30]!r} is not a number")
        return cls(origin=origin, size=int(size), root=decode_base64(root))


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """Which cosignature times are believed, in seconds since 1970, both ends included."""

    earliest_s: int
    latest_s: int

    @classmethod
    def around(cls, now_s: int, *, bound_s: int) -> Self:
        """What a ledger accepts before it publishes: now, give or take `bound_s`."""
        return cls(earliest_s=now_s - bound_s, latest_s=now_s + bound_s)

    @classmethod
    def until(cls, now_s: int, *, bound_s: int) -> Self:
        """What an auditor accepts: any time in the past, and `bound_s` ahead for clocks."""
        return cls(earliest_s=0, latest_s=now_s + bound_s)


ANY_TIME: Final = TimeWindow(earliest_s=0, latest_s=TIME_S_MAX)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked: what, whether it holds, and the numbers, for people."""

    subject: str
    holds: bool
    detail: str


@dataclass(frozen=True, slots=True)
class ExaminedCheckpoint:
    """What an examination found. `cosigned_at_s` has each good cosigner (by policy name).

    The values are the cosignatures' times, in seconds since 1970.
    """

    checkpoint: Checkpoint
    findings: tuple[Finding, ...]
    cosigned_at_s: Mapping[str, int]


def sign_checkpoint(checkpoint: Checkpoint, *, key: VerifierKey, sign: Sign) -> NoteSignature:
    """Sign as the log itself. The key's name must be the origin; `sign` must be that key's."""
    assert key.type is SignatureType.LOG, key.type
    assert key.name == checkpoint.origin, (key.name, checkpoint.origin)
    return NoteSignature(key.name, key.key_id, sign(checkpoint.body()))


def cosign_checkpoint(
    checkpoint: Checkpoint, *, key: VerifierKey, time_s: int, sign: Sign
) -> NoteSignature:
    """Cosign somebody's checkpoint as a witness, at this time (seconds since 1970).

    The caller has persisted (size, root) *before* it calls: a witness that crashes in between has
    promised something it never said, and not the other way round.
    """
    assert key.type is SignatureType.COSIGNATURE, key.type
    assert 0 <= time_s <= TIME_S_MAX, time_s
    signature = sign(cosigned_message(checkpoint.body(), time_s=time_s))
    return NoteSignature(key.name, key.key_id, time_s.to_bytes(8, "big") + signature)


def cosigned_message(body: bytes, *, time_s: int) -> bytes:
    """Return what a `cosignature/v1` signs: a header line, a time line, the checkpoint's body."""
    return f"cosignature/v1\ntime {time_s}\n".encode() + body


def verify_signature(
    body: bytes, signature: NoteSignature, *, key: VerifierKey, verify: Verify
) -> int | None:
    """Prove that this signature line is the key's, over this body, or raise.

    Returns a cosignature's time, in seconds since 1970; None for a log's own signature.
    Raises: CheckpointRejectedError.
    """
    who = f"{key.name}+{key.key_id.hex()}"
    if not signature.is_by(key):
        line = f"{signature.key_name}+{signature.key_id.hex()}"
        raise CheckpointRejectedError(f"{who}: the signature claims to be by {line}")
    data, time_s, message = signature.signature, None, body
    if key.type is SignatureType.COSIGNATURE:
        time_s, data = int.from_bytes(data[:8], "big"), data[8:]
        if time_s > TIME_S_MAX:
            raise CheckpointRejectedError(f"{who}: cosigned at {time_s}, over 2^63 - 1")
        message = cosigned_message(body, time_s=time_s)
    if len(data) != SIGNATURE_BYTES:
        raise CheckpointRejectedError(
            f"{who}: a signature of {len(signature.signature)} bytes has the wrong length"
        )
    try:
        verify(public_key=key.public_key, message=message, signature=data)
    except Problem as problem:
        raise CheckpointRejectedError(f"{who}: {problem.detail}") from problem
    return time_s


def verify_cosignature(
    body: bytes,
    signature: NoteSignature,
    *,
    key: VerifierKey,
    verify: Verify,
    window: TimeWindow = ANY_TIME,
) -> int:
    """Prove a witness's cosignature and that its time is believable; return the time in seconds.

    What a ledger asks of each line before it publishes it.
    Raises: CheckpointRejectedError.
    """
    assert key.type is SignatureType.COSIGNATURE, key.type
    time_s = verify_signature(body, signature, key=key, verify=verify)
    assert time_s is not None
    if not window.earliest_s <= time_s <= window.latest_s:
        raise CheckpointRejectedError(
            f"{key.name}+{key.key_id.hex()}: cosigned at {time_s}, which is not in "
            f"{window.earliest_s}..{window.latest_s}"
        )
    return time_s


def verify_checkpoint(
    note: bytes, *, policy: Policy, verify: Verify, window: TimeWindow = ANY_TIME
) -> Checkpoint:
    """Return the checkpoint that this note holds if the policy is satisfied, or raise.

    Raises: FormatError; CheckpointRejectedError, with the first finding that does not hold.
    """
    examined = examine_checkpoint(note, policy=policy, verify=verify, window=window)
    for finding in examined.findings:
        if not finding.holds:
            raise CheckpointRejectedError(f"{finding.subject}: {finding.detail}")
    return examined.checkpoint


def examine_checkpoint(
    note: bytes, *, policy: Policy, verify: Verify, window: TimeWindow = ANY_TIME
) -> ExaminedCheckpoint:
    """Check every signature of a note against a policy and say what was found.

    The note is good if all findings hold: each line by a key that the policy knows verifies, its
    time lies in the window, a known log of that origin has signed, and there is a quorum. Lines by
    unknown keys are findings that hold: they are ignored. Two lines by one witness count once.
    Raises: FormatError, if the note is not a checkpoint at all.
    """
    parsed = Note.parse(note)
    checkpoint = Checkpoint.parse(parsed.text)
    logs = {(log.key.name, log.key.key_id): log.key for log in policy.logs}
    witnesses = {(known.key.name, known.key.key_id): known for known in policy.witnesses}
    findings: list[Finding] = []
    cosigned_at_s: dict[str, int] = {}
    log_signed = False
    for line in parsed.signatures:
        identity = (line.key_name, line.key_id)
        subject = f"signature {line.key_name}+{line.key_id.hex()}"
        try:
            if log_key := logs.get(identity):
                verify_signature(parsed.text, line, key=log_key, verify=verify)
                log_signed = log_signed or log_key.name == checkpoint.origin
                detail = "the log's, good"
            elif witness := witnesses.get(identity):
                time_s = verify_cosignature(
                    parsed.text, line, key=witness.key, verify=verify, window=window
                )
                cosigned_at_s.setdefault(witness.name, time_s)
                detail = f"witness {witness.name}'s, good, made at {time_s}"
            else:
                detail = "ignored, the policy does not know this key"
            findings.append(Finding(subject, holds=True, detail=detail))
        except CheckpointRejectedError as error:
            findings.append(Finding(subject, holds=False, detail=str(error)))
    findings.append(_examine_origin(checkpoint.origin, policy, log_signed=log_signed))
    findings.append(
        Finding(
            "quorum", policy.has_quorum(cosigned_at_s), detail=policy.explain_quorum(cosigned_at_s)
        )
    )
    return ExaminedCheckpoint(checkpoint, tuple(findings), cosigned_at_s)


def _examine_origin(origin: str, policy: Policy, *, log_signed: bool) -> Finding:
    if log_signed:
        return Finding("log", holds=True, detail=f"{origin} is known and has signed")
    known = [log.key.name for log in policy.logs]
    if origin in known:
        return Finding("log", holds=False, detail=f"no good signature by {origin} itself")
    names = ", ".join(known) or "none"
    return Finding("log", holds=False, detail=f"{origin} is not a known log; known: {names}")
