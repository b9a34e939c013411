"""The accounts of work and of forgeries, and what a message is charged."""

from heptad.consensus.allowance import CHECK_US, MESSAGE_US, Allowances
from heptad.consensus.codec import new_timeout
from heptad.consensus.limits import Limits

LIMITS = Limits()
SENDER = 4


def accounts():
    return Allowances([SENDER], limits=LIMITS, work_us_per_ms=LIMITS.peer_work_us_per_ms)


def test_one_forgery_is_forgiven_with_each_while_that_passes():
    """A disk or a wire that spoils a message now and then makes nobody a forger."""
    rare, now_ms = accounts(), 1_000_000
    for _ in range(10 * LIMITS.forgeries_max):
        assert rare.forged(SENDER, now_ms) == 0
        now_ms += LIMITS.forgery_forgiven_ms
    often = accounts()
    ignored = [often.forged(SENDER, now_ms) for _ in range(LIMITS.forgeries_max)]
    assert ignored == [0] * (LIMITS.forgeries_max - 1) + [LIMITS.ignored_ms_min]


def test_each_signature_that_had_to_be_checked_is_charged_to_who_sent_it(world):
    world.run()
    world.drop = lambda *_: True
    account = world.replicas[3].driver._core._parts.peers._accounts[SENDER]
    claim = world.claim(SENDER, 1, 0)
    timeout = new_timeout(
        epoch=world.cell.epoch,
        round_=1,
        high_qc=world.genesis()[1],
        tc=None,
        fast_vote=b"",
        voter=SENDER,
        signature=claim.signature,
    )
    world.inject(SENDER, 3, timeout)
    before_us, checked = account.work_us, world.verifier.checked
    world.inject(SENDER, 3, timeout)
    known_us = before_us - account.work_us
    assert MESSAGE_US <= known_us < CHECK_US
    assert world.verifier.checked == checked

    full_us = LIMITS.peer_work_us_per_ms * LIMITS.work_burst_ms
    assert full_us - before_us >= known_us + CHECK_US
