"""Interfaces and the addresses on them, over rtnetlink (linux/rtnetlink.h, linux/if_link.h, linux/if_addr.h)."""

import errno
import socket
import struct
import sys
from collections.abc import Collection
from typing import NamedTuple

from kproxy.kernel.interface_addresses import dump_addresses
from kproxy.kernel.netlink import NLM_F_CREATE, NLM_F_EXCL, NetlinkSocket, attribute, attributes, nested, reread, text
from kproxy.kernel.requests import Refusal, Request, perform
from kproxy.services.addresses import Address, Network, format_address

_NETLINK_ROUTE = 0
_RTM_NEWLINK, _RTM_DELLINK, _RTM_GETLINK = 16, 17, 18
_RTM_NEWADDR, _RTM_DELADDR = 20, 21
_IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER, _IFLA_LINKINFO, _IFLA_INFO_KIND = 3, 4, 10, 18, 1
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_IFA_F_NODAD = 0x02
_IFF_UP, _IFF_LOOPBACK = 0x1, 0x8
_IFINFOMSG = struct.Struct("=BxHiII")
_IFADDRMSG = struct.Struct("=BBBBI")
_READINGS = 5


class InterfaceNetwork(NamedTuple):
    """An address of an interface, and the network that is reached through it."""

    address: Address
    network: Network


class Interface(NamedTuple):
    """One interface of a network namespace."""

    number: int
    """Its index."""
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
    """Every interface of the calling thread's network namespace, with its addresses.

    Raises:
        OSError: the kernel has no routing netlink
    """
    with NetlinkSocket(_NETLINK_ROUTE) as netlink:
        return reread(lambda: _list_interfaces(netlink), _READINGS)


def _list_interfaces(netlink: NetlinkSocket) -> list[Interface]:
    networks: dict[int, list[InterfaceNetwork]] = {}
    for assigned in dump_addresses(netlink):
        found = InterfaceNetwork(assigned.address, _network(assigned.address, assigned.prefix_length))
        networks.setdefault(assigned.interface, []).append(found)
    interfaces = []
    for message in netlink.dump(_RTM_GETLINK, _IFINFOMSG.pack(0, 0, 0, 0, 0)):
        _, _, index, flags, _ = _IFINFOMSG.unpack_from(message.body)
        given = attributes(message.body, _IFINFOMSG.size)
        interfaces.append(
            Interface(
                number=index,
                name=_string(given.get(_IFLA_IFNAME, b"")),
                kind=_string(attributes(given.get(_IFLA_LINKINFO, b"")).get(_IFLA_INFO_KIND, b"")),
                mtu=_number(given.get(_IFLA_MTU, b"")),
                up=bool(flags & _IFF_UP),
                loopback=bool(flags & _IFF_LOOPBACK),
                master=_number(given.get(_IFLA_MASTER, b"")),
                networks=tuple(networks.get(index, ())),
            )
        )
    return interfaces


def _network(address: Address, prefix_length: int) -> Network:
    bits = len(address) * 8
    mask = (1 << bits) - (1 << (bits - prefix_length))
    return Network((int.from_bytes(address, "big") & mask).to_bytes(len(address), "big"), prefix_length)


def _string(value: bytes | memoryview) -> str:
    return bytes(value).rstrip(b"\0").decode(errors="replace")


def _number(value: bytes | memoryview) -> int:
    return int.from_bytes(value, sys.byteorder)


class LinkSocket:
    """Interfaces of the network namespace of the thread that opens it. Used by one thread at a time."""

    def __init__(self) -> None:
        self._netlink = NetlinkSocket(_NETLINK_ROUTE)

    def close(self) -> None:
        self._netlink.close()

    def index(self, name: str) -> int:
        """The index of an interface, 0 when there is none of that name."""
        try:
            return socket.if_nametoindex(name)
        except OSError:
            return 0

    def ensure_dummy(self, name: str) -> int:
        """Make a dummy interface, down, unless there is one of that name; returns its index.

        Raises:
            OSError: the kernel has no dummy interfaces (EOPNOTSUPP), or does not permit it (EPERM)
        """
        if index := self.index(name):
            return index
        body = _IFINFOMSG.pack(0, 0, 0, 0, 0) + text(_IFLA_IFNAME, name)
        body += nested(_IFLA_LINKINFO, text(_IFLA_INFO_KIND, "dummy"))
        self._do(Request(_RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body, f"interface {name}"))
        return socket.if_nametoindex(name)

    def delete(self, name: str) -> bool:
        """Delete an interface with its addresses; returns whether there was one.

        Raises:
            OSError: not permitted (EPERM)
        """
        index = self.index(name)
        if not index:
            return False
        self._do(Request(_RTM_DELLINK, 0, _IFINFOMSG.pack(0, 0, index, 0, 0), f"interface {name}"))
        return True

    def addresses(self) -> dict[int, set[Address]]:
        """The addresses of every interface, by its index.

        Raises:
            OSError: the kernel has no routing netlink
        """
        return reread(self._dump, _READINGS)

    def _dump(self) -> dict[int, set[Address]]:
        found: dict[int, set[Address]] = {}
        for assigned in dump_addresses(self._netlink):
            found.setdefault(assigned.interface, set()).add(assigned.address)
        return found

    def add(self, index: int, addresses: Collection[Address]) -> tuple[int, list[Refusal]]:
        """Give an interface addresses; those that it has are no error. Returns the bytes sent, and what failed.

        Raises:
            OSError: the requests could not be sent, or are not permitted
        """
        return self._change(_RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, index, addresses, errno.EEXIST)

    def remove(self, index: int, addresses: Collection[Address]) -> tuple[int, list[Refusal]]:
        """Take addresses from an interface; those that it has not are no error.

        Raises:
            OSError: the requests could not be sent, or are not permitted
        """
        return self._change(_RTM_DELADDR, 0, index, addresses, errno.EADDRNOTAVAIL)

    def _change(
        self, type_: int, flags: int, index: int, addresses: Collection[Address], expected: int
    ) -> tuple[int, list[Refusal]]:
        requests = [Request(type_, flags, _host(index, address), HostAddress(address)) for address in addresses]
        performed = perform(self._netlink, requests)
        return performed.bytes, [refusal for refusal in performed.refused if refusal.answer.error != expected]

    def _do(self, request: Request) -> None:
        for refusal in perform(self._netlink, [request]).refused:
            raise OSError(refusal.answer.error, str(refusal))


class HostAddress(bytes):
    """An address, for messages about it."""

    def __str__(self) -> str:
        return f"address {format_address(self)}"


def _host(index: int, address: Address) -> bytes:
    """An address alone in its network. No other host is asked whether it has it, as all nodes do."""
    family, flags = (socket.AF_INET, 0) if len(address) == 4 else (socket.AF_INET6, _IFA_F_NODAD)
    header = _IFADDRMSG.pack(family, len(address) * 8, flags, 0, index)
    return header + attribute(_IFA_LOCAL, address) + attribute(_IFA_ADDRESS, address)
