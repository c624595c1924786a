"""Every interface with its addresses, as the kernel lists them."""

import subprocess

import pytest

from kproxy.kernel.interface_addresses import dump_addresses
from kproxy.kernel.links import InterfaceNetwork, list_interfaces
from kproxy.kernel.netlink import NetlinkSocket
from kproxy.services.addresses import Address, parse_address, parse_network

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("network_namespace")]

_NETLINK_ROUTE = 0


def ip(command: str) -> None:
    subprocess.run(["ip", *command.split()], check=True)


def given(address: str, network: str) -> InterfaceNetwork:
    packed, parsed = parse_address(address), parse_network(network)
    assert packed is not None
    assert parsed is not None
    return InterfaceNetwork(packed, parsed)


def test_a_bridge_with_a_port_and_addresses() -> None:
    ip("link add cni0 type bridge")
    ip("link set cni0 mtu 1450")
    ip("link add v0 type veth peer name v1")
    ip("link set v0 master cni0 up")
    ip("addr add 10.244.1.254/24 dev cni0")
    ip("addr add fd00:10::1/64 dev cni0 nodad")
    found = {interface.name: interface for interface in list_interfaces()}
    bridge, port = found["cni0"], found["v0"]
    assert (bridge.kind, bridge.mtu, bridge.up, bridge.master) == ("bridge", 1450, False, 0)
    assert set(bridge.networks) == {given("10.244.1.254", "10.244.1.0/24"), given("fd00:10::1", "fd00:10::/64")}
    assert (port.kind, port.up, port.master, port.networks) == ("veth", True, bridge.number, ())
    assert found["lo"].loopback
    assert not found["v1"].loopback


def test_on_a_link_between_two_the_address_is_ours_and_not_the_peers() -> None:
    ip("link add t0 type veth peer name t1")
    ip("addr add 192.0.2.1 peer 192.0.2.2/32 dev t0")
    with NetlinkSocket(_NETLINK_ROUTE) as netlink:
        addresses: list[Address] = [assigned.address for assigned in dump_addresses(netlink)]
    assert addresses == [parse_address("192.0.2.1")]
