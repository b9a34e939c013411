"""Which handler answers which address: a table that is data, so that a test can hold the API's
description against it.

aiohttp's own router does more than is needed here and says 404 and 405 in its own words. An address
is either fixed, and found in one look-up, or has a part in braces; `{path}` at the end takes the
rest of the address, slashes included.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

from aiohttp import web

from heptad.model.problems import Problem

Parameters: TypeAlias = Mapping[str, str]
Handler: TypeAlias = Callable[[web.BaseRequest, Parameters], Awaitable[web.StreamResponse]]

NO_PARAMETERS: Final[Parameters] = MappingProxyType({})
REST: Final = "{path}"


@dataclass(frozen=True, slots=True)
class Route:
    """One operation. `template` is an address as OpenAPI writes it, such as `/v1/entries/{index}`.

    HEAD is answered wherever GET is. `always` marks what is answered even by a gateway that is
    full: somebody has to be able to see that it is.
    """

    method: str
    template: str
    handler: Handler
    always: bool = False


class MethodRefused(Problem):
    """The address is known, the method is not; `allow` names those that are."""

    def __init__(self, allow: str) -> None:
        super().__init__("method_not_allowed", f"this address knows {allow}")
        self.allow = allow


class Router:
    """Finds routes."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._fixed: dict[str, dict[str, Route]] = {}
        self._patterns: list[tuple[list[str], dict[str, Route]]] = []
        self.routes = tuple(routes)
        for route in self.routes:
            self._methods(route.template)[route.method] = route

    def find(self, method: str, path: str) -> tuple[Route, Parameters]:
        """The route of a request and what stands in the place of its braces.

        Raises: Problem `not_found`; MethodRefused.
        """
        parameters = NO_PARAMETERS
        methods = self._fixed.get(path)
        if methods is None:
            methods, parameters = self._match(path)
        route = methods.get("GET" if method == "HEAD" else method)
        if route is None:
            raise MethodRefused(_allow(methods))
        return route, parameters

    def _methods(self, template: str) -> dict[str, Route]:
        if "{" not in template:
            return self._fixed.setdefault(template, {})
        parts = template.split("/")
        for known, methods in self._patterns:
            if known == parts:
                return methods
        self._patterns.append((parts, {}))
        return self._patterns[-1][1]

    def _match(self, path: str) -> tuple[dict[str, Route], Parameters]:
        parts = path.split("/")
        for pattern, methods in self._patterns:
            parameters = _parameters(pattern, parts)
            if parameters is not None:
                return methods, parameters
        raise Problem("not_found", "no such address")


def _parameters(pattern: list[str], parts: list[str]) -> dict[str, str] | None:
    """What stands in the place of the pattern's braces; None if the address is another one."""
    if pattern[-1] == REST and len(parts) >= len(pattern):
        head = len(pattern) - 1
        parts = [*parts[:head], "/".join(parts[head:])]
    if len(parts) != len(pattern):
        return None
    parameters = {}
    for wanted, part in zip(pattern, parts, strict=True):
        if wanted.startswith("{"):
            parameters[wanted[1:-1]] = part
        elif wanted != part:
            return None
    return parameters if all(parameters.values()) else None


def _allow(methods: Mapping[str, Route]) -> str:
    names = set(methods) | ({"HEAD"} if "GET" in methods else set())
    return ", ".join(sorted(names))
