"""Receipts: a proof that one entry is in the log, checked off line (C2SP tlog-proof v1).

Why the checkpoint travels verbatim: a receipt is kept for decades by somebody who trusts nobody's
software, so it must carry the very bytes that were signed, in a file that other people's tools
read too. What it does not carry is a reason to be believed: that is the policy, which the holder
has from elsewhere.

Source: c2sp.org/tlog-proof.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from heptad.transparency.checkpoint import (
    ANY_TIME,
    Checkpoint,
    Finding,
    TimeWindow,
    examine_checkpoint,
)
from heptad.transparency.errors import FormatError, ProofInvalidError, ReceiptInvalidError
from heptad.transparency.merkle import HASH_BYTES, SIZE_MAX, inclusion_steps, leaf_hash
from heptad.transparency.notes import Note, Verify, decode_base64, encode_base64
from heptad.transparency.policy import Policy

RECEIPT_BYTES_MAX: Final = 1024 * 1024
PROOF_HASHES_MAX: Final = 63
"""The height of the largest tree."""

_HEADER: Final = "c2sp.org/tlog-proof@v1"
_INDEX = re.compile("index (0|[1-9][0-9]{0,18})")


@dataclass(frozen=True, slots=True)
class Receipt:
    """The parts of a `.tlog-proof` file.

    `leaf_index` counts from 0; `proof` has 32-byte hashes, the leaf's sibling first; `checkpoint`
    is a signed note, byte for byte; `extra` is for the application, signed by nobody.
    Raises: FormatError, on construction.
    """

    leaf_index: int
    proof: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes = b""

    def __post_init__(self) -> None:
        """Refuse parts that the file could not hold, or that cannot be of one log."""
        if not 0 <= self.leaf_index < SIZE_MAX:
            raise FormatError(f"leaf index {self.leaf_index} is not in any tree")
        if len(self.proof) > PROOF_HASHES_MAX:
            raise FormatError(f"an inclusion proof of {len(self.proof)} hashes")
        for count, value in enumerate(self.proof):
            if len(value) != HASH_BYTES:
                raise FormatError(f"hash {count} of the inclusion proof has {len(value)} bytes")
        Checkpoint.parse(Note.parse(self.checkpoint).text)

    def encode(self) -> bytes:
        """Return the file's bytes."""
        lines = [_HEADER]
        if self.extra:
            lines.append(f"extra {encode_base64(self.extra)}")
        lines.append(f"index {self.leaf_index}")
        lines += [encode_base64(value) for value in self.proof]
        return "\n".join([*lines, "", ""]).encode() + self.checkpoint

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a file; `encode` gives the same bytes back. Raises: FormatError."""
        if len(data) > RECEIPT_BYTES_MAX:
            raise FormatError(f"a receipt of {len(data)} bytes exceeds {RECEIPT_BYTES_MAX}")
        head, blank, checkpoint = data.partition(b"\n\n")
        if not blank:
            raise FormatError("a receipt has an empty line before its checkpoint")
        try:
            lines = head.decode("ascii").split("\n")
        except UnicodeDecodeError as error:
            raise FormatError(f"a receipt's proof is not ASCII at byte {error.start}") from None
        if lines[0] != _HEADER:
            raise FormatError(f"a receipt begins with {_HEADER!r}, not {lines[0][:60]!r}")
        extra, rest = _read_extra(lines[1:])
        found = _INDEX.fullmatch(rest[0]) if rest else None
        if found is None:
            raise FormatError(f"a receipt names its index, not {rest[:1]}")
        return cls(
            leaf_index=int(found[1]),
            proof=tuple(decode_base64(line) for line in rest[1:]),
            checkpoint=checkpoint,
            extra=extra,
        )


def _read_extra(lines: list[str]) -> tuple[bytes, list[str]]:
    """Take the optional `extra` line off; return its bytes and the lines after it."""
    if not lines or not lines[0].startswith("extra "):
        return b"", lines
    extra = decode_base64(lines[0].removeprefix("extra "))
    if not extra:
        raise FormatError("a receipt without extra data leaves the extra line out")
    return extra, lines[1:]


@dataclass(frozen=True, slots=True)
class ExaminedReceipt:
    """Everything that was checked about a receipt, in the order of the arithmetic.

    `cosigned_at_s` has each good cosigner (by policy name) with its time, seconds since 1970.
    """

    checkpoint: Checkpoint
    findings: tuple[Finding, ...]
    cosigned_at_s: Mapping[str, int]

    @property
    def holds(self) -> bool:
        """Tell whether every finding holds: then, and only then, the receipt proves its entry."""
        return all(finding.holds for finding in self.findings)


def verify_receipt(
    entry: bytes,
    receipt: Receipt,
    *,
    policy: Policy,
    verify: Verify,
    window: TimeWindow = ANY_TIME,
) -> Checkpoint:
    """Prove that these entry bytes are in a log that the policy believes, or raise.

    Returns the checkpoint that they are in.
    Raises: ReceiptInvalidError.
    """
    examined = examine_receipt(entry, receipt, policy=policy, verify=verify, window=window)
    for finding in examined.findings:
        if not finding.holds:
            raise ReceiptInvalidError(f"{finding.subject}: {finding.detail}")
    return examined.checkpoint


def examine_receipt(
    entry: bytes,
    receipt: Receipt,
    *,
    policy: Policy,
    verify: Verify,
    window: TimeWindow = ANY_TIME,
) -> ExaminedReceipt:
    """Do all the arithmetic of a receipt and say what came out at each step; never refuses.

    The steps: leaf hash, each fold, the root, each signature, the log, the quorum.
    Source: c2sp.org/tlog-proof, "Verifying a tlog proof".
    """
    examined = examine_checkpoint(receipt.checkpoint, policy=policy, verify=verify, window=window)
    findings = _fold(entry, receipt, examined.checkpoint) + list(examined.findings)
    return ExaminedReceipt(examined.checkpoint, tuple(findings), examined.cosigned_at_s)


def _fold(entry: bytes, receipt: Receipt, checkpoint: Checkpoint) -> list[Finding]:
    leaf = leaf_hash(entry)
    text = f"SHA-256(0x00, entry of {len(entry)} bytes) = {leaf.hex()}"
    findings = [Finding("leaf", holds=True, detail=text)]
    where = f"index {receipt.leaf_index} of {checkpoint.size}"
    try:
        steps = inclusion_steps(
            leaf_index=receipt.leaf_index,
            tree_size=checkpoint.size,
            leaf_hash=leaf,
            proof=receipt.proof,
        )
    except ProofInvalidError as error:
        return [*findings, Finding("proof", holds=False, detail=str(error))]
    for count, step in enumerate(steps, start=1):
        side = "left" if step.sibling_is_left else "right"
        text = f"with {step.sibling.hex()} on the {side} = {step.result.hex()}"
        findings.append(Finding(f"step {count}", holds=True, detail=text))
    computed = steps[-1].result if steps else leaf
    if computed == checkpoint.root:
        text = f"{where}: equal to the checkpoint's root"
    else:
        text = f"{where}: {computed.hex()} is not the checkpoint's root {checkpoint.root.hex()}"
    return [*findings, Finding("root", holds=computed == checkpoint.root, detail=text)]
