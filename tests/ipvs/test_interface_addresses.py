"""The node's addresses, and what is none of them: those of Services on `kube-ipvs0`."""

import select
import subprocess
from collections.abc import Iterator

import pytest

from kproxy.kernel.interface_addresses import AddressMonitor, list_addresses
from tests.ipvs.kernel_state import ip

SERVICES, OTHER = "kube-ipvs0", "eth0"


def run(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def listed() -> set[bytes]:
    return {found.address for found in list_addresses() if not found.link_scope}


@pytest.fixture
def monitor(network_namespace: None) -> Iterator[AddressMonitor]:
    made = AddressMonitor()
    yield made
    made.close()


def drained(monitor: AddressMonitor) -> bool:
    """What a monitor says of what is queued, once there is something."""
    assert select.select([monitor], [], [], 10)[0]
    return monitor.drain()


def test_addresses_of_services_are_neither_listed_nor_announced(monitor: AddressMonitor) -> None:
    # Any kind of interface may have the name.
    run("link", "add", SERVICES, "type", "veth", "peer", "name", OTHER)
    run("address", "add", "10.96.0.1/32", "dev", SERVICES)
    assert not drained(monitor)
    run("address", "add", "192.0.2.1/24", "dev", OTHER)
    run("address", "add", "10.96.0.2/32", "dev", SERVICES)
    assert drained(monitor)
    assert listed() == {ip("192.0.2.1")}
    assert not monitor.drain()


def test_the_interface_of_services_may_be_made_anew(monitor: AddressMonitor) -> None:
    for _ in range(2):
        run("link", "add", SERVICES, "type", "veth", "peer", "name", OTHER)
        run("address", "add", "10.96.0.1/32", "dev", SERVICES)
        assert not drained(monitor)
        run("link", "delete", SERVICES)
        assert not drained(monitor)
    assert listed() == set()


def test_what_was_missed_may_be_anything(monitor: AddressMonitor) -> None:
    run("link", "add", SERVICES, "type", "veth", "peer", "name", OTHER)
    for action in ("add", "del"):
        batch = "".join(f"address {action} 10.{n >> 8}.{n & 255}.1/32 dev {SERVICES}\n" for n in range(4000))
        subprocess.run(["ip", "-batch", "-"], input=batch, text=True, check=True)
    assert drained(monitor)
