"""What rules and hooks must know of routing: which addresses are the node's own, and by which way packets leave."""

from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol

from kproxy.services.addresses import Address, Network


class Route(NamedTuple):
    """The way to an address."""

    interface: str
    source: Address | None
    """The node's own address on that way; None: unknown."""


class Routes(Protocol):
    """Where an evaluation asks."""

    def is_local(self, address: Address) -> bool:
        """Whether the address is one of this node's."""

    def towards(self, address: Address) -> Route | None:
        """How packets to the address leave; None when there is no route, or it is not known."""

    def is_bridge(self, interface: str) -> bool:
        """Whether an interface is a bridge."""


class StaticRoutes:
    """Routes known beforehand, the longest prefix first. Implements `Routes`."""

    def __init__(
        self,
        local: Collection[Address],
        routes: Sequence[tuple[Network, Route]] = (),
        bridges: Collection[str] = (),
    ) -> None:
        self._local, self._bridges = frozenset(local), frozenset(bridges)
        self._routes = sorted(routes, key=lambda entry: entry[0].prefix_length, reverse=True)

    def is_local(self, address: Address) -> bool:
        return address in self._local or (len(address) == 4 and address[0] == 127)

    def towards(self, address: Address) -> Route | None:
        return next((route for network, route in self._routes if address in network), None)

    def is_bridge(self, interface: str) -> bool:
        return interface in self._bridges


def address_type(address: Address, routes: Routes) -> str:
    """`local`, `multicast`, `broadcast` or `unicast` (linux/rtnetlink.h, RTN_*)."""
    if routes.is_local(address):
        return "local"
    if address[0] == 0xFF if len(address) == 16 else 224 <= address[0] < 240:
        return "multicast"
    return "broadcast" if address == b"\xff" * 4 else "unicast"
