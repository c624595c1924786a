"""The types of sets that the proxy uses, and their elements.

An element is a record of bytes: addresses and numbers in network order, in the order of the type's name; a protocol
takes one byte, a port two, the prefix length of a network one.
"""

import enum
from typing import NamedTuple, TypeAlias

from kproxy.kernel.netlink import attribute, attributes, nested
from kproxy.services.addresses import Address, Family, Network, format_address

Element: TypeAlias = bytes

_BIG_ENDIAN = 0x4000
"""NLA_F_NET_BYTEORDER: ipset refuses numbers without it."""
_IP, _CIDR, _PORT, _PROTO, _IP2, _CIDR2 = 1, 3, 4, 7, 20, 21
_DATA = 7
_PROTOCOL_NAMES = {6: "tcp", 17: "udp", 132: "sctp"}


class SetType(enum.Enum):
    """Types, by their names in the kernel."""

    IP = "hash:ip"
    IP_PORT = "hash:ip,port"
    IP_PORT_IP = "hash:ip,port,ip"
    IP_PORT_NET = "hash:ip,port,net"
    PORT = "bitmap:port"


class SetSpecification(NamedTuple):
    """What a set must be."""

    name: str
    """At most 31 bytes (IPSET_MAXNAMELEN)."""
    type: SetType
    family: Family
    max_elements: int = 1 << 20
    """Of hashes; they grow as they fill. A bitmap holds every port."""


def ip_port(address: Address, protocol: int, port: int) -> Element:
    return address + bytes((protocol,)) + port.to_bytes(2, "big")


def ip_port_ip(address: Address, protocol: int, port: int, second: Address) -> Element:
    return ip_port(address, protocol, port) + second


def ip_port_net(address: Address, protocol: int, port: int, network: Network) -> Element:
    """The network must not have the prefix length 0, which hashes do not take."""
    return ip_port(address, protocol, port) + network.address + bytes((network.prefix_length,))


def bitmap_port(port: int) -> Element:
    return port.to_bytes(2, "big")


def encode(type_: SetType, family: Family, element: Element) -> bytes:
    """An element as the attribute that the kernel takes."""
    if type_ is SetType.PORT:
        return nested(_DATA, attribute(_PORT | _BIG_ENDIAN, element))
    n = family.length
    parts = [_address(_IP, element[:n])]
    if type_ is not SetType.IP:
        parts += (attribute(_PORT | _BIG_ENDIAN, element[n + 1 : n + 3]), attribute(_PROTO, element[n : n + 1]))
        if len(element) > n + 3:
            parts.append(_address(_IP2, element[n + 3 : n + 3 + n]))
        if type_ is SetType.IP_PORT_NET:
            parts.append(attribute(_CIDR2, element[-1:]))
    return nested(_DATA, *parts)


def decode(type_: SetType, family: Family, data: memoryview) -> Element | None:
    """An element from what the kernel lists; None for one that is not a single element of the type."""
    found = attributes(data)
    port = bytes(found.get(_PORT, b""))
    if type_ is SetType.PORT:
        return port if len(port) == 2 else None
    first, second = _packed(found.get(_IP)), _packed(found.get(_IP2))
    if len(first) != family.length:
        return None
    if type_ is SetType.IP:
        return first if _CIDR not in found else None
    element = first + bytes(found.get(_PROTO, b"")) + port + second
    if type_ is SetType.IP_PORT_NET:
        # The kernel leaves the prefix length out where it is that of a host.
        element += bytes(found.get(_CIDR2, bytes((family.length * 8,))))
    expected = {SetType.IP_PORT: 0, SetType.IP_PORT_IP: family.length, SetType.IP_PORT_NET: family.length + 1}
    return element if len(element) == family.length + 3 + expected[type_] else None


def describe(type_: SetType, family: Family, element: Element) -> str:
    """An element as the program `ipset` writes it."""
    if type_ is SetType.PORT:
        return str(int.from_bytes(element, "big"))
    n = family.length
    text = format_address(element[:n])
    if len(element) > n:
        text += f",{_PROTOCOL_NAMES.get(element[n], element[n])}:{int.from_bytes(element[n + 1 : n + 3], 'big')}"
    if len(element) > n + 3:
        text += f",{format_address(element[n + 3 : n + 3 + n])}"
    return f"{text}/{element[-1]}" if type_ is SetType.IP_PORT_NET else text


def _address(type_: int, address: Address) -> bytes:
    return nested(type_, attribute((1 if len(address) == 4 else 2) | _BIG_ENDIAN, address))


def _packed(nest: memoryview | None) -> bytes:
    if nest is None:
        return b""
    found = attributes(nest)
    return bytes(found.get(1) or found.get(2) or b"")
