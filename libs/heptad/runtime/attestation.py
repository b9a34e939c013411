"""The keys with which the ledger attests, out of `cell.toml`: accesses, certificates.

What an earlier key signed stays verifiable by all of them. Whether a key may sign something *new*
is another question, for whoever acts on a statement: by those in use now, or at the time of the
statement's own block, so that a key which is stolen after its end orders nothing.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

from heptad.crypto.errors import KeyInvalidError
from heptad.crypto.jwk import PublicKey, public_key
from heptad.crypto.signatures import Algorithm
from heptad.runtime.config.cell import Cell
from heptad.runtime.config.dates import seconds_of
from heptad.runtime.errors import ConfigInvalidError

AttestationKeys: TypeAlias = Mapping[str, PublicKey]
"""By key id."""

UNDER_WAY_S: Final = 600
"""How long after a key's end what it signed before may still be on its way into the log."""


def attestation_keys(cell: Cell) -> AttestationKeys:
    """Every attestation key that the ledger has, or has had, oldest first.

    Raises: ConfigInvalidError for one that is none.
    """
    ledger = cell.ledger
    raws = (ledger.attestation_key, *(later.key for later in ledger.later_attestation_keys))
    keys = (_key(cell, raw) for raw in raws)
    return MappingProxyType({key.kid: key for key in keys})


def attestation_keys_in_use(cell: Cell) -> AttestationKeys:
    """Those that may sign something new: the last one, and its former while they overlap.

    Raises: as `attestation_keys`.
    """
    replaced = sum(bool(later.alone_since) for later in cell.ledger.later_attestation_keys)
    return MappingProxyType(dict(list(attestation_keys(cell).items())[replaced:]))


def attestation_keys_at(cell: Cell, time_ms: int) -> AttestationKeys:
    """Those that may have signed what came into the log in a block of that time.

    Raises: as `attestation_keys`.
    """
    ends = (later.alone_since for later in cell.ledger.later_attestation_keys)
    ended = sum(bool(end) and time_ms >= (seconds_of(end) + UNDER_WAY_S) * 1000 for end in ends)
    return MappingProxyType(dict(list(attestation_keys(cell).items())[ended:]))


def _key(cell: Cell, raw: bytes) -> PublicKey:
    try:
        return public_key(Algorithm.EDDSA, raw)
    except KeyInvalidError as error:
        reason = f"cell.toml: an attestation key of {cell.ledger.id}: {error.detail}"
        raise ConfigInvalidError((reason,)) from error
