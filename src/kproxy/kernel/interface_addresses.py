"""The IP families and addresses of this network namespace's interfaces, and their changes (linux/rtnetlink.h).

An interface that holds the addresses of virtual servers is left out: they are the node's only in name.
"""

import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from kproxy.kernel.netlink import NetlinkSocket, attributes, messages, reread
from kproxy.services.addresses import Address, Family

VIRTUAL_SERVERS_INTERFACE = "kube-ipvs0"
"""Where IPVS mode puts the addresses of Services, this proxy's or another's."""

_NETLINK_ROUTE = 0
_RTM_GETADDR = 22
_RTNLGRP_IPV4_IFADDR, _RTNLGRP_IPV6_IFADDR = 5, 9
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RT_SCOPE_LINK = 253
_IFADDRMSG = struct.Struct("=BBBBI")


def ip_families() -> tuple[Family, ...]:
    """The families that this kernel has: IPv6 may be left out, or switched off at boot (`ipv6.disable=1`)."""
    return tuple(Family) if Path("/proc/net/if_inet6").exists() else (Family.IPV4,)


class InterfaceAddress(NamedTuple):
    address: Address
    link_scope: bool
    """Valid on its link only, such as fe80::/10."""


class AssignedAddress(NamedTuple):
    """An address as the kernel has it."""

    interface: int
    """Its index."""
    address: Address
    prefix_length: int
    scope: int
    """RT_SCOPE_* (linux/rtnetlink.h): 0 is valid everywhere, 253 on the link, 254 on the host."""


def dump_addresses(netlink: NetlinkSocket) -> Iterator[AssignedAddress]:
    """Every address of every interface, by a socket of routing netlink.

    Raises:
        OSError: the kernel's error; EINTR when addresses changed meanwhile (ask again)
    """
    for message in netlink.dump(_RTM_GETADDR, _IFADDRMSG.pack(0, 0, 0, 0, 0)):
        _, prefix_length, _, scope, index = _IFADDRMSG.unpack_from(message.body)
        attrs = attributes(message.body, _IFADDRMSG.size)
        # On point-to-point links IFA_ADDRESS is the peer's address and IFA_LOCAL ours.
        address = attrs.get(_IFA_LOCAL) or attrs.get(_IFA_ADDRESS)
        if address is not None:
            yield AssignedAddress(index, bytes(address), prefix_length, scope)


def list_addresses() -> list[InterfaceAddress]:
    """Every address of every interface, loopback included, that of virtual servers left out.

    Raises:
        OSError: the kernel has no routing netlink
    """
    with NetlinkSocket(_NETLINK_ROUTE) as netlink:
        return reread(lambda: _dump(netlink), 10)


def _dump(netlink: NetlinkSocket) -> list[InterfaceAddress]:
    left_out = _index(VIRTUAL_SERVERS_INTERFACE)
    return [
        InterfaceAddress(assigned.address, assigned.scope >= _RT_SCOPE_LINK)
        for assigned in dump_addresses(netlink)
        if assigned.interface != left_out
    ]


def _index(interface: str) -> int:
    """0, which no interface has, when there is none of that name."""
    try:
        return socket.if_nametoindex(interface)
    except OSError:
        return 0


class AddressMonitor:
    """Tells that addresses may have appeared or vanished, other than those that `list_addresses` leaves out."""

    def __init__(self) -> None:
        self._netlink = NetlinkSocket(_NETLINK_ROUTE, receive_buffer=1 << 18)
        self._netlink.join(_RTNLGRP_IPV4_IFADDR)
        self._netlink.join(_RTNLGRP_IPV6_IFADDR)
        self._left_out = _index(VIRTUAL_SERVERS_INTERFACE)

    def fileno(self) -> int:
        """Readable when something happened."""
        return self._netlink.fileno()

    def drain(self) -> bool:
        """Forget what is queued; returns whether it concerns the caller, who then lists the addresses anew."""
        changed = False
        for datagram in self._netlink.queued():
            changed = changed or datagram is None or any(map(self._concerns, _interfaces(datagram)))
        return changed

    def _concerns(self, index: int) -> bool:
        if index != self._left_out:
            # It may be made at any time, and anew.
            self._left_out = _index(VIRTUAL_SERVERS_INTERFACE) or self._left_out
        return index != self._left_out

    def close(self) -> None:
        self._netlink.close()


def _interfaces(datagram: bytes) -> Iterator[int]:
    """Those whose addresses a notification is about."""
    for message in messages(datagram):
        if len(message.body) >= _IFADDRMSG.size:
            yield _IFADDRMSG.unpack_from(message.body)[4]
