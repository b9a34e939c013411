"""How an erasure stands, as callers are told: what the ledger keeps, with proofs, and no more.

Whoever has a request's id, which nobody can guess, may know how the request stands. A gateway that
was given only a subject's id is told of an erasure that is ordered or done, for then no signature
of that subject can be checked any more, and of nothing else. Whose erasure it is, officers are
told.
"""

from collections.abc import Callable
from typing import Final

from heptad.crypto.derivation import erasure_salt
from heptad.model import base64url
from heptad.model.erasing import (
    PAGE_SIZE_DEFAULT,
    PAGE_SIZE_MAX,
    CertificateParts,
    Erasure,
    ErasurePage,
    Hold,
)
from heptad.model.erasure import ErasureState
from heptad.model.problems import Problem
from heptad.runtime.deadlines import one_month_after
from heptad_ledger.log_reads import LogReads
from heptad_ledger.privacy.ports import ErasureRow, Erasures

REQUEST_ID_BYTES: Final = 32
_TOKEN_BYTES: Final = 8
_FINAL: Final = frozenset({ErasureState.ORDERED, ErasureState.ERASED})


class ErasureReads:
    """Reads of erasures; `holds_of` gives a subject's holds by its id."""

    def __init__(
        self,
        erasures: Erasures,
        *,
        reads: LogReads,
        index_key: Callable[[], bytes],
        holds_of: Callable[[str], tuple[Hold, ...]],
        require_settled: Callable[[], None] = lambda: None,
    ) -> None:
        """`require_settled` raises a Problem while erasures may be found as they stood long ago."""
        self._erasures = erasures
        self._reads = reads
        self._index_key = index_key
        self._holds_of = holds_of
        self._require_settled = require_settled

    def find(self, name: bytes | str, *, is_officer: bool) -> Erasure:
        """The erasure of that request (32 bytes), or the last one of that subject.

        Raises: Problem `erasure_unknown`, `parameter_invalid`, `vault_unavailable`.
        """
        self._require_settled()
        if isinstance(name, str):
            row = self._erasures.find_of_subject(name)
            is_told = is_officer or (row is not None and row.state in _FINAL)
        else:
            _require_request_id(name)
            row = self._erasures.find(name)
            is_told = True
        if row is None or not is_told:
            raise Problem("erasure_unknown", "no erasure is known by that name", retry_after_s=1)
        return self.told(row, is_officer=is_officer)

    def told(self, row: ErasureRow, *, is_officer: bool) -> Erasure:
        """An erasure with its proofs, and for officers whose it is."""
        subject_id = row.subject_id if is_officer else ""
        return self._erasure(
            row,
            certificate=self._certificate(row),
            subject_id=subject_id,
            holds=self._holds_of(subject_id) if subject_id else (),
        )

    def page(self, page_size: int, page_token: str) -> ErasurePage:
        """Erasures that are not decided or not done, the first first.

        Raises: Problem `parameter_invalid`, `page_token_invalid`, `vault_unavailable`.
        """
        self._require_settled()
        if page_size > PAGE_SIZE_MAX:
            detail = f"page_size {page_size}; {PAGE_SIZE_MAX} may be"
            raise Problem("parameter_invalid", detail, field="page_size")
        count_max = page_size or PAGE_SIZE_DEFAULT
        after = _read_token(page_token)
        rows = self._erasures.open_rows(after=after, count_max=count_max + 1)
        shown = rows[:count_max]
        token = _token(shown[-1].number) if len(rows) > count_max else ""
        erasures = tuple(self._erasure(row, subject_id=row.subject_id) for row in shown)
        return ErasurePage(erasures, token)

    def _erasure(
        self,
        row: ErasureRow,
        *,
        certificate: CertificateParts | None = None,
        subject_id: str = "",
        holds: tuple[Hold, ...] = (),
    ) -> Erasure:
        return Erasure(
            request_id=row.request_hash,
            salt=erasure_salt(cell_index_key=self._index_key(), request_hash=row.request_hash),
            state=row.state,
            ordered_by=row.ordered_by,
            ground=row.ground,
            received_at_ms=row.received_at_ms,
            decide_by_ms=one_month_after(row.received_at_ms),
            order_index=row.order_index,
            refusal_index=row.refusal_index,
            refusal_ground=row.refusal_ground,
            certificate=certificate,
            subject_id=subject_id,
            holds=holds,
        )

    def _certificate(self, row: ErasureRow) -> CertificateParts | None:
        """The certificate, once a checkpoint covers it: under the first one that does, always the
        same."""
        if row.certificate_index is None or row.order_index is None:
            return None
        try:
            receipt, size = self._reads.receipt_at(row.certificate_index)
        except Problem as problem:
            if problem.code != "receipt_pending":
                raise
            return None
        return CertificateParts(
            index=receipt.index,
            entry=receipt.entry,
            proof=receipt.proof,
            order_entry=self._reads.entry(row.order_index),
            order_inclusion=self._reads.inclusion_proof(row.order_index, size).hashes,
        )


def _require_request_id(name: bytes) -> None:
    if len(name) != REQUEST_ID_BYTES:
        detail = f"a request id has {REQUEST_ID_BYTES} bytes, not {len(name)}"
        raise Problem("parameter_invalid", detail, field="request_id")


def _token(number: int) -> str:
    return base64url.encode(number.to_bytes(_TOKEN_BYTES, "big"))


def _read_token(token: str) -> int:
    if not token:
        return 0
    try:
        packed = base64url.decode(token)
    except base64url.Base64UrlError:
        packed = b""
    if len(packed) != _TOKEN_BYTES:
        raise Problem("page_token_invalid", "the page token is not one of this listing")
    return int.from_bytes(packed, "big")
