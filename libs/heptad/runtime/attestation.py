"""The key with which the ledger attests, out of `cell.toml`: accesses, certificates."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeAlias

from heptad.crypto.errors import KeyInvalidError
from heptad.crypto.jwk import PublicKey, public_key
from heptad.crypto.signatures import Algorithm
from heptad.runtime.config.cell import Cell
from heptad.runtime.errors import ConfigInvalidError

AttestationKeys: TypeAlias = Mapping[str, PublicKey]
"""By key id."""


def attestation_keys(cell: Cell) -> AttestationKeys:
    """The ledger's attestation keys. Raises: ConfigInvalidError for one that is none."""
    try:
        key = public_key(Algorithm.EDDSA, cell.ledger.attestation_key)
    except KeyInvalidError as error:
        reason = f"cell.toml: the attestation key of {cell.ledger.id}: {error.detail}"
        raise ConfigInvalidError((reason,)) from error
    return MappingProxyType({key.kid: key})
