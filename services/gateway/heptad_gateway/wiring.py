"""The gateway as a service process: gRPC behind the ports, two HTTP listeners in front."""

import asyncio
from typing import Final

import grpc

from heptad.client import ExportCalls, LedgerReader, PrivacyCalls, Submitter, ValidatorCalls
from heptad.model.problems import Problem
from heptad.observability.logs import EventLog
from heptad.runtime.channels import WATCH_WINDOW_BYTES
from heptad.runtime.config import GatewayConfig
from heptad.runtime.service import Context, ServiceKind
from heptad_gateway.app import App, Ports
from heptad_gateway.connections import Listener

POLICY_FILE: Final = "policy"
_CONNECT_S_MAX: Final = 2.0
_DRAIN_POLL_S: Final = 0.02


class GatewayService:
    """One gateway (`heptad.runtime.service.Service`)."""

    def __init__(
        self,
        *,
        app: App,
        submitter: Submitter,
        channels: list[grpc.aio.Channel],
        config: GatewayConfig,
        log: EventLog,
    ) -> None:
        self._app = app
        self._log = log
        self._submitter = submitter
        self._channels = channels
        self._config = config
        self._public = Listener(app.server)
        self._admin = Listener(app.admin_server)

    async def start(self) -> None:
        """Connect to the validators, then open the doors.

        A gateway without a validator is up, and says `not ready` until it has one.
        Raises: PortTakenError.
        """
        await self._submitter.__aenter__()
        try:
            await self._submitter.wait_ready(_CONNECT_S_MAX)
        except Problem as problem:
            self._log.warning("validators_unreachable", reason=problem.detail)
        await self._public.start(self._config.http)
        await self._admin.start(self._config.admin)

    async def drain(self) -> None:
        """Refuse new writes; return once nothing is under way."""
        self._app.set_draining(True)
        while self._app.door.in_flight or self._app.watching.count:  # noqa: ASYNC110  once in a process's life, for ms
            await asyncio.sleep(_DRAIN_POLL_S)

    async def stop(self) -> None:
        """Close the doors, then the connections behind them."""
        await self._public.stop()
        await self._admin.stop()
        await self._submitter.__aexit__(None, None, None)
        for channel in self._channels:
            await channel.close()


async def build(context: Context[GatewayConfig]) -> GatewayService:
    """The service from its configuration. Raises: OSError if the policy file is not there."""
    config, cell = context.config, context.cell
    by_number = {
        int(member.id.rpartition("-")[2]): context.open_channel(member.id)
        for member in cell.validators
    }
    ledger_channel = context.open_channel(cell.ledger.id)
    watch_channel = context.open_channel(cell.ledger.id, window_bytes=WATCH_WINDOW_BYTES)
    submitter = Submitter(
        by_number,
        coalesce_s=config.coalesce_ms_max / 1000,
        deadline_s=config.deadline_ms / 1000,
        in_flight_max=config.requests_in_flight_max,
        spawn=context.tasks.spawn,
    )
    privacy = PrivacyCalls(ledger_channel)
    app = App(
        ports=Ports(
            submissions=submitter,
            validators=ValidatorCalls(by_number),
            ledger=LedgerReader(ledger_channel, watch_channel=watch_channel),
            erasures=privacy,
            keys=privacy,
            exports=ExportCalls(ledger_channel),
        ),
        config=config,
        cell=cell,
        policy=(context.home / POLICY_FILE).read_bytes(),
        metrics=context.metrics,
        log=context.log,
        tracer=context.tracer,
    )
    channels = [*by_number.values(), ledger_channel, watch_channel]
    return GatewayService(
        app=app, submitter=submitter, channels=channels, config=config, log=context.log
    )


KIND: Final = ServiceKind(config=GatewayConfig, build=build, roles={}, services=())
