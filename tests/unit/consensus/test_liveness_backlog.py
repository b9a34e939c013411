"""A leader who works off a backlog in the order in which it got it is nobody's censor."""

from heptad.consensus.limits import Limits
from heptad.consensus.objects import Timeout


def test_a_batch_that_the_leader_got_late_waits_for_its_turn_there(make_world):
    """Three members hold validator 2's batch from early on, but offer it only when it is their
    oldest; the leader then has a backlog of what came before, though later than it came to them.
    """
    world = make_world(limits=Limits(block_batches_max=1, censored_after_ms=400)).start()
    world.run()
    for sequence in range(100):
        world.submit(world.batch(sequence=sequence))
    world.run(for_ms=10)
    world.submit(world.batch(validator=2), to=[4, 5, 6])
    world.run(for_ms=900)
    for sequence in range(100, 160):
        world.submit(world.batch(sequence=sequence))
    world.run()
    assert all(len(replica.log()) == 161 for replica in world.replicas)
    assert all(replica.named("leader_refused") == [] for replica in world.replicas)
    assert Timeout not in {type(message) for _, _, _, message in world.sent}
