"""Which lives of a validator a batch key may sign for, out of `cell.toml`.

The validator begins a life only within what its private key may sign, and whoever checks a batch
takes the key of the batch's incarnation (`heptad.consensus.committee`): two sides of one list.
"""

from typing import Final

from heptad.runtime.config.cell import ValidatorMember
from heptad.runtime.errors import ConfigInvalidError

INCARNATIONS: Final = range(2**63)
"""All that there can be."""


def incarnations_of(validator: ValidatorMember, public_key: bytes) -> range:
    """The incarnations whose batches this key (Ed25519, 32 bytes) signs.

    Raises: ConfigInvalidError if it is none of the validator's keys.
    """
    later = validator.later_batch_keys
    keys = (validator.batch_key, *(key.key for key in later))
    starts = (0, *(key.from_incarnation for key in later), INCARNATIONS.stop)
    for key, start, end in zip(keys, starts, starts[1:], strict=False):
        if key == public_key:
            return range(start, end)
    reason = f"cell.toml: names no batch key of {validator.id} that fits its private key"
    raise ConfigInvalidError((reason,))
