"""What all tests share: property tests are not timed, for the machines that run them are shared."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "heptad", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("heptad")
