"""Which validator a request goes to: rendezvous hashing of the subject.

A retry has to meet the validator that holds the replay window of the first try, without anybody
keeping a table. Every part that asks (gateway, client, validator) computes the same ranking, and a
validator that is down moves only its own subjects.

Source: Thaler and Ravishankar, Using name-based mappings to increase hit rates, 1998.
"""

from collections.abc import Sequence
from hashlib import blake2b


def ranked(subject_id: str, validators: Sequence[int]) -> list[int]:
    """The validators' numbers, the preferred one first; the same for every caller.

    `subject_id` is the request's `iss`; the order of `validators` does not matter.
    """
    key = subject_id.encode()

    def weight(validator: int) -> bytes:
        person = validator.to_bytes(8, "big")
        return blake2b(key, digest_size=8, person=person).digest()

    return sorted(validators, key=lambda validator: (weight(validator), validator), reverse=True)
