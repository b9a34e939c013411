"""What all tests share: property tests are not timed, for the machines that run them are shared."""

import gc

import chromium
import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "heptad", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("heptad")


def pytest_collection():
    """Thousands of tests are made and none is garbage; looking for it takes a third of the time."""
    gc.disable()


def pytest_collection_finish():
    """What was collected stays until the end, and need not be looked through again and again."""
    gc.enable()
    gc.freeze()


@pytest.fixture(scope="session")
def chromium_port():
    """A running Chromium, for tests that say they need one."""
    with chromium.browser() as port:
        yield port
