"""What happens by the clock: waits that end, things that are forgotten, counts that are handed on.

One task for everything, ten times a second, so that no request, lease or batch needs a timer of its
own, and an idle validator costs next to nothing.
"""

import asyncio
from typing import Final

from heptad_validator.admission import Admission
from heptad_validator.bundles import Bundles
from heptad_validator.lending.vault_link import VaultLink
from heptad_validator.measures import ValidatorMeasures
from heptad_validator.parts import Parts
from heptad_validator.registration import Registrar

BEAT_S: Final = 0.1
BEATS_PER_SWEEP: Final = 10


class Heartbeat:
    """Beats until cancelled."""

    def __init__(
        self,
        parts: Parts,
        *,
        admission: Admission,
        registrar: Registrar,
        bundles: Bundles,
        vault: VaultLink,
        measures: ValidatorMeasures,
    ) -> None:
        self._parts = parts
        self._admission = admission
        self._registrar = registrar
        self._bundles = bundles
        self._vault = vault
        self._measures = measures

    async def run(self) -> None:
        """Beat."""
        beats = 0
        while True:
            await asyncio.sleep(BEAT_S)
            beats += 1
            self.beat()
            if beats % BEATS_PER_SWEEP == 0:
                self.sweep()

    def beat(self) -> None:
        """What people wait for."""
        now_s = self._parts.clock.monotonic_s()
        self._admission.tick(now_s)
        self._parts.dispatcher.tick()
        self._parts.recent.sweep(now_s)

    def sweep(self) -> None:
        """What only has to happen some time."""
        parts = self._parts
        now_s, wall_s = parts.clock.monotonic_s(), parts.clock.now_ms() // 1000
        parts.book.sweep(now_s)
        parts.slots.sweep(now_s)
        fresh_s_max = parts.rules.lifetime_s_max + parts.rules.skew_s_max
        parts.look_ups.sweep(wall_s, fresh_s_max=fresh_s_max)
        parts.limits.sweep(now_s)
        parts.window.sweep(wall_s)
        self._registrar.sweep(wall_s)
        self._bundles.sweep(now_s)
        self._vault.give_back(parts.book.take_returned())
        parts.desk.poke()
        self._measures.take(self._admission.tally)
