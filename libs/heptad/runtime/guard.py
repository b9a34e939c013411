"""The door of every gRPC server: who may call what, and how failures leave.

A table says for each RPC which roles may make it. What is not in the table is refused, so a new RPC
is closed until somebody decides who needs it. Behind the door a handler simply raises `Problem`;
anything else that it raises is our bug, is logged here with its traceback, and leaves as
`internal_error` without a word of its text, which might hold personal data.
"""

import asyncio
import inspect
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Mapping
from contextlib import asynccontextmanager
from typing import Final, Protocol, TypeAlias, TypeVar, cast

import grpc

from heptad.model.problems import Problem
from heptad.runtime.errors import CertificateInvalidError
from heptad.runtime.identity import ALL_ROLES, MEMBER_ROLES, Identity, Role, from_uri
from heptad.runtime.status import status_of

RoleTable: TypeAlias = Mapping[str, frozenset[Role]]
"""Full method (`/heptad.replica.v1.ReplicaService/Follow`) to the roles that may call it."""

Context: TypeAlias = grpc.aio.ServicerContext[object, object]
RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")
# Quoted, since the class is generic to the type checker only.
Handler: TypeAlias = "grpc.RpcMethodHandler[RequestT, ResponseT]"
Continuation: TypeAlias = (
    "Callable[[grpc.HandlerCallDetails], Awaitable[Handler[RequestT, ResponseT] | None]]"
)

STANDARD_ROLES: Final[RoleTable] = {
    "/grpc.health.v1.Health/Check": ALL_ROLES,
    "/grpc.health.v1.Health/Watch": ALL_ROLES,
    "/grpc.health.v1.Health/List": ALL_ROLES,
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": frozenset({Role.OPERATOR}),
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": frozenset({Role.OPERATOR}),
}


CALLS_PER_CALLER_MAX: Final = 1_024
"""Calls of one method that one caller may have under way, over all of its connections."""

REFUSAL_DELAY_S: Final = 0.5
"""A call too many is refused only after this long: who makes thousands waits for them."""


class CallLog(Protocol):
    """What the guard tells about calls; the shell turns it into metrics and log lines."""

    def began(self, *, method: str) -> None:
        """A call came in; exactly one `ended` follows."""

    def ended(self, *, method: str, outcome: str, duration_s: float) -> None:
        """A call ended; `outcome` is `ok`, `cancelled` or a code of the table.

        A stream that its caller drops while the handler reads is `ok` (gRPC shows it as the end),
        or, if gRPC is quicker to cancel the handler, `cancelled`.
        """

    def broke(self, *, method: str, error: BaseException) -> None:
        """A handler raised something unexpected: a bug of ours."""


def peer_identity(context: Context) -> Identity:
    """The caller's identity, from the certificate that TLS has verified.

    Raises: CertificateInvalidError if it holds no SPIFFE id of our form.
    """
    uris = tuple(context.auth_context().get("peer_spiffe_id", ()))
    if len(uris) != 1:
        raise CertificateInvalidError(f"the certificate has {len(uris)} SPIFFE ids, not one")
    return from_uri(bytes(uris[0]).decode("utf-8", "replace"))


def admit(
    context: Context,
    *,
    method: str,
    roles: RoleTable,
    cell: str,
    members: Container[str] | None = None,
) -> Identity:
    """The caller, if this method admits it.

    A caller with a member's role must be one of `members`: the certificate of a validator that has
    left the cell goes on to be valid for a year, and must not lend it one more key. (None: whoever
    has a certificate.)
    Raises: Problem `role_refused` or `cell_mismatch`.
    """
    try:
        caller = peer_identity(context)
    except CertificateInvalidError as error:
        raise Problem("role_refused", str(error)) from error
    if caller.cell != cell:
        raise Problem("cell_mismatch", f"the certificate is of {caller.cell}, this cell is {cell}")
    if caller.role not in roles.get(method, frozenset()):
        raise Problem("role_refused", f"a certificate of role {caller.role} may not call {method}")
    if members is not None and caller.role in MEMBER_ROLES and caller.id not in members:
        raise Problem("role_refused", f"{caller.id} is not a member of this cell")
    return caller


class Guard(grpc.aio.ServerInterceptor):
    """Checks the role before a handler runs and translates what it raises."""

    def __init__(
        self,
        *,
        cell: str,
        roles: RoleTable,
        calls: CallLog,
        members: Container[str] | None = None,
        calls_max: Mapping[str, int] | None = None,
    ) -> None:
        """`members` are the ids of all members of the cell; see `admit`.

        `calls_max` gives methods of which one caller may have fewer calls under way than usual.
        """
        self._calls_max = dict(calls_max or {})
        self._under_way: Counter[tuple[str, str]] = Counter()
        self._cell = cell
        self._members = members
        self._roles = {**STANDARD_ROLES, **roles}
        self._calls = calls

    async def intercept_service(
        self,
        continuation: "Continuation[RequestT, ResponseT]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler[RequestT, ResponseT] | None":
        """gRPC's hook: hand out the method's handler, wrapped."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return handler
        return self._wrap(handler, str(handler_call_details.method))

    def _wrap(
        self, handler: "Handler[RequestT, ResponseT]", method: str
    ) -> "Handler[RequestT, ResponseT]":
        kind = ("stream" if handler.request_streaming else "unary") + (
            "_stream" if handler.response_streaming else "_unary"
        )
        behaviour = getattr(handler, kind)
        if inspect.isasyncgenfunction(behaviour):
            wrapped: object = self._guard_generator(behaviour, method)
        else:
            wrapped = self._guard_coroutine(behaviour, method)
        make = getattr(grpc, f"{kind}_rpc_method_handler")
        guarded = make(
            wrapped,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )
        return cast("Handler[RequestT, ResponseT]", guarded)

    def _guard_coroutine(
        self, behaviour: Callable[[object, Context], Awaitable[object]], method: str
    ) -> Callable[[object, Context], Awaitable[object]]:
        async def guarded(request: object, context: Context) -> object:
            async with self._call(method, context):
                return await behaviour(request, context)

        return guarded

    def _guard_generator(
        self, behaviour: Callable[[object, Context], AsyncIterator[object]], method: str
    ) -> Callable[[object, Context], AsyncIterator[object]]:
        async def guarded(request: object, context: Context) -> AsyncIterator[object]:
            async with self._call(method, context):
                async for answer in behaviour(request, context):
                    yield answer

        return guarded

    @asynccontextmanager
    async def _call(self, method: str, context: Context) -> AsyncIterator[None]:
        """One call: admitted first, and whatever it raises translated and counted."""
        started_s = time.monotonic()
        outcome = "cancelled"
        self._calls.began(method=method)
        try:
            caller = admit(
                context,
                method=method,
                roles=self._roles,
                cell=self._cell,
                members=self._members,
            )
            async with self._one_of_few(caller, method):
                yield
            outcome = "ok"
        except Problem as problem:
            outcome = problem.code
            await context.abort_with_status(status_of(problem))
        except grpc.aio.AbortError:
            outcome = "aborted"
            raise
        except Exception as error:  # noqa: BLE001  the door: nothing unforeseen may leave as it is
            outcome = "internal_error"
            self._calls.broke(method=method, error=error)
            broken = Problem("internal_error", "the call failed inside the service")
            await context.abort_with_status(status_of(broken))
        finally:
            duration_s = time.monotonic() - started_s
            self._calls.ended(method=method, outcome=outcome, duration_s=duration_s)

    @asynccontextmanager
    async def _one_of_few(self, caller: Identity, method: str) -> AsyncIterator[None]:
        """Count a call while it lasts. Raises: Problem `overloaded`, after a while."""
        key = caller.id, method
        calls_max = self._calls_max.get(method, CALLS_PER_CALLER_MAX)
        if self._under_way[key] >= calls_max:
            await asyncio.sleep(REFUSAL_DELAY_S)
            raise Problem("overloaded", f"{caller.id} has {calls_max} calls of {method} under way")
        self._under_way[key] += 1
        try:
            yield
        finally:
            self._under_way[key] -= 1
            if not self._under_way[key]:
                del self._under_way[key]
