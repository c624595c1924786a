"""What tests on a kernel with IPVS share."""

import subprocess
from pathlib import Path

import pytest

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.ipvs)


@pytest.fixture
def ipvs_namespace(network_namespace: None) -> None:
    """A new network namespace with its loopback up."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
