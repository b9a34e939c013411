"""Callers whose time is over before ours: what they are told must be true of *their* request."""

import pytest

from heptad.crypto.keys import Ed25519Key
from heptad.model.answers import RequestState, Wait
from heptad.model.problems import Problem
from heptad.wire.convert import validator as wire
from heptad_validator.service import ValidatorDoor

JTI = "00000000-0000-4000-8000-000000000001"


class Handlers:
    """Stands for a gRPC server: keeps the door's handlers."""

    def add_generic_rpc_handlers(self, handlers):
        [self._generic] = handlers

    def call(self, name):
        details = type("Details", (), {"method": f"/{wire.SERVICE}/{name}"})
        return self._generic.service(details).unary_unary


class NoTime:
    """The context of a call whose deadline is now."""

    def time_remaining(self):
        return 0.0

    def invocation_metadata(self):
        return ()


@pytest.fixture(name="submit_in_a_hurry")
def _submit_in_a_hurry():
    async def submit(world, jws, *, wait=Wait.COMMITTED):
        door = ValidatorDoor(
            admission=world.admission,
            registrar=world.registrar,
            bundles=world.bundles,
            statements=world.statements,
            private_records=world.private_records,
            window=world.window,
            require_fenced=lambda: None,
            read_status=lambda: None,
            stream_items_max=10,
        )
        server = Handlers()
        door.register(server)
        answer = await server.call("Submit")(wire.encode_submit(jws, wait), NoTime())
        return wire.decode_submitted(answer)

    return submit


def later(world, key, subject, **claims):
    """A request that is still fresh when the lease of now has run out."""
    return world.sign(key, subject, jti=JTI, exp=world.clock.wall_ms // 1000 + 280, **claims)


def test_a_request_that_is_admitted_in_time_is_told_to_be_pending(play, ed_key, submit_in_a_hurry):
    async def scenario(world):
        subject = world.subject(ed_key)
        await world.submit(world.sign(ed_key, subject))
        recorded = await submit_in_a_hurry(world, later(world, ed_key, subject))
        assert (recorded.state, recorded.replayed) == (RequestState.PENDING, False)
        again = await submit_in_a_hurry(world, later(world, ed_key, subject))
        assert (again.state, again.replayed) == (RequestState.PENDING, True)

    play(scenario)


@pytest.mark.parametrize(
    ("key", "data"), [("own", {"n": 2}), ("other", {"n": 1})], ids=["other claims", "forged"]
)
def test_nobody_is_told_of_another_requests_commit(play, ed_key, submit_in_a_hurry, key, data):
    async def scenario(world):
        # given a request that is committed, and a lease that has run out since
        subject = world.subject(ed_key)
        [number] = await world.submit(later(world, ed_key, subject))
        await world.commit()
        assert world.answers.of(number).state is RequestState.COMMITTED
        world.clock.move(61)
        # when a request of the same name, which must be refused, is not judged in time
        signer = ed_key if key == "own" else Ed25519Key(b"x" * 32)
        with pytest.raises(Problem, match="deadline_exceeded"):
            await submit_in_a_hurry(world, later(world, signer, subject, data=data))
        await world.settle_down()
        assert len(world.entries) == 1

    play(scenario)
