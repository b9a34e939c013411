"""Everything that `Core.step` takes. All entropy and time come in from outside.

An event from the network names who sent it: the transport has authenticated that peer (mutual TLS),
and the core trusts the name, never the bytes.
"""

from dataclasses import dataclass
from typing import TypeAlias

from heptad.model.ids import MemberIndex, ValidatorNumber


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A peer's message, as `heptad.consensus.messages.encode_message` made it.

    Rubbish is refused with a fact, so the shell passes everything on unread.
    """

    sender: MemberIndex
    payload: bytes


@dataclass(frozen=True, slots=True)
class PeerConnected:
    """A connection to a member has come up (again): it is told my highest certificates."""

    member: MemberIndex


@dataclass(frozen=True, slots=True)
class PeerLost:
    """A connection to or from a member is broken, or could not be made: if he leads, he is not
    waited for as long as another. Anything that is heard of him takes it back.
    """

    member: MemberIndex


@dataclass(frozen=True, slots=True)
class BatchReceived:
    """A batch from the validator itself, as `heptad.model.batch.encode_batch` made it.

    Answered by exactly one `BatchOutcome` in the same step's `Ready`. One that was accepted may be
    answered OVERLOADED later, when it has to give way to one that is committed sooner.
    """

    validator: ValidatorNumber
    payload: bytes


@dataclass(frozen=True, slots=True)
class EvidenceReceived:
    """A ledger hands on a proof of misbehaviour, see `heptad.consensus.evidence`."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class TimerFired:
    """`Ready.timer_at_ms` has come. Harmless when early or late."""


Event: TypeAlias = (
    MessageReceived | PeerConnected | PeerLost | BatchReceived | EvidenceReceived | TimerFired
)
