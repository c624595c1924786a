from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.inspect.doctor.patient import Patient, run


@pytest.fixture
async def patient(network_namespace: None, tmp_path: Path) -> AsyncIterator[Patient]:
    """A healthy node without a proxy."""
    run("ip", "link", "set", "lo", "up")
    run("sysctl", "-qw", "net.ipv4.icmp_ratelimit=0", "net.ipv4.ip_forward=1")
    made = Patient(tmp_path)
    made.node("192.0.2.1")
    async with made.server:
        yield made
