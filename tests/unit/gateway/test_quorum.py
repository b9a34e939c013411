"""Readiness with too few replicas: what the validators say decides, and they are asked seldom."""

import asyncio
from dataclasses import replace

from heptad.model.answers import ValidatorStatus
from heptad.model.problems import Problem
from heptad_gateway.quorum import LOOK_AGAIN_S, QuorumWatch

WELL = ValidatorStatus(1, 1, 1, 0, 7, True, 0)
SHORT = replace(
    WELL,
    replicas_connected=4,
    trouble=Problem("quorum_unavailable", "4 of 7 replicas are up, 5 are needed"),
)
STALLED = replace(
    WELL, trouble=Problem("quorum_unavailable", "nothing was committed for 9 s", retry_after_s=1)
)
SILENT = Problem("validator_unavailable", "away")


def test_a_gateway_is_not_ready_when_every_validator_misses_a_quorum(gateway):
    async def story(gateway):
        gateway.validators.statuses = {1: SHORT, 2: STALLED}
        answer = await gateway.call("GET", "/readyz")
        assert (answer.status, answer.code) == (503, "quorum_unavailable")
        assert answer.headers["Retry-After"] == "1"
        assert answer.json()["detail"] == (
            "validator-1: 4 of 7 replicas are up, 5 are needed; "
            "validator-2: nothing was committed for 9 s"
        )
        assert (await gateway.call("GET", "/v1")).json()["status"] == "unavailable"

    gateway(story)


def test_one_validator_that_reaches_a_quorum_is_enough(gateway):
    async def story(gateway):
        gateway.validators.statuses = {1: STALLED, 2: WELL}
        answer = await gateway.call("GET", "/readyz?verbose")
        assert answer.status == 200
        checks = {check["name"]: check for check in answer.json()["checks"]}
        assert checks["quorum"]["ok"] is True
        assert checks["validator-1"]["reason"] == (
            "quorum_unavailable: nothing was committed for 9 s"
        )

    gateway(story)


def test_a_validator_with_a_wrong_clock_is_named_and_decides_nothing(gateway):
    async def story(gateway):
        gateway.validators.statuses = {1: replace(WELL, clock_off_ms=-3_600_000), 2: WELL}
        answer = await gateway.call("GET", "/readyz?verbose")
        assert answer.status == 200
        checks = {check["name"]: check for check in answer.json()["checks"]}
        assert checks["validator-1"] == {
            "name": "validator-1", "ok": False, "needed": False,
            "reason": "clock: 3600 s behind the replicas' clocks, which it goes by",
        }  # fmt: skip
        assert (await gateway.call("GET", "/v1")).json()["status"] == "degraded"

    gateway(story)


def test_verbose_readiness_names_what_the_quorum_lacks(gateway):
    async def story(gateway):
        gateway.validators.statuses = {1: SHORT, 2: SHORT}
        checks = (await gateway.call("GET", "/readyz?verbose")).json()["checks"]
        [quorum] = [check for check in checks if check["name"] == "quorum"]
        assert (quorum["ok"], quorum["needed"]) == (False, True)
        assert "4 of 7 replicas are up, 5 are needed" in quorum["reason"]

    gateway(story)


def test_validators_that_do_not_answer_are_not_taken_for_a_missing_quorum(gateway):
    async def story(gateway):
        gateway.validators.statuses = {1: SILENT, 2: SILENT}
        assert (await gateway.call("GET", "/readyz")).status == 200

    gateway(story)


def test_trouble_of_another_kind_is_told_and_does_not_decide(gateway):
    async def story(gateway):
        away = replace(WELL, trouble=Problem("vault_unavailable", "the vault is not connected"))
        gateway.validators.statuses = {1: away, 2: away}
        answer = await gateway.call("GET", "/readyz?verbose")
        assert answer.status == 200
        assert "vault_unavailable: the vault is not connected" in answer.body.decode()

    gateway(story)


class Validators:
    """Counts how often it is asked."""

    numbers = (1, 2)

    def __init__(self):
        self.asked = 0

    async def status(self, _number, *, terms):
        self.asked += 1
        await asyncio.sleep(0)
        return WELL


def test_however_often_it_is_asked_it_asks_once_a_second():
    async def main():
        validators, now = Validators(), [10.0]
        watch = QuorumWatch(validators, now_s=lambda: now[0])
        await asyncio.gather(*(watch.look() for _ in range(50)))
        assert validators.asked == 2
        now[0] += LOOK_AGAIN_S
        await asyncio.gather(*(watch.look() for _ in range(50)))
        assert validators.asked == 4

    asyncio.run(main())
