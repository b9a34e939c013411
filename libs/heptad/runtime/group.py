"""The group of replicas as consensus knows it, out of `cell.toml`.

Replicas, which take part, and ledgers, which check what was agreed, must mean the very same group:
two that differ in any key have different genesis blocks.
"""

from heptad.consensus.committee import Cell as AgreedCell
from heptad.consensus.committee import Committee, LaterKey, Member, Validator
from heptad.model.ids import Epoch, MemberIndex, ValidatorNumber
from heptad.runtime.config.cell import Cell, ValidatorMember


def agreed_cell(cell: Cell) -> AgreedCell:
    """The genesis that all replicas of `cell` share, members in the order of their numbers."""
    replicas = sorted(cell.replicas, key=lambda replica: member_number(replica.id))
    members = tuple(
        Member(vote_key=replica.vote_key, cosign_key=replica.cosign_key) for replica in replicas
    )
    validators = tuple(_agreed_validator(validator) for validator in cell.validators)
    return AgreedCell(
        origin=cell.origin,
        epoch=Epoch(cell.epoch),
        committee=Committee(members),
        validators=validators,
    )


def _agreed_validator(validator: ValidatorMember) -> Validator:
    return Validator(
        number=ValidatorNumber(member_number(validator.id)),
        batch_key=validator.batch_key,
        later_keys=tuple(
            LaterKey(later.from_incarnation, later.key) for later in validator.later_batch_keys
        ),
    )


def member_number(member_id: str) -> int:
    """3 of `replica-3`."""
    return int(member_id.rpartition("-")[2])


def member_index(replica_id: str) -> MemberIndex:
    """2 of `replica-3`: consensus counts members from 0."""
    return MemberIndex(member_number(replica_id) - 1)
