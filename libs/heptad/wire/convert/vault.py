"""Messages of `heptad.vault.v1.VaultService`, from bytes to values and back.

Both ends use these functions as (de)serialisers, so that neither sees a protobuf type. Lengths and
limits that the proto promises are held here, at the door: what comes out can be used.
"""

from typing import Final

from heptad.model.lending import (
    LEASE_SUBJECTS_MAX,
    LEASE_WAIT_MS_MAX,
    RESERVED_SLOTS_MAX,
    Answer,
    CellKeys,
    EntryEvidence,
    Leases,
    LeaseSubjects,
    LentElsewhere,
    LookUpRequest,
    Question,
    RequestFound,
    ReserveSlots,
    ReturnLeases,
    Revoked,
    SlotLease,
    Slots,
    SubjectKey,
    SubjectLease,
    VaultRefusal,
)
from heptad.model.problems import PROBLEMS, Problem
from heptad.wire.convert.parsing import parse
from heptad.wire.vault.v1 import vault_pb2 as pb

SERVICE: Final = "heptad.vault.v1.VaultService"

REQUEST_ID_BYTES: Final = 32
LEASE_ID_BYTES: Final = 16
KEY_BYTES: Final = 32


def encode_question(question_id: int, question: Question) -> bytes:
    """A LeaseRequest; `question_id` is above 0 and comes back with the answer."""
    message = pb.LeaseRequest(id=question_id)
    match question:
        case LeaseSubjects(subject_ids, wait_ms, is_registering, is_sealing, proved_size_min):
            message.lease_subjects.proved_size_min = proved_size_min
            message.lease_subjects.subject_ids.extend(subject_ids)
            message.lease_subjects.wait_ms = wait_ms
            message.lease_subjects.registering = is_registering
            message.lease_subjects.sealing = is_sealing
        case ReserveSlots(count):
            message.reserve_slots.count = count
        case LookUpRequest(request_id, subject_id, applied_size_min):
            message.look_up_request.request_id = request_id
            message.look_up_request.subject_id = subject_id
            message.look_up_request.applied_size_min = applied_size_min
        case ReturnLeases(lease_ids):
            message.return_leases.SetInParent()
            message.return_leases.lease_ids.extend(lease_ids)
    return message.SerializeToString()


def question_id(data: bytes) -> int:
    """The id of a LeaseRequest whose question may be refused. Raises: Problem `frame_malformed`."""
    return parse(pb.LeaseRequest, data).id


def decode_question(data: bytes) -> tuple[int, Question]:
    """The id and the question of a LeaseRequest.

    Raises: Problem `frame_malformed`; `parameter_invalid` where a limit is exceeded.
    """
    message = parse(pb.LeaseRequest, data)
    which = message.WhichOneof("question")
    if which == "lease_subjects":
        return message.id, _lease_subjects(message.lease_subjects)
    if which == "reserve_slots":
        count = message.reserve_slots.count
        _within("count", count, low=1, high=RESERVED_SLOTS_MAX)
        return message.id, ReserveSlots(count)
    if which == "look_up_request":
        asked = message.look_up_request
        _length("request_id", asked.request_id, REQUEST_ID_BYTES)
        return message.id, LookUpRequest(asked.request_id, asked.subject_id, asked.applied_size_min)
    if which == "return_leases":
        for lease_id in message.return_leases.lease_ids:
            _length("lease_ids", lease_id, LEASE_ID_BYTES)
        return message.id, ReturnLeases(tuple(message.return_leases.lease_ids))
    raise Problem("frame_malformed", f"question {message.id} asks nothing that is known here")


def encode_answer(question_id: int, answer: Answer) -> bytes:
    """A LeaseResponse; `question_id` is 0 where the answer is pushed."""
    message = pb.LeaseResponse(id=question_id)
    match answer:
        case CellKeys(index_key, routing_key_id, routing_key):
            message.cell_keys.index_key = index_key
            message.cell_keys.routing_key_id = routing_key_id
            message.cell_keys.routing_key = routing_key
        case Leases(leases):
            message.leases.leases.extend([_lease_message(lease) for lease in leases])
        case Slots(slots, ttl_ms):
            message.slots.ttl_ms = ttl_ms
            for slot in slots:
                message.slots.slots.add(
                    key_ref=slot.key_ref, lease_id=slot.lease_id, lease_key=slot.lease_key
                )
        case RequestFound():
            _write_found(message.request_found, answer)
        case Revoked(subject_ids, is_erased):
            message.revoked.subject_ids.extend(subject_ids)
            message.revoked.erased = is_erased
        case LentElsewhere(subject_ids, look_up_ms):
            message.lent_elsewhere.subject_ids.extend(subject_ids)
            message.lent_elsewhere.look_up_ms = look_up_ms
        case VaultRefusal(code, detail):
            message.refusal.code, message.refusal.detail = code, detail
    return message.SerializeToString()


def decode_answer(data: bytes) -> tuple[int, Answer]:
    """The id (0 where pushed) and the answer of a LeaseResponse. Raises: Problem `frame_malformed`.

    Keys and ids of a wrong length are refused: a validator seals with nothing else.
    """
    message = parse(pb.LeaseResponse, data)
    which = message.WhichOneof("answer")
    answer: Answer
    if which == "cell_keys":
        answer = _cell_keys(message.cell_keys)
    elif which == "leases":
        answer = Leases(tuple(_lease(lease) for lease in message.leases.leases))
    elif which == "slots":
        answer = Slots(tuple(_slot(slot) for slot in message.slots.slots), message.slots.ttl_ms)
    elif which == "request_found":
        answer = _found(message.request_found)
    elif which == "revoked":
        answer = Revoked(tuple(message.revoked.subject_ids), message.revoked.erased)
    elif which == "lent_elsewhere":
        lent = message.lent_elsewhere
        answer = LentElsewhere(tuple(lent.subject_ids), lent.look_up_ms)
    elif which == "refusal":
        code = message.refusal.code if message.refusal.code in PROBLEMS else "internal_error"
        answer = VaultRefusal(code, message.refusal.detail)
    else:
        raise Problem("frame_malformed", f"answer {message.id} says nothing that is known here")
    return message.id, answer


def _lease_subjects(message: pb.LeaseSubjects) -> LeaseSubjects:
    _within("subject_ids", len(message.subject_ids), low=1, high=LEASE_SUBJECTS_MAX)
    _within("wait_ms", message.wait_ms, low=0, high=LEASE_WAIT_MS_MAX)
    return LeaseSubjects(
        tuple(message.subject_ids),
        message.wait_ms,
        message.registering,
        message.sealing,
        message.proved_size_min,
    )


def _within(name: str, value: int, *, low: int, high: int) -> None:
    if not low <= value <= high:
        raise Problem("parameter_invalid", f"{name} is {value}, not in {low}..{high}", field=name)


def _length(name: str, value: bytes, size: int) -> None:
    if len(value) != size:
        raise Problem("parameter_invalid", f"{name} has {len(value)} bytes, not {size}", field=name)


def _secret(name: str, value: bytes, size: int) -> bytes:
    if len(value) != size:
        raise Problem("frame_malformed", f"{name} has {len(value)} bytes, not {size}")
    return value


def _cell_keys(message: pb.CellKeys) -> CellKeys:
    return CellKeys(
        index_key=_secret("index_key", message.index_key, KEY_BYTES),
        routing_key_id=message.routing_key_id,
        routing_key=_secret("routing_key", message.routing_key, KEY_BYTES),
    )


def _lease_message(lease: SubjectLease) -> pb.SubjectLease:
    message = pb.SubjectLease(
        subject_id=lease.subject_id,
        key_ref=lease.key_ref,
        lease_id=lease.lease_id,
        lease_key=lease.lease_key,
        ttl_ms=lease.ttl_ms,
        refused_code=lease.refused_code,
        applied_size=lease.applied_size,
    )
    for key in lease.keys:
        added = message.keys.add(
            kid=key.kid,
            revoked=key.revoked,
            index=key.index,
            entry=key.entry,
            payload=key.payload,
            witness=key.witness,
            proof=key.proof,
        )
        if (revoking := key.revocation) is not None:
            added.revocation.index = revoking.index
            added.revocation.entry = revoking.entry
            added.revocation.payload = revoking.payload
            added.revocation.witness = revoking.witness
            added.revocation.proof = revoking.proof
    return message


def _lease(message: pb.SubjectLease) -> SubjectLease:
    if message.refused_code:
        known = message.refused_code in PROBLEMS
        code = message.refused_code if known else "internal_error"
        return SubjectLease(message.subject_id, refused_code=code)
    return SubjectLease(
        subject_id=message.subject_id,
        key_ref=message.key_ref,
        lease_id=_secret("lease_id", message.lease_id, LEASE_ID_BYTES),
        lease_key=_secret("lease_key", message.lease_key, KEY_BYTES),
        ttl_ms=message.ttl_ms,
        keys=tuple(map(_key, message.keys)),
        applied_size=message.applied_size,
    )


def _key(message: pb.SubjectKey) -> SubjectKey:
    return SubjectKey(
        kid=message.kid,
        revoked=message.revoked,
        index=message.index,
        entry=message.entry,
        payload=message.payload,
        witness=message.witness,
        proof=message.proof,
        revocation=_evidence(message.revocation) if message.HasField("revocation") else None,
    )


def _evidence(message: pb.EntryEvidence) -> EntryEvidence:
    return EntryEvidence(
        index=message.index,
        entry=message.entry,
        payload=message.payload,
        witness=message.witness,
        proof=message.proof,
    )


def _slot(message: pb.SlotLease) -> SlotLease:
    return SlotLease(
        key_ref=message.key_ref,
        lease_id=_secret("lease_id", message.lease_id, LEASE_ID_BYTES),
        lease_key=_secret("lease_key", message.lease_key, KEY_BYTES),
    )


def _write_found(message: pb.RequestFound, found: RequestFound) -> None:
    message.found = found.found
    message.index = found.index
    message.claims_digest = found.claims_digest
    message.entry = found.entry
    message.subject_id = found.subject_id


def _found(message: pb.RequestFound) -> RequestFound:
    return RequestFound(
        found=message.found,
        index=message.index,
        claims_digest=message.claims_digest,
        entry=message.entry,
        subject_id=message.subject_id,
    )
