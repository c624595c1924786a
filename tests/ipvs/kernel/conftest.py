"""A network namespace in which IPVS works, for the tests that need one."""

import subprocess
from pathlib import Path

import pytest


@pytest.fixture
def ipvs_namespace(network_namespace: None) -> None:
    """A new namespace with its loopback up; skipped where the kernel has no IPVS (see tests/vm)."""
    if not Path("/proc/thread-self/net/ip_vs").exists():
        pytest.skip("this kernel has no IPVS: tests/vm/run gives these tests one that has")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
