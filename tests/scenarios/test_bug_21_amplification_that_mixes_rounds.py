"""Known bug 21: amplification that mixes rounds.

A replica that hears f + 1 time-outs joins in, for at least one of them is honest. But they must be
time-outs of one and the same round: where those of different rounds are added up, a few liars and a
straggler make everybody give up on a leader who does nothing wrong, again and again.

Replica-4 hears replica-2 give up on round 1, and then replica-3 on round 2, which the time-out
certificate of round 1 has opened: two of four, f + 1, but of different rounds.
"""

from heptad.consensus.codec import new_tc, new_timeout, timeout_signing_bytes
from heptad.consensus.events import MessageReceived
from heptad.consensus.genesis import genesis_qc
from heptad.consensus.messages import encode_message
from heptad.consensus.objects import TimeoutClaim
from heptad.model.ids import MemberIndex, Round


class Voices:
    """Time-outs in the members' own names, told to one machine."""

    def __init__(self, story, listener):
        self.story = story
        self.machine = story.world.machine(listener)
        self.cell = story.world.cast.setting.cell
        self.high_qc = genesis_qc(self.cell)

    def signature(self, member, round_):
        signer = self.story.world.machine(f"replica-{member + 1}").identity.vote_signer
        return signer.sign(
            timeout_signing_bytes(
                origin=self.cell.origin, epoch=self.cell.epoch, round_=round_,
                high_qc_round=self.high_qc.round, fast_vote=b"",
            )
        )  # fmt: skip

    def tc(self, round_):
        claims = [
            TimeoutClaim(MemberIndex(member), Round(0), b"", self.signature(member, round_))
            for member in range(3)
        ]
        return new_tc(
            epoch=self.cell.epoch, round_=Round(round_), claims=claims, high_qc=self.high_qc
        )

    def give_up(self, member, round_):
        timeout = new_timeout(
            epoch=self.cell.epoch, round_=Round(round_), high_qc=self.high_qc,
            tc=self.tc(round_ - 1) if round_ > 1 else None, fast_vote=b"",
            voter=MemberIndex(member), signature=self.signature(member, round_),
        )  # fmt: skip
        self.machine.post(MessageReceived(MemberIndex(member), encode_message(timeout)))
        self.story.until(self.story.world.cast.setting.timeline.now_us // 1_000 + 20)


def begin(play):
    story = play(members=4)
    story.world.tracer.stop()
    story.until(50)
    return story, Voices(story, "replica-4")


def test_time_outs_of_different_rounds_are_not_added_up(play):
    story, voices = begin(play)

    voices.give_up(1, 1)
    voices.give_up(2, 2)

    assert story.status("replica-4").round == 2
    assert story.status("replica-4").timeouts == 0


def test_time_outs_of_one_round_are(play):
    story, voices = begin(play)

    voices.give_up(2, 2)
    voices.give_up(1, 2)

    assert story.status("replica-4").timeouts == 1


def test_one_voice_that_repeats_itself_counts_once(play):
    story, voices = begin(play)

    for _ in range(3):
        voices.give_up(1, 1)

    assert story.status("replica-4").timeouts == 0
