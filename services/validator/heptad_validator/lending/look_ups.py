"""When a replay could be one that this validator cannot know of, the ledger is asked.

Three cases (docs/spec/mesh.md, "Replay"): a request that an earlier life of this validator may have
admitted, one of a subject whose first validator is another, and one of a subject of its own whose
key another validator had on loan at the time (the ledger tells). An earlier life may have admitted
whatever was signed until its end, by a clock that may have run ahead by the tolerated skew; so in
the first 30 s after a restart every request is looked up. That halves the throughput of those
seconds (measured). To look up less would be faster and let a client whose clock runs ahead be told
two indexes for one request, so it is not done.
"""

from typing import Final

from heptad.crypto.bundles import SignedBundle
from heptad.crypto.requests import SignedRequest
from heptad.model.canonical import MalformedError
from heptad.model.entry import Entry, Outcome
from heptad.model.lending import LentElsewhere, LookUpRequest, RequestFound
from heptad.model.problems import Problem
from heptad.wire.convert.entry import decode_entry
from heptad_validator.checks.freshness import Timed
from heptad_validator.lending.desk import Vault
from heptad_validator.policy import Policy, judge
from heptad_validator.tickets import Ticket

ANSWER_S_MAX: Final = 5.0

STRAYS_MAX: Final = 20_000
"""Subjects remembered one by one that others work for; of more, all subjects count as such."""


class LookUps:
    """Asks the ledger for requests of other lives and other validators."""

    def __init__(self, *, vault: Vault, policy: Policy) -> None:
        self._vault = vault
        self._policy = policy
        self._iat_s_known = 0
        self._fence_index = 0
        self._iat_s_strayed = 0
        self._strays: dict[str, int] = {}

    def follow_former_life(self, *, start_s: int, skew_s_max: int, fence_index: int) -> None:
        """There was an earlier life; the log up to `fence_index` holds all that it admitted.

        `start_s` is when this life began: the wall clock, in seconds, rounded up. It admitted
        nothing with an `iat` later than that by more than `skew_s_max`.
        """
        self._iat_s_known = start_s + skew_s_max + 1
        self._fence_index = fence_index

    def follow_others(self, lent: LentElsewhere, *, now_s: int) -> None:
        """Another validator may admit what these subjects sign; `now_s` is the wall clock."""
        until_s = now_s + 1 + -(-lent.look_up_ms // 1000)
        if not lent.subject_ids:
            self._iat_s_strayed = max(self._iat_s_strayed, until_s)
        for subject_id in lent.subject_ids:
            # Taken out first, so that what was said last stands last.
            self._strays[subject_id] = max(until_s, self._strays.pop(subject_id, 0))
            if len(self._strays) > STRAYS_MAX:
                oldest_s = self._strays.pop(next(iter(self._strays)))
                self._iat_s_strayed = max(self._iat_s_strayed, oldest_s)

    def forget(self, subject_id: str) -> None:
        """That subject is erased."""
        self._strays.pop(subject_id, None)

    def is_needed(self, request: SignedRequest, *, is_home: bool) -> bool:
        """Whether somebody else may have admitted this request."""
        iat_s_known = max(self._iat_s_known, self._iat_s_strayed)
        return (
            not is_home
            or request.iat < iat_s_known
            or request.iat < self._strays.get(request.iss, 0)
        )

    def sweep(self, now_s: int, *, fresh_s_max: int) -> None:
        """Forget subjects of whose requests of that time none can be fresh; oldest in front.

        `now_s` is the wall clock, `fresh_s_max` how long after its `iat` a request is taken.
        """
        while self._strays and self._strays[next(iter(self._strays))] + fresh_s_max < now_s:
            del self._strays[next(iter(self._strays))]

    async def find(
        self, request: Timed, *, request_id: bytes, subject_id: str
    ) -> RequestFound | None:
        """Where the log has the request, or None.

        `subject_id` is empty for a registration, and for a bundle's statement.

        Raises: Problem `vault_unavailable`, `overloaded`.
        """
        was_before = request.iat < self._iat_s_known
        question = LookUpRequest(
            request_id=request_id,
            subject_id=subject_id,
            applied_size_min=self._fence_index if was_before else 0,
        )
        answer = await self._vault.ask(question, timeout_s=ANSWER_S_MAX)
        if not isinstance(answer, RequestFound):
            raise Problem(
                "vault_unavailable", "the ledger answered another question", retry_after_s=1
            )
        return answer if answer.found else None

    def bundle_ticket(
        self, statement: SignedBundle, *, request_id: bytes, found: RequestFound
    ) -> Ticket:
        """A bundle that the log has, as a ticket that is committed already.

        Raises: Problem `vault_unavailable` if the ledger sent no entry that can be read.
        """
        ticket = Ticket(
            request_id=request_id,
            claims_digest=found.claims_digest,
            exp_s=statement.exp,
            time_ms=_entry(found).time_ms,
            outcome=Outcome.NONE,
        )
        ticket.settle(found.index)
        return ticket

    def ticket(self, request: SignedRequest, *, request_id: bytes, found: RequestFound) -> Ticket:
        """The stored outcome as a ticket that is committed already.

        Raises: Problem `vault_unavailable` if the ledger sent no entry that can be read.
        """
        entry = _entry(found)
        denied_code = ""
        if entry.outcome is Outcome.DENIED:
            verdict = judge(request.svc, request.act, policy=self._policy)
            denied_code = verdict.denied_code or "action_not_allowed"
        ticket = Ticket(
            request_id=request_id,
            claims_digest=found.claims_digest,
            exp_s=request.exp,
            time_ms=entry.time_ms,
            outcome=entry.outcome,
            denied_code=denied_code,
        )
        ticket.settle(found.index)
        return ticket


def _entry(found: RequestFound) -> Entry:
    """Raises: Problem `vault_unavailable`."""
    try:
        return decode_entry(found.entry)
    except MalformedError as error:
        detail = f"the ledger sent no entry: {error}"
        raise Problem("vault_unavailable", detail, retry_after_s=1) from error
