"""What all tests share: property tests are not timed, for the machines that run them are shared."""

import chromium
import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "heptad", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("heptad")


@pytest.fixture(scope="session")
def chromium_port():
    """A running Chromium, for tests that say they need one."""
    with chromium.browser() as port:
        yield port
