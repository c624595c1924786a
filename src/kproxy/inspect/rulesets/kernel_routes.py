"""The kernel's own answers about routes, one question each (linux/rtnetlink.h)."""

import socket
import struct
import sys
from pathlib import Path

from kproxy.inspect.rulesets.routes import Route
from kproxy.kernel.netlink import (
    HEADER,
    NLM_F_REQUEST,
    NLMSG_ERROR,
    NetlinkSocket,
    attribute,
    attributes,
    messages,
    text,
)
from kproxy.services.addresses import Address

_NETLINK_ROUTE = 0
_RTM_GETLINK, _RTM_GETROUTE = 18, 26
_RTA_DST, _RTA_OIF, _RTA_PREFSRC = 1, 4, 7
_RTN_LOCAL = 2
_IFLA_IFNAME, _IFLA_LINKINFO, _IFLA_INFO_KIND = 3, 18, 1
_IFINFOMSG = struct.Struct("=BxHiII")
_RTMSG = struct.Struct("=BBBBBBBBI")
_TYPE = 7
_BRIDGES_ASK_NETFILTER = {4: "bridge-nf-call-iptables", 16: "bridge-nf-call-ip6tables"}


class KernelRoutes:
    """Routes of the network namespace of the thread that makes it. Implements `routes.Routes`."""

    def __init__(self) -> None:
        """Open.

        Raises:
            OSError: the kernel has no routing netlink
        """
        self._netlink = NetlinkSocket(_NETLINK_ROUTE)
        self._known: dict[Address, tuple[int, Route] | None] = {}

    def close(self) -> None:
        self._netlink.close()

    def is_local(self, address: Address) -> bool:
        found = self._ask(address)
        return found is not None and found[0] == _RTN_LOCAL

    def towards(self, address: Address) -> Route | None:
        found = self._ask(address)
        return found[1] if found else None

    def _ask(self, address: Address) -> tuple[int, Route] | None:
        if address not in self._known:
            self._known[address] = self._look_up(address)
        return self._known[address]

    def _look_up(self, address: Address) -> tuple[int, Route] | None:
        family = socket.AF_INET if len(address) == 4 else socket.AF_INET6
        body = _RTMSG.pack(family, len(address) * 8, 0, 0, 0, 0, 0, 0, 0) + attribute(_RTA_DST, address)
        answer = self._ask_once(_RTM_GETROUTE, body)
        if answer is None:
            return None  # no route to it
        found = attributes(answer, _RTMSG.size)
        index = int.from_bytes(found.get(_RTA_OIF, bytes(4)), sys.byteorder)
        source = bytes(found[_RTA_PREFSRC]) if _RTA_PREFSRC in found else None
        return answer[_TYPE], Route(_name(index), source)

    def is_bridge(self, interface: str) -> bool:
        body = _IFINFOMSG.pack(0, 0, 0, 0, 0) + text(_IFLA_IFNAME, interface)
        answer = self._ask_once(_RTM_GETLINK, body)
        if answer is None:
            return False
        about = attributes(answer, _IFINFOMSG.size).get(_IFLA_LINKINFO, b"")
        return bytes(attributes(about).get(_IFLA_INFO_KIND, b"")).rstrip(b"\0") == b"bridge"

    def _ask_once(self, type_: int, body: bytes) -> memoryview | None:
        """The answer to one request; None when it is an error."""
        sequence = self._netlink.next_sequence()
        self._netlink.send(HEADER.pack(HEADER.size + len(body), type_, NLM_F_REQUEST, sequence, 0) + body)
        while True:
            for message in messages(self._netlink.receive() or b""):
                if message.sequence == sequence:
                    return None if message.type == NLMSG_ERROR else message.body


def _name(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except OSError:
        return ""


def bridges_ask_netfilter(address: Address) -> bool:
    """Whether packets that cross a bridge pass netfilter's hooks of the address's family.

    The switch is there only while the module br_netfilter is.
    """
    switch = Path("/proc/sys/net/bridge") / _BRIDGES_ASK_NETFILTER[len(address)]
    try:
        return switch.read_text(encoding="ascii").strip() == "1"
    except OSError:
        return False
