"""Messages of `heptad.privacy.v1.PrivacyService`, from bytes to values and back.

As with the other converters both ends use these functions, so that neither sees a protobuf type.
All `decode_…` raise Problem `frame_malformed`, or `parameter_invalid` for a word that is not known.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final, TypeVar

from heptad.model.erasing import (
    CertificateParts,
    DecisionCall,
    Erasure,
    ErasurePage,
    Hold,
    OrderCall,
    Ordered,
    RevokeKeyCall,
)
from heptad.model.erasure import ErasureGround, ErasureState, OrderedBy, RefusalGround
from heptad.model.listed_keys import ListedKey
from heptad.model.problems import Problem
from heptad.wire.convert.parsing import parse
from heptad.wire.privacy.v1 import privacy_pb2 as pb

SERVICE: Final = "heptad.privacy.v1.PrivacyService"

WordT = TypeVar("WordT", bound=StrEnum)


def _numbered(words: type[WordT], prefix: str, numbers: Mapping[str, int]) -> dict[WordT, int]:
    """The number of each word in its protobuf enum; a word without one is a bug found at import."""
    return {word: numbers[prefix + word.name] for word in words}


_GROUNDS: Final = _numbered(ErasureGround, "ERASURE_GROUND_", dict(pb.ErasureGround.items()))
_REFUSALS: Final = _numbered(RefusalGround, "REFUSAL_GROUND_", dict(pb.RefusalGround.items()))
_STATES: Final = _numbered(ErasureState, "ERASURE_STATE_", dict(pb.ErasureState.items()))
_ORDERED_BY: Final = _numbered(OrderedBy, "ORDERED_BY_", dict(pb.OrderedBy.items()))
_GROUND_OF: Final = {number: word for word, number in _GROUNDS.items()}
_REFUSAL_OF: Final = {number: word for word, number in _REFUSALS.items()}
_STATE_OF: Final = {number: word for word, number in _STATES.items()}
_ORDERED_BY_OF: Final = {number: word for word, number in _ORDERED_BY.items()}


def encode_order_call(call: OrderCall) -> bytes:
    """An OrderErasureRequest."""
    message = pb.OrderErasureRequest(subject_ids=call.subject_ids, reason=call.reason)
    message.ground = _GROUNDS[call.ground]  # type: ignore[assignment]  # protobuf's own enum
    return message.SerializeToString()


def decode_order_call(data: bytes) -> OrderCall:
    """An OrderErasureRequest."""
    message = parse(pb.OrderErasureRequest, data)
    ground = _word(_GROUND_OF, message.ground, "ground")
    return OrderCall(tuple(message.subject_ids), ground, message.reason)


def encode_ordered(ordered: Iterable[Ordered]) -> bytes:
    """An OrderErasureResponse."""
    return pb.OrderErasureResponse(
        ordered=[
            pb.Ordered(
                subject_id=each.subject_id,
                request_id=each.request_id,
                refused_code=each.refused_code,
            )
            for each in ordered
        ]
    ).SerializeToString()


def decode_ordered(data: bytes) -> tuple[Ordered, ...]:
    """An OrderErasureResponse."""
    message = parse(pb.OrderErasureResponse, data)
    return tuple(
        Ordered(each.subject_id, each.request_id, each.refused_code) for each in message.ordered
    )


def encode_refuse_call(call: DecisionCall) -> bytes:
    """A RefuseErasureRequest."""
    return _put_decision(pb.RefuseErasureRequest(), call)


def decode_refuse_call(data: bytes) -> DecisionCall:
    """A RefuseErasureRequest."""
    return _decision(parse(pb.RefuseErasureRequest, data))


def encode_refused(erasure: Erasure) -> bytes:
    """A RefuseErasureResponse."""
    return pb.RefuseErasureResponse(erasure=_put_erasure(erasure)).SerializeToString()


def decode_refused(data: bytes) -> Erasure:
    """A RefuseErasureResponse."""
    return _erasure(parse(pb.RefuseErasureResponse, data).erasure)


def encode_set_hold_call(call: DecisionCall) -> bytes:
    """A SetHoldRequest."""
    return _put_decision(pb.SetHoldRequest(), call)


def decode_set_hold_call(data: bytes) -> DecisionCall:
    """A SetHoldRequest."""
    return _decision(parse(pb.SetHoldRequest, data))


def encode_hold_set(holds: Iterable[Hold]) -> bytes:
    """A SetHoldResponse."""
    return pb.SetHoldResponse(holds=_put_holds(holds)).SerializeToString()


def decode_hold_set(data: bytes) -> tuple[Hold, ...]:
    """A SetHoldResponse."""
    return _holds(parse(pb.SetHoldResponse, data).holds)


def encode_lift_hold_call(call: DecisionCall) -> bytes:
    """A LiftHoldRequest."""
    return _put_decision(pb.LiftHoldRequest(), call)


def decode_lift_hold_call(data: bytes) -> DecisionCall:
    """A LiftHoldRequest."""
    return _decision(parse(pb.LiftHoldRequest, data))


def encode_keys_call(jws: bytes) -> bytes:
    """A ListKeysRequest."""
    return pb.ListKeysRequest(jws=jws).SerializeToString()


def decode_keys_call(data: bytes) -> bytes:
    """A ListKeysRequest: the JWS."""
    return parse(pb.ListKeysRequest, data).jws


def encode_keys(keys: Iterable[ListedKey]) -> bytes:
    """A ListKeysResponse."""
    return pb.ListKeysResponse(
        keys=[
            pb.ListedKey(
                kid=key.kid,
                index=key.index,
                added_ms=key.added_ms,
                revoked_index=key.revoked_index,
                revoked_ms=key.revoked_ms,
            )
            for key in keys
        ]
    ).SerializeToString()


def decode_keys(data: bytes) -> tuple[ListedKey, ...]:
    """A ListKeysResponse."""
    return tuple(
        ListedKey(
            kid=key.kid,
            index=key.index,
            added_ms=key.added_ms,
            revoked_index=key.revoked_index if key.HasField("revoked_index") else None,
            revoked_ms=key.revoked_ms if key.HasField("revoked_ms") else None,
        )
        for key in parse(pb.ListKeysResponse, data).keys
    )


def encode_revoke_key_call(call: RevokeKeyCall) -> bytes:
    """A RevokeKeyRequest."""
    return pb.RevokeKeyRequest(
        subject_id=call.subject_id, kid=call.kid, reason=call.reason
    ).SerializeToString()


def decode_revoke_key_call(data: bytes) -> RevokeKeyCall:
    """A RevokeKeyRequest."""
    message = parse(pb.RevokeKeyRequest, data)
    return RevokeKeyCall(message.subject_id, message.kid, message.reason)


def encode_key_revoked(index: int) -> bytes:
    """A RevokeKeyResponse."""
    return pb.RevokeKeyResponse(index=index).SerializeToString()


def decode_key_revoked(data: bytes) -> int:
    """A RevokeKeyResponse: the log index of the revocation."""
    return parse(pb.RevokeKeyResponse, data).index


def encode_hold_lifted(holds: Iterable[Hold]) -> bytes:
    """A LiftHoldResponse."""
    return pb.LiftHoldResponse(holds=_put_holds(holds)).SerializeToString()


def decode_hold_lifted(data: bytes) -> tuple[Hold, ...]:
    """A LiftHoldResponse."""
    return _holds(parse(pb.LiftHoldResponse, data).holds)


def encode_erasure_call(name: bytes | str) -> bytes:
    """A GetErasureRequest: by the handle's 32 bytes, or by the subject's id."""
    if isinstance(name, bytes):
        return pb.GetErasureRequest(request_id=name).SerializeToString()
    return pb.GetErasureRequest(subject_id=name).SerializeToString()


def decode_erasure_call(data: bytes) -> bytes | str:
    """What a GetErasureRequest names: a handle, or a subject."""
    message = parse(pb.GetErasureRequest, data)
    match message.WhichOneof("name"):
        case "request_id":
            return message.request_id
        case "subject_id":
            return message.subject_id
    raise Problem("parameter_invalid", "neither request_id nor subject_id is given")


def encode_erasure(erasure: Erasure) -> bytes:
    """A GetErasureResponse."""
    return pb.GetErasureResponse(erasure=_put_erasure(erasure)).SerializeToString()


def decode_erasure(data: bytes) -> Erasure:
    """A GetErasureResponse."""
    return _erasure(parse(pb.GetErasureResponse, data).erasure)


def encode_list_call(*, page_size: int = 0, page_token: str = "") -> bytes:
    """A ListErasuresRequest; page size 0 leaves it to the ledger."""
    message = pb.ListErasuresRequest(page_size=page_size, page_token=page_token)
    return message.SerializeToString()


def decode_list_call(data: bytes) -> tuple[int, str]:
    """Page size and page token of a ListErasuresRequest."""
    message = parse(pb.ListErasuresRequest, data)
    return message.page_size, message.page_token


def encode_page(page: ErasurePage) -> bytes:
    """A ListErasuresResponse."""
    return pb.ListErasuresResponse(
        erasures=map(_put_erasure, page.erasures), next_page_token=page.next_page_token
    ).SerializeToString()


def decode_page(data: bytes) -> ErasurePage:
    """A ListErasuresResponse."""
    message = parse(pb.ListErasuresResponse, data)
    return ErasurePage(tuple(map(_erasure, message.erasures)), message.next_page_token)


_Decision = pb.RefuseErasureRequest | pb.SetHoldRequest | pb.LiftHoldRequest


def _put_decision(message: _Decision, call: DecisionCall) -> bytes:
    message.subject_id = call.subject_id
    message.ground = _REFUSALS[call.ground]  # type: ignore[assignment]  # protobuf's own enum
    message.reason = call.reason
    return message.SerializeToString()


def _decision(message: _Decision) -> DecisionCall:
    ground = _word(_REFUSAL_OF, message.ground, "ground")
    return DecisionCall(message.subject_id, ground, message.reason)


def _put_holds(holds: Iterable[Hold]) -> Iterable[pb.Hold]:
    for hold in holds:
        message = pb.Hold(since_ms=hold.since_ms)
        message.ground = _REFUSALS[hold.ground]  # type: ignore[assignment]  # protobuf's own enum
        yield message


def _holds(messages: Iterable[pb.Hold]) -> tuple[Hold, ...]:
    return tuple(
        Hold(_word(_REFUSAL_OF, message.ground, "holds"), message.since_ms) for message in messages
    )


def _put_erasure(erasure: Erasure) -> pb.Erasure:
    message = pb.Erasure(
        request_id=erasure.request_id,
        salt=erasure.salt,
        received_at_ms=erasure.received_at_ms,
        decide_by_ms=erasure.decide_by_ms,
        order_index=erasure.order_index,
        refusal_index=erasure.refusal_index,
        subject_id=erasure.subject_id,
        holds=_put_holds(erasure.holds),
    )
    message.state = _STATES[erasure.state]  # type: ignore[assignment]  # protobuf's own enums
    message.ordered_by = _ORDERED_BY[erasure.ordered_by]  # type: ignore[assignment]
    message.ground = _GROUNDS[erasure.ground]  # type: ignore[assignment]
    if erasure.refusal_ground is not None:
        message.refusal_ground = _REFUSALS[erasure.refusal_ground]  # type: ignore[assignment]
    if (parts := erasure.certificate) is not None:
        certificate = pb.CertificateParts(
            index=parts.index,
            entry=parts.entry,
            proof=parts.proof,
            order_entry=parts.order_entry,
            order_inclusion=parts.order_inclusion,
        )
        message.certificate.CopyFrom(certificate)
    return message


def _erasure(message: pb.Erasure) -> Erasure:
    has = message.HasField
    refused = message.refusal_ground != pb.REFUSAL_GROUND_UNSPECIFIED
    return Erasure(
        request_id=message.request_id,
        salt=message.salt,
        state=_word(_STATE_OF, message.state, "state"),
        ordered_by=_word(_ORDERED_BY_OF, message.ordered_by, "ordered_by"),
        ground=_word(_GROUND_OF, message.ground, "ground"),
        received_at_ms=message.received_at_ms,
        decide_by_ms=message.decide_by_ms,
        order_index=message.order_index if has("order_index") else None,
        refusal_index=message.refusal_index if has("refusal_index") else None,
        refusal_ground=(
            _word(_REFUSAL_OF, message.refusal_ground, "refusal_ground") if refused else None
        ),
        certificate=_certificate(message.certificate) if has("certificate") else None,
        subject_id=message.subject_id,
        holds=_holds(message.holds),
    )


def _certificate(message: pb.CertificateParts) -> CertificateParts:
    return CertificateParts(
        index=message.index,
        entry=message.entry,
        proof=message.proof,
        order_entry=message.order_entry,
        order_inclusion=tuple(message.order_inclusion),
    )


def _word(words: Mapping[int, WordT], number: int, name: str) -> WordT:
    word = words.get(number)
    if word is None:
        raise Problem("parameter_invalid", f"{name} {number} is not known", field=name)
    return word
