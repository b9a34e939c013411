"""A validator's life, from the number that it takes to the leases that it gives back.

    incarnation made durable → clock checked → links → fence committed, cell's keys there → ready
    → … → nothing new → what waits goes its way → leases returned → last batch committed → stop

The incarnation is on disk before anything is built that could send a batch.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

from heptad.crypto.keys import KeyRole, load_service_key
from heptad.model.answers import ValidatorStatus
from heptad.observability import catalogue
from heptad.runtime.batch_keys import incarnations_of
from heptad.runtime.config.validator import ValidatorConfig
from heptad.runtime.service_kind import Context, ServiceKind
from heptad.wire.convert.validator import SERVICE
from heptad.wire.streams import CommittedBatch
from heptad_validator.clock import Clock, SystemClock
from heptad_validator.dispatching.clock_watch import clock_note
from heptad_validator.dispatching.incarnation import IncarnationFile, Life
from heptad_validator.service import ROLES, ValidatorDoor
from heptad_validator.wiring import put_together

STREAM_ITEMS_MAX: Final = 10_000
"""Items of one stream that may be in flight; then it is read from no more."""

_POLL_S: Final = 0.02


class ValidatorService:
    """One validator process; `heptad.runtime.service` drives it."""

    def __init__(self, context: Context[ValidatorConfig], *, clock: Clock) -> None:
        """Take a new incarnation, put the parts together, and add the door to the server.

        Raises: IncarnationFault, KeyFileError, ConfigInvalidError.
        """
        self._context = context
        self._file = IncarnationFile(context.data)
        self._had_former_life = self._file.last() is not None
        key = load_service_key(context.keys / KeyRole.BATCH.file_name)
        allowed = incarnations_of(context.cell.validator(context.name), key.public_key)
        incarnation = self._file.begin(now_ms=clock.now_ms(), allowed=allowed)
        self._validator = put_together(context, life=Life(incarnation, key), own=clock)
        door = ValidatorDoor(
            admission=self._validator.admission,
            registrar=self._validator.registrar,
            bundles=self._validator.bundles,
            statements=self._validator.statements,
            private_records=self._validator.private_records,
            window=self._validator.parts.window,
            require_fenced=self._validator.parts.dispatcher.require_fenced,
            read_status=self.status,
            stream_items_max=STREAM_ITEMS_MAX,
        )
        door.register(context.server)
        self._started_ms = 0
        context.health.note = lambda: clock_note(self._validator.clock)
        self._export_metrics()

    async def start(self) -> None:
        """Connect, fence off what an earlier life may have left, and get the cell's keys.

        What an earlier life may have admitted is told by the time, and a clock that is an hour
        behind would have it forgotten: so the clock is checked before anything else.
        """
        context, validator = self._context, self._validator
        context.health.waits_for(f"for {context.cell.fault_count + 1} replicas, to compare clocks")
        await validator.clock_watch.checked()
        self._started_ms = validator.clock.now_ms()
        dispatcher = validator.parts.dispatcher
        dispatcher.on_fenced = self._follow_former_life
        dispatcher.begin(validator.links)
        for link in validator.links:
            context.tasks.spawn(f"link {link.replica_id}", link.run())
        context.tasks.spawn("link vault", validator.vault.run())
        context.tasks.spawn("heartbeat", validator.heartbeat.run())
        context.tasks.spawn("group", validator.group.run())
        context.tasks.spawn("clock", validator.clock_watch.run())
        context.health.waits_for(f"for {context.cell.quorum} replicas, to commit its first batch")
        await dispatcher.fenced()
        context.health.waits_for("for the ledger, to send the cell's keys")
        while not validator.parts.recorder.has_keys:  # noqa: ASYNC110  once in a life
            await asyncio.sleep(_POLL_S)

    def _follow_former_life(self, fence: CommittedBatch) -> None:
        """Look replays of an earlier life up from now on.

        Not a task's business: requests of the very moment in which the fence is known to be
        committed would be let in before any task had its turn.
        """
        parts = self._validator.parts
        if self._had_former_life or parts.dispatcher.knows_former_life:
            parts.look_ups.follow_former_life(
                start_s=-(-self._started_ms // 1000),
                skew_s_max=self._context.cell.limits.clock_skew_s_max,
                fence_index=fence.first_index,
            )
        self._context.log.info(
            "incarnation_fenced", incarnation=fence.incarnation, log_size=fence.first_index
        )

    async def drain(self) -> None:
        """Refuse what is new, finish what is under way, give the leases back."""
        validator = self._validator
        validator.admission.drain()
        while (  # noqa: ASYNC110
            validator.admission.waiting or validator.registrar.waiting or validator.bundles.waiting
        ):
            await asyncio.sleep(_POLL_S)
        validator.parts.book.clear()
        validator.vault.give_back(validator.parts.book.take_returned())
        validator.vault.give_back(validator.parts.slots.clear())
        await validator.vault.written()
        await validator.parts.dispatcher.drained()

    async def stop(self) -> None:
        """End all links, and let another process have the incarnation."""
        await self._context.tasks.close()
        for link in self._validator.links:
            await link.close()
        await self._validator.vault.close()
        self._validator.verifier.close()
        self._file.close()

    def status(self) -> ValidatorStatus:
        """How this validator is."""
        parts, clock = self._validator.parts, self._validator.clock
        return ValidatorStatus(
            validator=self._context.number,
            incarnation=parts.dispatcher.incarnation,
            sequence=parts.dispatcher.next_sequence,
            pending=parts.dispatcher.records_pending,
            replicas_connected=sum(link.is_connected for link in self._validator.links),
            vault_connected=self._validator.vault.is_connected,
            leases=len(parts.book),
            trouble=self._validator.admission.trouble(),
            clock_off_ms=clock.off_ms if clock.is_wrong else 0,
        )

    def _export_metrics(self) -> None:
        metrics, parts, links = self._context.metrics, self._validator.parts, self._validator.links

        def one(value: float) -> Mapping[tuple[str, ...], float]:
            return {(): float(value)}

        metrics.read(catalogue.REQUESTS_IN_FLIGHT, lambda: one(parts.dispatcher.records_pending))
        metrics.read(
            catalogue.BATCHES_OUTSTANDING, lambda: one(parts.dispatcher.batches_outstanding)
        )
        metrics.read(catalogue.REQUESTS_WAITING, lambda: one(self._validator.admission.waiting))
        clock = self._validator.clock
        metrics.read(catalogue.CLOCK_OFFSET_SECONDS, lambda: one(clock.off_ms / 1000))
        metrics.read(catalogue.LEASES_HELD, lambda: one(len(parts.book)))
        metrics.read(
            catalogue.PEER_CONNECTED,
            lambda: {(link.replica_id,): float(link.is_connected) for link in links},
        )
        metrics.read(
            catalogue.PEER_RECONNECTS_TOTAL,
            lambda: {(link.replica_id,): float(max(0, link.connections - 1)) for link in links},
        )


async def build(context: Context[ValidatorConfig]) -> ValidatorService:
    """The hook of `heptad.runtime.service`."""
    return ValidatorService(context, clock=SystemClock())


KIND: Final = ServiceKind(
    config=ValidatorConfig,
    build=build,
    roles=ROLES,
    services=(SERVICE,),
)
