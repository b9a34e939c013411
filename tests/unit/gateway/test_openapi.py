"""The description of the API and the gateway say the same."""

import json
import re

import pytest

from heptad.model.entry import Kind
from heptad.model.problems import PROBLEMS


def described(gateway):
    return gateway.call("GET", "/v1/openapi.json")


def test_every_route_is_described_and_nothing_else(gateway):
    async def story(gateway):
        paths = (await described(gateway)).json()["paths"]
        operations = {(method.upper(), path) for path, item in paths.items() for method in item}
        routes = {(route.method, route.template) for route in gateway.app.routes()}
        assert operations == routes

    gateway(story)


def test_parts_in_braces_are_described_as_parameters(gateway):
    async def story(gateway):
        for path, item in (await described(gateway)).json()["paths"].items():
            for operation in item.values():
                named = {p["name"] for p in operation["parameters"] if p.get("in") == "path"}
                assert named == set(re.findall(r"{(\w+)}", path))

    gateway(story)


def test_every_reference_leads_somewhere_and_every_operation_has_its_own_name(gateway):
    async def story(gateway):
        description = (await described(gateway)).json()
        for reference in re.findall(r'"\$ref": ?"#/([^"]+)"', json.dumps(description)):
            found = description
            for part in reference.split("/"):
                found = found[part]
        names = [
            op["operationId"] for item in description["paths"].values() for op in item.values()
        ]
        assert len(names) == len(set(names))

    gateway(story)


def test_every_code_that_is_described_is_in_the_table(gateway):
    async def story(gateway):
        text = (await described(gateway)).body.decode()
        codes = re.findall(r"`([a-z]+(?:_[a-z]+)+)`", text)
        members = {
            "request_id",
            "end_index",
            "from_index",
            "next_page_token",
            "start_index",
            "time_ms",
            "retry_after_s",
        }
        assert set(codes) - members <= set(PROBLEMS)

    gateway(story)


@pytest.mark.parametrize(
    "path", ["/v1/subjects", "/v1/requests", "/v1/requests:batch", "/v1/bundles"]
)
def test_the_described_media_type_is_the_one_that_is_taken(gateway, path):
    async def story(gateway):
        operation = (await described(gateway)).json()["paths"][path]["post"]
        [media_type] = operation["requestBody"]["content"]
        head = {"Content-Type": media_type}
        assert (await gateway.call("POST", path, data=b"[]", headers=head)).status != 415

    gateway(story)


def test_what_is_answered_has_the_members_that_are_described(gateway):
    """Full conformance is for a fuzzer; this holds the examples that every reader looks at."""

    async def story(gateway):
        schemas = (await described(gateway)).json()["components"]["schemas"]
        for name, answer in {
            "Recorded": await gateway.post(b"x"),
            "Problem": await gateway.call("GET", "/nothing"),
            "About": await gateway.call("GET", "/v1"),
            "Readiness": await gateway.call("GET", "/readyz?verbose"),
        }.items():
            members = set(answer.json())
            assert set(schemas[name]["required"]) <= members <= set(schemas[name]["properties"])

    gateway(story)


def test_the_description_lists_every_code_that_a_refusal_may_have(gateway):
    async def story(gateway):
        assert (await described(gateway)).json()["x-codes"] == sorted(PROBLEMS)

    gateway(story)


def test_every_kind_of_entry_can_be_asked_for(gateway):
    async def story(gateway):
        parameter = (await described(gateway)).json()["components"]["parameters"]["kind"]
        assert parameter["schema"]["items"]["enum"] == [kind.name for kind in Kind]

    gateway(story)
