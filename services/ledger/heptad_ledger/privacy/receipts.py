"""A receipt with its private half, for its subject and nobody else."""

from heptad.crypto.errors import SealBrokenError
from heptad.crypto.sealing import open_stored
from heptad.model.exporting import OpenedReceipt, OpenReceipt
from heptad.model.problems import Problem
from heptad_ledger.log_reads import LogReads
from heptad_ledger.privacy.authority import Authority
from heptad_ledger.store import LogStore


class PrivateReceipts:
    """Opens receipts on their subject's word."""

    def __init__(self, *, store: LogStore, reads: LogReads, authority: Authority) -> None:
        self._store = store
        self._reads = reads
        self._authority = authority

    def open(self, call: OpenReceipt) -> OpenedReceipt:
        """The receipt, with what its entry commits to.

        Somebody else's receipt is as unknown as one that is not there: whose a request is, is
        nobody else's business.
        Raises: Problem, `request_unknown` also for another subject's.
        """
        subject = self._authority.opening(call.jws, call.request_id, call.event)
        if call.event is None:
            receipt = self._reads.receipt(call.request_id)
        else:
            receipt = self._reads.event_receipt(call.request_id, call.event)
        with self._store.snapshot() as snapshot:
            stored = snapshot.sealed(receipt.index)
        try:
            if stored is None:
                raise SealBrokenError("nothing is held")
            opened = open_stored(
                stored,
                entry=receipt.entry,
                entry_index=receipt.index,
                slot_key=subject.slot_key,
            )
        except SealBrokenError:
            raise Problem("request_unknown", "the subject has no such request") from None
        return OpenedReceipt(receipt, opened.payload, opened.witness)
