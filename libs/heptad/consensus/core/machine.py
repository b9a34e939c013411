"""One replica's state machine: `step(event, now_ms) -> Ready`, pure and deterministic.

Two-chain HotStuff with time-out certificates (Jolteon, DiemBFT v4). A step has two halves. First
the event is *taken in*: what arrives is verified, certificates are adopted, votes and time-outs
counted, headers parked. Then the replica *settles*: whatever has become possible is done, until
nothing is: blocks enter the tree, are voted for and committed, a leader proposes, a round is given
up, what is missing is asked for. The second half does not look at the event, so every way to become
able to do something ends in the same place.

A bad message is refused with a fact and never raises out of `step`.
"""

from collections.abc import Sequence
from typing import Final

from heptad.consensus import facts
from heptad.consensus.committee import Cell
from heptad.consensus.core.accusing import (
    accuse,
    has_noticed,
    hear,
    hear_ledger,
    listen,
    tell_again,
)
from heptad.consensus.core.admitting import admit
from heptad.consensus.core.adopting import (
    commit_chunk,
    cosign_again,
    jump,
    look_for_own_past,
)
from heptad.consensus.core.answering import Answers
from heptad.consensus.core.charging import admits, charge, charge_answer, report_dropped
from heptad.consensus.core.giving_up import GivingUp
from heptad.consensus.core.leading import Leading
from heptad.consensus.core.restoring import restore, stored_proposal
from heptad.consensus.core.voting import Voting
from heptad.consensus.decoding import PLAIN, Decoding
from heptad.consensus.errors import RefusedError
from heptad.consensus.events import (
    BatchReceived,
    Event,
    EvidenceReceived,
    MessageReceived,
    PeerConnected,
    PeerLost,
    TimerFired,
)
from heptad.consensus.limits import Limits
from heptad.consensus.messages import (
    Accusation,
    BatchesReply,
    BatchOffer,
    BlocksReply,
    ChainReply,
    Deposition,
    FetchBatches,
    FetchBlocks,
    FetchChain,
    Message,
    Proposal,
    SnapshotReply,
    blocks_kind,
)
from heptad.consensus.messages import Certificates as CertificatesMessage
from heptad.consensus.objects import BatchId, Timeout, Vote
from heptad.consensus.ports import Restored, SignatureVerifier, Signer
from heptad.consensus.ready import BatchVerdict, Lookup, Ready
from heptad.consensus.results import Results
from heptad.consensus.status import Status
from heptad.consensus.wants import earliest
from heptad.model.canonical import MalformedError
from heptad.model.ids import MemberIndex, ValidatorNumber

_USELESS: Final = frozenset({BatchVerdict.COMMITTED, BatchVerdict.STALE, BatchVerdict.OVERLOADED})
"""Batches that leave everything as it was."""


class Core:
    """One replica. It reads no clock and no disk; the same events give the same results."""

    def __init__(
        self,
        *,
        cell: Cell,
        me: MemberIndex,
        limits: Limits,
        vote_signer: Signer | None,
        cosigner: Signer | None,
        verifier: SignatureVerifier,
        restored: Restored | None,
        decoding: Decoding = PLAIN,
        heeds_own_past: bool = True,
    ) -> None:
        """Begin at the genesis, or where `restored` left off. Raises: RecordDamagedError."""
        self._parts = restore(
            cell=cell,
            me=me,
            limits=limits,
            vote_signer=vote_signer,
            cosigner=cosigner,
            verifier=verifier,
            restored=restored,
            decoding=decoding,
        )
        self._parts.heeds_own_past = heeds_own_past
        self._decode = decoding.message
        self._answers = Answers(self._parts)
        self._voting = Voting(self._parts, self._answers)
        self._leading = Leading(self._parts, self._voting)
        self._giving_up = GivingUp(self._parts, self._voting, self._answers)
        self._round_settled = self._parts.rounds.round
        self._wake_ms: int | None = None
        """What the last settling has asked for: nothing becomes possible by time alone before."""

    def start(self, now_ms: int) -> Ready:
        """Once, before any step: what a (re)started replica sends first.

        A new record is persisted; the last vote, time-out and proposal are sent again, bit for bit;
        all others are told the highest certificates and will answer with theirs.
        """
        parts = self._parts
        parts.now_ms = now_ms
        parts.results.send(parts.others, parts.rounds.message())
        self._resume()
        for peer in parts.others:
            self._say_again(peer)
        tell_again(parts, parts.others)
        cosign_again(parts)
        self._settle()
        return self._ready(always=True)

    def step(self, event: Event, now_ms: int) -> Ready:
        """Handle one event at Unix time `now_ms`, which never decreases."""
        return self.step_all((event,), now_ms)

    def step_all(self, events: Sequence[Event], now_ms: int) -> Ready:
        """Take in several events in their order, then settle once: what waves are made of.

        A leader so proposes all that arrived together, and settling costs once; and not at all
        where no event has changed anything, as most votes, answers and repetitions do not.
        """
        self._begin(now_ms)
        is_due = self._wake_ms is not None and self._wake_ms <= self._parts.now_ms
        has_news, parts = False, self._parts
        for event in events:
            has_news |= self._take_in(event)
        report_dropped(parts)
        if has_news or is_due or has_noticed(parts):
            self._settle()
            return self._ready(always=False)
        return self._parts.results.ready(record=None, timer_at_ms=self._wake_ms)

    def status(self) -> Status:
        """How the replica is."""
        parts = self._parts
        root, pool, rounds = parts.chain.tree.root, parts.chain.pool, parts.rounds
        return Status(
            epoch=parts.cell.epoch,
            round=rounds.round,
            leader=rounds.leader(parts.chain.tree),
            high_qc_round=rounds.high_qc.qc.round,
            highest_tc_round=rounds.highest_tc_round,
            committed_height=root.block.height,
            committed_round=root.block.round,
            committed_id=root.block.id,
            committed_time_ms=root.block.time_ms,
            head=root.block.head,
            cosigned=parts.kernel.record.cosigned,
            batches_pending=len(pool),
            bytes_pending=pool.size_bytes,
            timeouts=self._giving_up.count,
            rounds_certified=rounds.certified_count,
            is_catching_up=parts.sync.is_active,
            is_stranded=parts.sync.is_stranded,
            is_follower=parts.kernel.record.is_follower,
            leaders_failed=tuple(each.member for each in root.state.leader_record.failures),
            charges_proven=len(root.state.proven),
        )

    def last_committed(self, validator: ValidatorNumber) -> BatchId | None:
        """The last batch of this validator that is final; None if none is."""
        position = self._parts.chain.tree.root.state.positions.get(validator)
        return None if position is None else BatchId(validator, *position)

    def sent(self, peers: tuple[MemberIndex, ...], answer: Message, size_bytes: int) -> None:
        """The driver has sent this to `peers`, out of memory or out of the store."""
        charge_answer(self._parts, peers, answer, size_bytes)

    def _begin(self, now_ms: int) -> None:
        self._parts.now_ms = max(now_ms, self._parts.now_ms)
        self._parts.results = Results()

    def _take_in(self, event: Event) -> bool:
        """Take in one event. False only if it can have made nothing possible that was not before.

        Whoever is not sure says True: settling in vain costs time, not settling can cost liveness.
        """
        match event:
            case MessageReceived(sender, payload):
                return self._take_message(sender, payload)
            case PeerLost(member):
                if member in self._parts.others:
                    self._parts.rounds.pacemaker.lost(member, self._parts.now_ms)
                return True
            case PeerConnected(member):
                self._parts.rounds.pacemaker.heard(member)
                if member in self._parts.others:
                    self._parts.results.send((member,), self._parts.rounds.message())
                    self._say_again(member)
                    tell_again(self._parts, (member,))
                return True
            case BatchReceived():
                outcome = admit(self._parts, event)
                self._parts.results.outcomes.append(outcome)
                return outcome.verdict not in _USELESS
            case EvidenceReceived(payload):
                hear_ledger(self._parts, payload)
                return True
            case TimerFired():
                return True  # Settling looks at the clock whatever the event was.

    def _take_message(self, sender: MemberIndex, payload: bytes) -> bool:
        parts = self._parts
        if sender not in parts.peers:
            reason = f"member {sender} is not one of the others"
            parts.results.fact(facts.MESSAGE_REFUSED, sender=sender, reason=reason)
            return False
        bill = admits(parts, sender, payload)
        if bill is None:
            return False
        message, refusal, has_news = None, None, True
        try:
            parts.rounds.pacemaker.heard(sender)
            parts.sync.require_asked(blocks_kind(payload))
            message = self._decode(payload)
            has_news = self._dispatch(sender, message)
        except (RefusedError, MalformedError) as error:
            parts.results.fact(facts.MESSAGE_REFUSED, sender=sender, reason=str(error))
            parts.sync.on_refused(sender, payload, error, now_ms=parts.now_ms)
            refusal = error
        charge(parts, bill, message, refusal, was_useful=has_news)
        return has_news  # Also if it was refused: what was right in it may have been adopted.

    def _dispatch(self, sender: MemberIndex, message: Message) -> bool:
        has_news = True
        match message:
            case Proposal():
                self._voting.on_proposal(sender, message)
            case Vote():
                has_news = self._voting.on_vote(sender, message)
            case Timeout():
                has_news = self._giving_up.on_timeout(sender, message)
            case CertificatesMessage():
                has_news = self._giving_up.on_certificates(sender, message)
            case BatchOffer(refs):
                if len(refs) > self._parts.limits.offers_max:
                    raise RefusedError(f"{len(refs)} offers at a time")
                has_news = self._parts.chain.offer(refs, sender)
            case Deposition(vote):
                has_news = listen(self._parts, vote)
            case _:
                has_news = self._dispatch_fetching(sender, message)
        return has_news

    def _dispatch_fetching(self, sender: MemberIndex, message: Message) -> bool:
        parts = self._parts
        now_ms, results = parts.now_ms, parts.results
        match message:
            case FetchBlocks() | FetchBatches() | FetchChain():
                results.require_fetch(sender, count_max=parts.limits.fetches_per_wave_max)
                self._serve(sender, message)
            case BlocksReply():
                parts.sync.on_blocks(sender, message, now_ms=now_ms, results=results)
            case BatchesReply():
                return parts.sync.on_batches(sender, message, now_ms=now_ms, results=results)
            case ChainReply():
                parts.sync.on_chain(sender, message)
            case Accusation(evidence):
                hear(parts, evidence)
            case SnapshotReply():
                parts.sync.on_snapshot(sender, message, now_ms=now_ms)
        return True

    def _serve(self, peer: MemberIndex, fetch: FetchBlocks | FetchBatches | FetchChain) -> None:
        parts = self._parts
        match fetch:
            case FetchBlocks():
                parts.sync.serve_blocks(peer, fetch, parts.results)
            case FetchBatches():
                parts.sync.serve_batches(peer, fetch, parts.results)
            case FetchChain():
                parts.results.lookups.append(Lookup(peer, fetch))

    def _settle(self) -> None:
        """Do what has become possible, until nothing is."""
        parts = self._parts
        look_for_own_past(parts)
        progressed = True
        while progressed:
            progressed = False
            keep = parts.rounds.high_qc.qc.block_id
            for arrival in parts.chain.advance(keep=keep, results=parts.results):
                self._voting.arrived(arrival)
                progressed = True
            progressed |= commit_chunk(parts)
            progressed |= jump(parts)
            self._forget()
            accuse(parts)
            self._giving_up.watch()
            progressed |= self._leading.propose()
            progressed |= self._giving_up.give_up_if_due()
        self._leading.share()
        certified = parts.rounds.high_qc.qc
        parts.sync.request(certified=certified, now_ms=parts.now_ms, results=parts.results)

    def _forget(self) -> None:
        """What belongs to earlier rounds, or lies below a commit, is of no use any more."""
        round_ = self._parts.rounds.round
        if round_ != self._round_settled or self._parts.results.commits:
            self._round_settled = round_
            self._parts.chain.forget(round_, self._parts.results)
            self._voting.forget()

    def _resume(self) -> None:
        """Take up what the record says this replica was in the middle of; a follower is in none."""
        parts = self._parts
        record, round_ = parts.kernel.record, parts.rounds.round
        if record.is_follower:
            return
        proposal = stored_proposal(record)
        if proposal is not None:
            node = parts.chain.tree.get(proposal.block.id)
            if node is not None and node.block.round == round_ and record.proposal is not None:
                self._voting.proposed(node, record.proposal[1])
        if record.round_timed_out == round_:
            parts.rounds.pacemaker.timed_out(parts.now_ms)
            timeout = parts.kernel.timeout(round_)
            parts.rounds.timeouts.add(parts.certificates.timeout(timeout))

    def _say_again(self, peer: MemberIndex) -> None:
        """Send `peer` my last proposal, vote and time-out, as far as they may still matter."""
        parts = self._parts
        record, round_ = parts.kernel.record, parts.rounds.round
        if record.is_follower:
            return
        if record.timeout is not None and record.timeout.round == round_:
            parts.results.send((peer,), record.timeout)
            return
        proposal = stored_proposal(record)
        if proposal is not None and proposal.block.round == round_:
            parts.results.send((peer,), proposal)
        open_above = max(parts.rounds.high_qc.qc.round, record.round_timed_out)
        if record.vote is not None and record.vote.round > open_above:
            node = parts.chain.tree.get(record.vote.block_id)
            if node is not None and peer in self._voting.collectors(node):
                parts.results.send((peer,), record.vote)

    def _ready(self, *, always: bool) -> Ready:
        parts = self._parts
        record = parts.kernel.take_record(always=always or bool(parts.results.commits))
        self._wake_ms = self._timer_at_ms()
        return parts.results.ready(
            record=record, evidence=parts.docket.take_changed(), timer_at_ms=self._wake_ms
        )

    def _timer_at_ms(self) -> int | None:
        return earliest(
            self._leading.wake_ms,
            self._giving_up.wake_ms,
            self._parts.rounds.pacemaker.due_ms(),
            self._parts.sync.due_ms(),
        )
