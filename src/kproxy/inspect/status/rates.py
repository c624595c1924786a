"""Connections per second of each Service, from the kernel's own announcements of new flows.

Connection tracking tells listeners of every flow that it has seen the first packet of
(linux/netfilter/nfnetlink_conntrack.h), which holds in every mode: what was sent to a Service's address is the
flow's original destination, whoever translated it.
"""

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from kproxy.inspect.desired import DesiredState
from kproxy.kernel.conntrack.entries import EntryReader
from kproxy.kernel.conntrack.protocol import ADDRESS_FAMILY, PROTOCOL_NUMBER
from kproxy.kernel.netlink import NETLINK_NETFILTER, NetlinkSocket, messages
from kproxy.services.addresses import Address, Family, format_address
from kproxy.services.flows import Flow

_NEW_FLOWS = 1
"""NFNLGRP_CONNTRACK_NEW (linux/netfilter/nfnetlink.h)."""
_MESSAGE_NEW = 1 << 8
"""Subsystem 1, IPCTNL_MSG_CT_NEW."""
_BUFFER = 8 << 20
REMEMBERED = 60
"""Ticks of the past that are kept."""


class Frontend(NamedTuple):
    """Where a flow was sent; a NodePort has no address."""

    protocol: str
    address: Address
    port: int


class Names:
    """Finds the Service behind a destination."""

    def __init__(self, services: Mapping[Frontend, str], node_addresses: frozenset[Address]) -> None:
        self._services, self._node_addresses = services, node_addresses

    @classmethod
    def of(cls, desired: DesiredState | None) -> "Names":
        """Those of the desired state; without one, destinations go by their address."""
        services: dict[Frontend, str] = {}
        if desired is None:
            return cls(services, frozenset())
        for name in desired.tracker.names():
            for port in (port for family in Family for port in desired.tracker.ports(name, family)):
                for address in (port.cluster_ip, *port.external_addresses()):
                    services[Frontend(port.protocol, address, port.port)] = str(port)
                if port.node_port:
                    services[Frontend(port.protocol, b"", port.node_port)] = str(port)
        return cls(services, frozenset(desired.node_port_addresses))

    def find(self, protocol: str, flow: Flow) -> str | None:
        """The Service and port that a flow was sent to; None when it was sent to none."""
        found = self._services.get(Frontend(protocol, flow.address, flow.port))
        if found is None and flow.address in self._node_addresses:
            found = self._services.get(Frontend(protocol, b"", flow.port))
        if found is not None or self._services:
            return found
        translated = flow.backend != flow.address + flow.port.to_bytes(2, "big")
        host = format_address(flow.address)
        shown = f"[{host}]:{flow.port}" if ":" in host else f"{host}:{flow.port}"
        return f"{shown}/{protocol}" if translated else None


class FlowListener:
    """Counts new flows by Service, in the network namespace of the thread that makes it."""

    def __init__(self, names: Names) -> None:
        """Begin to listen.

        Raises:
            OSError: the kernel has no connection tracking netlink, or not permitted (EPERM)
        """
        self.names = names
        self.missed = 0
        """How often the kernel had more to tell than fits."""
        self._readers = {
            (int(ADDRESS_FAMILY[family]), protocol): EntryReader(family, number)
            for family in Family
            for protocol, number in PROTOCOL_NUMBER.items()
        }
        self._netlink = NetlinkSocket(NETLINK_NETFILTER, receive_buffer=_BUFFER)
        try:
            self._netlink.join(_NEW_FLOWS)
        except OSError:
            self._netlink.close()
            raise

    def fileno(self) -> int:
        """Readable when flows have begun."""
        return self._netlink.fileno()

    def close(self) -> None:
        self._netlink.close()

    def take(self) -> Counter[str]:
        """The flows that have begun since the last call, by Service port."""
        counted: Counter[str] = Counter()
        for family, body in self._announced():
            for protocol in PROTOCOL_NUMBER:
                for flow in self._readers[family, protocol].read([body]):
                    name = self.names.find(protocol, flow)
                    if name is not None:
                        counted[name] += 1
        return counted

    def _announced(self) -> Iterator[tuple[int, memoryview]]:
        known = set(ADDRESS_FAMILY.values())
        for datagram in self._netlink.queued():
            if datagram is None:
                self.missed += 1
                continue
            for message in messages(datagram):
                if message.type == _MESSAGE_NEW and len(message.body) >= 4 and message.body[0] in known:
                    yield message.body[0], message.body


class Rates:
    """Each Service port's connections in the last ticks, the newest last."""

    def __init__(self) -> None:
        self._history: dict[str, deque[float]] = {}
        self._ticks = 0

    def tick(self, counted: Counter[str], seconds: float) -> None:
        """Take in what was counted since the last tick, so many seconds ago."""
        self._ticks += 1
        for name in counted.keys() - self._history.keys():
            self._history[name] = deque([0.0] * min(self._ticks - 1, REMEMBERED - 1), maxlen=REMEMBERED)
        for name, history in list(self._history.items()):
            history.append(counted[name] / seconds if seconds > 0 else 0.0)
            if not any(history):
                del self._history[name]

    def now(self, name: str) -> float:
        """Connections per second in the last tick."""
        history = self._history.get(name)
        return history[-1] if history else 0.0

    def history(self, name: str) -> list[float]:
        return list(self._history.get(name, ()))

    def names(self) -> list[str]:
        """The Service ports with connections within memory, the busiest first."""
        return sorted(self._history, key=lambda name: (-self.now(name), -sum(self._history[name]), name))
