"""Pages for people: the explorer, the receipt checker and what they are made of, as plain files.

They are read once and never change while the gateway runs, so each has its hash as ETag and is
asked for again at no cost. A page may load and call this gateway and nobody else, holds no inline
script (the checker, which is one file, names the hash of its own), may not be framed, sets no
cookie, and tells no other site where its reader came from.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from aiohttp import web

from heptad.model.problems import Problem
from heptad_gateway.checker_page import CHECKER_FILE, SOURCE_FILE, security_policy_of
from heptad_gateway.queries import number_of
from heptad_gateway.routing import Parameters, Route

SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}


@dataclass(frozen=True, slots=True)
class Page:
    """A file as it is served; `headers` are all that it needs."""

    body: bytes
    headers: Mapping[str, str]


class PagesApi:
    """What browsers load."""

    def __init__(self) -> None:
        """Read all files."""
        self._pages = {
            file.name: _page(file.name, file.read_bytes())
            for file in files("heptad_gateway").joinpath("web").iterdir()
            if file.is_file() and file.name != SOURCE_FILE
        }

    def routes(self) -> list[Route]:
        """The operations of this part."""
        return [
            Route("GET", "/", self.explorer),
            Route("GET", "/entry/{index}", self.entry),
            Route("GET", "/checker.html", self.checker),
            Route("GET", "/dashboard", self.control_room),
            Route("GET", "/docs", self.api),
            Route("GET", "/web/{name}", self.part),
        ]

    async def explorer(self, request: web.BaseRequest, _parameters: Parameters) -> web.Response:
        """The latest checkpoint and the entries."""
        return _answer(request, self._pages["index.html"])

    async def entry(self, request: web.BaseRequest, parameters: Parameters) -> web.Response:
        """One entry; the page itself asks for it."""
        number_of("index", parameters["index"])
        return _answer(request, self._pages["entry.html"])

    async def checker(self, request: web.BaseRequest, _parameters: Parameters) -> web.Response:
        """The receipt checker, one file that also works from disk."""
        return _answer(request, self._pages[CHECKER_FILE])

    async def control_room(self, request: web.BaseRequest, _parameters: Parameters) -> web.Response:
        """How the whole cell is, live."""
        return _answer(request, self._pages["dashboard.html"])

    async def api(self, request: web.BaseRequest, _parameters: Parameters) -> web.Response:
        """The API's description, for people."""
        return _answer(request, self._pages["docs.html"])

    async def part(self, request: web.BaseRequest, parameters: Parameters) -> web.Response:
        """A style or a module of the pages."""
        page = self._pages.get(parameters["name"])
        if page is None or parameters["name"].endswith(".html"):
            raise Problem("not_found", "no page has such a part")
        return _answer(request, page)


def page_headers(suffix: str = ".html", policy: str = SECURITY_POLICY) -> dict[str, str]:
    """The headers of a page or of a part of one, but for its caching."""
    return {
        "Content-Type": _TYPES[suffix],
        "Content-Security-Policy": policy,
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
    }


def _page(name: str, body: bytes) -> Page:
    policy = SECURITY_POLICY
    if name == CHECKER_FILE:
        policy = f"{security_policy_of(body.decode('utf-8'))}; frame-ancestors 'none'"
    headers = page_headers(name[name.rindex(".") :], policy) | {
        "Cache-Control": "no-cache",
        "ETag": f'"{hashlib.sha256(body).hexdigest()[:32]}"',
    }
    return Page(body, headers)


def _answer(request: web.BaseRequest, page: Page) -> web.Response:
    if page.headers["ETag"] in request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers=page.headers)
    return web.Response(body=page.body, headers=page.headers)
