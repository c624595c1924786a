"""The IP families and addresses of this network namespace's interfaces, and their changes (linux/rtnetlink.h)."""

import errno
import struct
from pathlib import Path
from typing import NamedTuple

from kproxy.kernel.netlink import NetlinkSocket, attributes
from kproxy.services.addresses import Address, Family

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


def list_addresses() -> list[InterfaceAddress]:
    """Every address of every interface, loopback included.

    Raises:
        OSError: the kernel has no routing netlink
    """
    with NetlinkSocket(_NETLINK_ROUTE) as netlink:
        for _ in range(10):
            try:
                return _dump(netlink)
            except OSError as error:
                if error.errno != errno.EINTR:
                    raise
        return _dump(netlink)


def _dump(netlink: NetlinkSocket) -> list[InterfaceAddress]:
    found = []
    for message in netlink.dump(_RTM_GETADDR, _IFADDRMSG.pack(0, 0, 0, 0, 0)):
        _, _, _, scope, _ = _IFADDRMSG.unpack_from(message.body)
        attrs = attributes(message.body, _IFADDRMSG.size)
        # On point-to-point links IFA_ADDRESS is the peer's address and IFA_LOCAL ours.
        address = attrs.get(_IFA_LOCAL) or attrs.get(_IFA_ADDRESS)
        if address is not None:
            found.append(InterfaceAddress(bytes(address), scope >= _RT_SCOPE_LINK))
    return found


class AddressMonitor:
    """Tells that addresses may have appeared or vanished."""

    def __init__(self) -> None:
        self._netlink = NetlinkSocket(_NETLINK_ROUTE, receive_buffer=1 << 18)
        self._netlink.join(_RTNLGRP_IPV4_IFADDR)
        self._netlink.join(_RTNLGRP_IPV6_IFADDR)

    def fileno(self) -> int:
        """Readable when something happened."""
        return self._netlink.fileno()

    def drain(self) -> None:
        """Forget what is queued; the caller lists the addresses anew."""
        while True:
            try:
                if self._netlink.receive(wait=False) is None:
                    return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise

    def close(self) -> None:
        self._netlink.close()
