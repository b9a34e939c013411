"""The description of the API against a running gateway: whatever it allows is answered as it says.

schemathesis makes requests from the description, good ones and bad ones, and holds each answer
against it: no server error, no status, media type, header or member that is not described. What it
cannot make is a signature: signed bodies are refused, each by a code that is described.
"""

from importlib.resources import files

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
ENDLESS = r":watch$"
"""A stream that ends when its reader goes is not read to its end."""

DESCRIPTION = schemathesis.openapi.from_path(
    str(files("heptad_gateway").joinpath("openapi.json"))
).exclude(path_regex=ENDLESS)
OPERATIONS = {found.ok().label: found.ok() for found in DESCRIPTION.get_all_operations()}
GOOD = [(label, GenerationMode.POSITIVE) for label in OPERATIONS]
BAD = [
    (label, GenerationMode.NEGATIVE)
    for label, operation in OPERATIONS.items()
    if operation.body or operation.query
]
"""Where any text will do, and a header that is wrong is passed over, nothing bad can be made."""

EXAMPLES = 4


@schemathesis.serializer("application/jose")
def _signed(_context, value):
    return value if isinstance(value, bytes) else str(value).encode()


@pytest.mark.parametrize(("label", "mode"), [*GOOD, *BAD])
def test_an_operation_answers_as_it_is_described(mesh, label, mode):
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=OPERATIONS[label].as_strategy(generation_mode=mode))
    def answers(case):
        case.call_and_validate(base_url=mesh.gateway_url, checks=CHECKS)

    answers()
