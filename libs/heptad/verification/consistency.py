"""Does the newer checkpoint continue the older one, or has the log shown two histories?

Both notes are judged by the policy first: a proof between heads that nobody has signed says
nothing. Two good notes that do *not* agree are the gravest finding there is, and the text says to
keep both of them, because together they convict more than f replicas.
"""

from collections.abc import Sequence

from heptad.crypto.signatures import verify
from heptad.transparency.checkpoint import Checkpoint, TimeWindow, verify_checkpoint
from heptad.transparency.errors import (
    CheckpointRejectedError,
    FormatError,
    ProofInvalidError,
    TileUnreadableError,
)
from heptad.transparency.merkle import verify_consistency
from heptad.transparency.policy import Policy
from heptad.transparency.tiled_tree import consistency_proof
from heptad.transparency.tiles import FetchedTiles
from heptad.verification.errors import LogInvalidError
from heptad.verification.logs import ReadPath
from heptad.verification.receipts import CLOCK_BOUND_S


def verify_continuation(
    *, old_note: bytes, new_note: bytes, proof: Sequence[bytes], policy: Policy, now_s: int
) -> tuple[Checkpoint, Checkpoint]:
    """Prove by these hashes (RFC 9162, section 2.1.4) that new continues old, or raise.

    Returns both checkpoints. Raises: LogInvalidError.
    """
    old, new = _judged_pair(old_note, new_note, policy, now_s)
    _verify(old, new, proof)
    return old, new


def verify_continuation_by_tiles(
    *, old_note: bytes, new_note: bytes, read: ReadPath, policy: Policy, now_s: int
) -> tuple[Checkpoint, Checkpoint]:
    """The same, with the proof made here out of the log's tiles, which need no trust for it.

    Raises: LogInvalidError; whatever `read` raises.
    """
    old, new = _judged_pair(old_note, new_note, policy, now_s)
    proof: list[bytes] = []
    if 0 < old.size < new.size:
        try:
            proof = consistency_proof(
                old_size=old.size, new_size=new.size, tiles=FetchedTiles(read)
            )
        except TileUnreadableError as error:
            raise LogInvalidError(f"a log of {new.size} entries: {error}") from None
    _verify(old, new, proof)
    return old, new


def _judged_pair(
    old_note: bytes, new_note: bytes, policy: Policy, now_s: int
) -> tuple[Checkpoint, Checkpoint]:
    window = TimeWindow.until(now_s, bound_s=CLOCK_BOUND_S)
    judged = []
    for which, note in (("old", old_note), ("new", new_note)):
        try:
            judged.append(verify_checkpoint(note, policy=policy, verify=verify, window=window))
        except (FormatError, CheckpointRejectedError) as error:
            raise LogInvalidError(f"the {which} checkpoint: {error}") from None
    old, new = judged
    if old.origin != new.origin:
        raise LogInvalidError(f"two logs: {old.origin} and {new.origin}")
    if old.size > new.size:
        raise LogInvalidError(f"the log had {old.size} entries and now says {new.size}")
    return old, new


def _verify(old: Checkpoint, new: Checkpoint, proof: Sequence[bytes]) -> None:
    if old.size == 0:
        return  # every log continues the empty one
    try:
        verify_consistency(
            old_size=old.size,
            new_size=new.size,
            old_root=old.root,
            new_root=new.root,
            proof=proof,
        )
    except ProofInvalidError as error:
        raise LogInvalidError(
            f"{error}. If the proof is as the log gave it, keep both checkpoints: "
            "they may show two histories of one log"
        ) from None
