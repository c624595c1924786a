"""Settings for property tests on a machine that others use too."""

from hypothesis import HealthCheck, settings

patient = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], max_examples=50
)
