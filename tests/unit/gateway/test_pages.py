"""The pages as files: who may load what, how they are cached, and that they can be read."""

import hashlib
import re
from importlib.resources import files

import pytest

from heptad_gateway.pages import PagesApi

WEB = files("heptad_gateway").joinpath("web")
PAGES = ["/", "/entry/7", "/checker.html", "/dashboard", "/docs"]
PARTS = [f"/web/{file.name}" for file in WEB.iterdir() if file.name.endswith((".js", ".css"))]


@pytest.mark.parametrize("path", [*PAGES, *PARTS])
def test_every_page_and_part_is_served_with_its_security_policy(gateway, path):
    async def story(gateway):
        answer = await gateway.call("GET", path)
        assert answer.status == 200
        assert answer.body
        kind = {"css": "text/css", "js": "text/javascript"}
        assert answer.headers["Content-Type"].startswith(
            kind.get(path.rpartition(".")[2], "text/html")
        )
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none';")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert "Set-Cookie" not in answer.headers

    gateway(story)


@pytest.mark.parametrize("path", [*PAGES, "/web/style.css"])
def test_a_page_that_the_browser_has_is_not_sent_again(gateway, path):
    async def story(gateway):
        first = await gateway.call("GET", path)
        assert first.headers["ETag"] == f'"{hashlib.sha256(first.body).hexdigest()[:32]}"'
        assert first.headers["Cache-Control"] == "no-cache"
        again = {"If-None-Match": first.headers["ETag"]}
        second = await gateway.call("GET", path, headers=again)
        assert (second.status, second.body) == (304, b"")
        head = await gateway.call("HEAD", path)
        assert (head.status, head.body) == (200, b"")
        assert head.headers["ETag"] == first.headers["ETag"]

    gateway(story)


@pytest.mark.parametrize(
    "name", ["nothing.js", "checker-source.html", "..%2fopenapi.json", "checker.html", "style.css/"]
)
def test_only_parts_of_pages_are_served(gateway, name):
    async def story(gateway):
        answer = await gateway.call("GET", f"/web/{name}")
        assert (answer.status, answer.code) == (404, "not_found")

    gateway(story)


def test_the_page_of_an_entry_wants_an_index(gateway):
    async def story(gateway):
        answer = await gateway.call("GET", "/entry/x")
        assert (answer.status, answer.code) == (400, "parameter_invalid")

    gateway(story)


def test_pages_have_the_limits_of_every_other_call():
    assert not any(route.always for route in PagesApi().routes())


def test_the_pages_name_no_other_site():
    addresses = re.compile(r"https?://(?!www\.w3\.org/2000/svg)[^\s\"'`)]+|@import|\burl\(")
    hits = {f.name: found for f in WEB.iterdir() if (found := addresses.findall(f.read_text()))}
    assert hits == {}


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_every_ink_can_be_read_on_every_paper(scheme):
    """WCAG 2.2, 1.4.3: a contrast of 4.5 at least."""
    style = WEB.joinpath("style.css").read_text()
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", style.split(":root")[scheme + 1]))
    for ink in ("ink", "quiet", "accent", "good", "bad"):
        for paper in ("paper", "raised"):
            light, dark = sorted((luminance(colours[ink]), luminance(colours[paper])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, paper)
