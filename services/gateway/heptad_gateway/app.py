"""The gateway, put together from its ports: the routes, the door before them, the servers.

`wiring` calls this with gRPC behind the ports; tests call it with fakes.
"""

import time
from dataclasses import dataclass

from aiohttp import web

from heptad.observability import catalogue
from heptad.observability.logs import EventLog
from heptad.observability.metrics import Metrics
from heptad.observability.traces import Tracer
from heptad.runtime.config import Cell, GatewayConfig
from heptad_gateway.admin import AdminApi
from heptad_gateway.auditing import AuditingApi
from heptad_gateway.budget import ReadBudget
from heptad_gateway.bundles import BundlesApi
from heptad_gateway.connections import GuardedServer
from heptad_gateway.control_room.room import ControlRoom
from heptad_gateway.door import Door
from heptad_gateway.entries import EntriesApi
from heptad_gateway.erasures import ErasureReader, ErasuresApi
from heptad_gateway.exports import ExportReader, ExportsApi
from heptad_gateway.limits import ClientLimit, RateLimitFields
from heptad_gateway.operations import OperationsApi
from heptad_gateway.pages import PagesApi
from heptad_gateway.ports import Ledger, Submissions, Validators
from heptad_gateway.quorum import QuorumWatch
from heptad_gateway.requests import RequestsApi
from heptad_gateway.routing import Route, Router
from heptad_gateway.subjects import KeyReader, SubjectsApi
from heptad_gateway.traffic import Traffic
from heptad_gateway.watching import WatchingApi

_ADMIN_CONNECTIONS_MAX = 16


@dataclass(frozen=True, slots=True)
class Ports:
    """The rest of the cell, as the handlers see it."""

    submissions: Submissions
    validators: Validators
    ledger: Ledger
    erasures: ErasureReader
    keys: KeyReader
    exports: ExportReader


class App:
    """The public and the operators' side of one gateway."""

    def __init__(
        self,
        *,
        ports: Ports,
        config: GatewayConfig,
        cell: Cell,
        policy: bytes,
        metrics: Metrics,
        log: EventLog,
        tracer: Tracer | None = None,
    ) -> None:
        """Build everything; needs a running event loop, listens nowhere yet."""
        self._ports = ports
        self._config = config
        self._cell = cell
        self._policy = policy
        self._metrics = metrics
        self._log = log
        self._tracer = tracer
        self._traffic = Traffic(metrics)
        self._client_limit = ClientLimit(config.client_requests_per_s_max)
        self._rate_limit_fields = RateLimitFields(
            client_per_s_max=config.client_requests_per_s_max,
            subject_per_minute_max=cell.limits.subject_requests_per_minute_max,
            in_flight_max=config.requests_in_flight_max,
        )
        # Without the limit below addresses do not tell clients apart.
        is_addressed = config.client_requests_per_s_max > 0
        self._budget = ReadBudget(
            client_per_s_max=config.client_entries_read_per_s_max if is_addressed else 0,
            all_per_s_max=config.entries_read_per_s_max,
            now_s=time.monotonic,
        )
        self.watching = WatchingApi(
            ledger=ports.ledger,
            budget=self._budget,
            deadline_s=config.deadline_ms / 1000,
            watches_max=config.watches_max,
            client_watches_max=_client_watches_max(config),
        )
        self.door = self._door(Router(self.routes()))
        self._admin_door = self._door(Router(self.admin_routes()))
        self.server = GuardedServer(self.door.serve, connections_max=config.connections_max)
        self.admin_server = GuardedServer(
            self._admin_door.serve, connections_max=_ADMIN_CONNECTIONS_MAX
        )
        metrics.read(
            catalogue.HTTP_CONNECTIONS_ACTIVE, lambda: {(): float(self.server.connection_count)}
        )
        metrics.read(catalogue.HTTP_WATCHES_ACTIVE, lambda: {(): float(self.watching.count)})
        metrics.read(catalogue.HTTP_REQUESTS_IN_FLIGHT, lambda: {(): float(self.door.in_flight)})
        metrics.read(catalogue.HTTP_SCANS_ACTIVE, lambda: {(): float(self._budget.scan_count)})
        metrics.read(
            catalogue.HTTP_ENTRIES_READ_TOTAL, lambda: {(): float(self._budget.cost_total)}
        )

    def routes(self) -> list[Route]:
        """Every operation of the public listener."""
        deadline_s = self._config.deadline_ms / 1000
        limits, ports = self._cell.limits, self._ports
        subjects, exports, erasures = self._of_subjects(deadline_s)
        requests = RequestsApi(
            submissions=ports.submissions,
            validators=ports.validators,
            ledger=ports.ledger,
            exports=exports,
            request_bytes_max=limits.request_bytes_max,
            body_bytes_max=self._config.body_bytes_max,
            batch_requests_max=self._config.batch_requests_max,
            deadline_s=deadline_s,
            charge=self._charge,
            refused=self._traffic.refused,
        )
        auditing = AuditingApi(
            ledger=ports.ledger, budget=self._budget, policy=self._policy, deadline_s=deadline_s
        )
        entries = EntriesApi(ledger=ports.ledger, budget=self._budget, deadline_s=deadline_s)
        operations = OperationsApi(
            quorum=QuorumWatch(ports.validators, now_s=time.monotonic),
            submissions=ports.submissions,
            ledger=ports.ledger,
            cell=self._cell,
            exposition=self._metrics.exposition,
            is_draining=lambda: self.door.draining,
        )
        control_room = ControlRoom(
            ledger=ports.ledger,
            cell=self._cell,
            config=self._config,
            exposition=self._metrics.exposition,
            now_s=time.monotonic,
            unix_s=time.time,
        )
        bundles = BundlesApi(validators=ports.validators, deadline_s=deadline_s)
        parts = (
            requests,
            bundles,
            subjects,
            exports,
            erasures,
            auditing,
            entries,
            self.watching,
            operations,
            control_room,
            PagesApi(),
        )
        return [route for part in parts for route in part.routes()]

    def _of_subjects(self, deadline_s: float) -> tuple[SubjectsApi, ExportsApi, ErasuresApi]:
        """What the people have whose data the cell holds."""
        ports = self._ports
        return (
            SubjectsApi(
                validators=ports.validators,
                keys=ports.keys,
                request_bytes_max=self._cell.limits.request_bytes_max,
                deadline_s=deadline_s,
            ),
            ExportsApi(submissions=ports.submissions, exports=ports.exports, deadline_s=deadline_s),
            ErasuresApi(
                submissions=ports.submissions, erasures=ports.erasures, deadline_s=deadline_s
            ),
        )

    def admin_routes(self) -> list[Route]:
        """Every operation of the operators' listener."""
        admin = AdminApi(
            set_draining=self.set_draining,
            in_flight=lambda: self.door.in_flight,
            log=self._log,
        )
        return admin.routes()

    def set_draining(self, draining: bool) -> None:
        """Refuse new writes, end watches and say `not ready`, or take them again."""
        self.door.draining = draining
        self.watching.set_closed(draining)

    def _charge(self, request: web.BaseRequest, cost: int) -> None:
        if self._client_limit.is_on:
            self._client_limit.admit(request.remote or "", cost=cost, now_s=time.monotonic())

    def _door(self, router: Router) -> Door:
        return Door(
            router=router,
            traffic=self._traffic,
            log=self._log,
            charge=self._charge,
            rate_limit_fields=self._rate_limit_fields,
            in_flight_max=self._config.requests_in_flight_max,
            tracer=self._tracer,
        )


def _client_watches_max(config: GatewayConfig) -> int:
    """A quarter of all, where clients can be told apart by their addresses."""
    if not config.client_requests_per_s_max:
        return config.watches_max
    return max(1, config.watches_max // 4)
