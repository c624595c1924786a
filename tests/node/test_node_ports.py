"""`nodePortAddresses`: which of the node's addresses NodePorts answer on."""

import pytest

from kproxy.kernel.interface_addresses import InterfaceAddress
from kproxy.node.node_ports import NodePortAddresses, primary_addresses
from kproxy.services.addresses import Address, parse_address
from tests.services.builders import node

V4 = ["192.0.2.1", "198.51.100.7"]
V6 = ["2001:db8::1", "fd00::7"]
LINK = "fe80::1"


def ip(text: str) -> Address:
    address = parse_address(text)
    assert address is not None
    return address


INTERFACES = [
    *(InterfaceAddress(ip(text), link_scope=False) for text in ("127.0.0.1", "::1", *V4, *V6)),
    InterfaceAddress(ip(LINK), link_scope=True),
]
PRIMARY = [ip("192.0.2.1"), ip("2001:db8::1")]


@pytest.mark.parametrize(
    ("configured", "chosen", "everywhere"),
    [
        (None, [*V4, *V6], True),
        ([], [*V4, *V6], True),
        (["0.0.0.0/0"], [*V4, *V6], True),
        (["192.0.2.0/24", "0.0.0.0/0", "::/0"], [*V4, *V6], True),
        (["192.0.2.0/24"], ["192.0.2.1", *V6], False),
        (["fd00::/8"], [*V4, "fd00::7"], False),
        (["192.0.2.0/24", "fd00::/8"], ["192.0.2.1", "fd00::7"], False),
        (["203.0.113.0/24", "::/0"], V6, False),
        (["127.0.0.0/8"], V6, False),
        (["192.0.2.1/32", "fe80::/10"], ["192.0.2.1", LINK], False),
        (["primary"], ["192.0.2.1", "2001:db8::1"], False),
    ],
)
def test_each_family_is_chosen_for_by_itself(configured: list[str] | None, chosen: list[str], everywhere: bool) -> None:
    addresses = NodePortAddresses(configured)
    assert addresses.select(INTERFACES, PRIMARY) == set(map(ip, chosen))
    assert addresses.everywhere is everywhere


def test_the_primary_address_of_each_family_comes_from_the_node() -> None:
    found = node(addresses=["192.0.2.1", "192.0.2.2", "2001:db8::1"])
    assert primary_addresses(found) == PRIMARY
    assert primary_addresses(found, ip("0.0.0.0")) == PRIMARY
    assert primary_addresses(found, ip("192.0.2.9")) == [ip("192.0.2.9"), ip("2001:db8::1")]
    assert primary_addresses(None) == []
