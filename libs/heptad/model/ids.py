"""The words for numbers and digests that several rooms share, so that mypy keeps them apart.

Numbers count from 0 unless their docstring says otherwise. On the wire all are big-endian.
"""

from typing import NewType

MemberIndex = NewType("MemberIndex", int)
"""A replica's place in its group, 0..n-1; the replica called `replica-3` has index 2. One byte."""

ValidatorNumber = NewType("ValidatorNumber", int)
"""A validator's number as in its name, `validator-1` has 1. Four bytes."""

Epoch = NewType("Epoch", int)
"""How often the group's membership has changed. Eight bytes."""

Round = NewType("Round", int)
"""A round of consensus within an epoch; the genesis block has round 0. Eight bytes."""

Height = NewType("Height", int)
"""How many blocks lie below a block; the genesis block has height 0. Eight bytes."""

BlockId = NewType("BlockId", bytes)
"""SHA-256 of a block's header bytes. 32 bytes."""

BatchDigest = NewType("BatchDigest", bytes)
"""The digest of a batch, see `heptad.model.batch`. 32 bytes."""

LogIndex = NewType("LogIndex", int)
"""An entry's place in the cell's log. Eight bytes."""
