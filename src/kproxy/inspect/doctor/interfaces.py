"""The node's interfaces, as rtnetlink lists them (linux/if_link.h)."""

import struct
from typing import NamedTuple

from kproxy.kernel.netlink import NetlinkSocket, attributes, reread
from kproxy.services.addresses import Address, Network

_NETLINK_ROUTE = 0
_RTM_GETLINK, _RTM_GETADDR = 18, 22
_IFLA_IFNAME, _IFLA_MTU, _IFLA_LINK, _IFLA_MASTER, _IFLA_LINKINFO, _IFLA_INFO_KIND = 3, 4, 5, 10, 18, 1
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_IFF_UP, _IFF_LOOPBACK = 0x1, 0x8
_IFINFOMSG = struct.Struct("=BxHiII")
_IFADDRMSG = struct.Struct("=BBBBI")
_READINGS = 5


class InterfaceNetwork(NamedTuple):
    address: Address
    network: Network


class Interface(NamedTuple):
    """One interface of this network namespace."""

    number: int
    name: str
    kind: str
    """Such as `bridge`, `veth` or `vxlan`; empty for hardware."""
    mtu: int
    """Bytes of a packet."""
    up: bool
    loopback: bool
    master: int
    """The index of the bridge or bond that it is a port of; 0: none."""
    networks: tuple[InterfaceNetwork, ...]


def list_interfaces() -> list[Interface]:
    """Every interface with its addresses.

    Raises:
        OSError: the kernel has no routing netlink
    """
    with NetlinkSocket(_NETLINK_ROUTE) as netlink:
        return reread(lambda: _list(netlink), _READINGS)


def _list(netlink: NetlinkSocket) -> list[Interface]:
    networks: dict[int, list[InterfaceNetwork]] = {}
    for message in netlink.dump(_RTM_GETADDR, _IFADDRMSG.pack(0, 0, 0, 0, 0)):
        _, length, _, _, index = _IFADDRMSG.unpack_from(message.body)
        found = attributes(message.body, _IFADDRMSG.size)
        given = found.get(_IFA_LOCAL) or found.get(_IFA_ADDRESS)
        if given is not None:
            networks.setdefault(index, []).append(InterfaceNetwork(bytes(given), _network(bytes(given), length)))
    interfaces = []
    for message in netlink.dump(_RTM_GETLINK, _IFINFOMSG.pack(0, 0, 0, 0, 0)):
        _, _, index, flags, _ = _IFINFOMSG.unpack_from(message.body)
        found = attributes(message.body, _IFINFOMSG.size)
        info = attributes(found.get(_IFLA_LINKINFO, b""))
        interfaces.append(
            Interface(
                number=index,
                name=_text(found.get(_IFLA_IFNAME, b"")),
                kind=_text(info.get(_IFLA_INFO_KIND, b"")),
                mtu=_number(found.get(_IFLA_MTU, b"")),
                up=bool(flags & _IFF_UP),
                loopback=bool(flags & _IFF_LOOPBACK),
                master=_number(found.get(_IFLA_MASTER, b"")),
                networks=tuple(networks.get(index, ())),
            )
        )
    return interfaces


def _network(address: Address, length: int) -> Network:
    bits = len(address) * 8
    mask = (1 << bits) - (1 << (bits - length))
    return Network((int.from_bytes(address, "big") & mask).to_bytes(len(address), "big"), length)


def _text(value: bytes | memoryview) -> str:
    return bytes(value).rstrip(b"\0").decode(errors="replace")


def _number(value: bytes | memoryview) -> int:
    return int.from_bytes(value, "little")
