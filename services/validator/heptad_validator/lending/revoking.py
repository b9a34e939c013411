"""What a validator does the moment the vault takes leases back.

The leases are dropped before anything else is sealed under them, and go back at once, since an
erasure waits for them. Of a subject that is erased everything else is forgotten, too, that is kept
under its id or could still be answered from: who waits for its key is refused, and what was
answered within the last second is judged anew. What is left are hashes of its requests in the
replay window, until these have expired.
"""

from heptad.model.lending import Revoked
from heptad.model.problems import Problem
from heptad_validator.lending.vault_link import VaultLink
from heptad_validator.parts import Parts


def take_back(revoked: Revoked, *, parts: Parts, vault: VaultLink) -> None:
    """Do what the vault has pushed."""
    now_s = parts.clock.monotonic_s()
    if not revoked.subject_ids:
        parts.book.revoke_all(now_s)
    for subject_id in revoked.subject_ids:
        parts.book.revoke(subject_id, now_s)
        if revoked.is_erased:
            parts.book.forget(subject_id)
            parts.look_ups.forget(subject_id)
            problem = Problem("subject_erased", "the subject is erased, or is about to be")
            parts.desk.on_refused(subject_id, problem)
    if revoked.is_erased:
        parts.recent.clear()
    vault.give_back(parts.book.take_returned())
