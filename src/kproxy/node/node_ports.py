"""On which of the node's addresses NodePorts answer (`nodePortAddresses`)."""

from collections.abc import Iterable, Sequence

from kproxy.kernel.interface_addresses import InterfaceAddress
from kproxy.services.addresses import Address, Family, Network, parse_address, parse_network
from kproxy.services.objects import Node

PRIMARY = "primary"
_WILDCARDS = (bytes(4), bytes(16))


def primary_addresses(node: Node | None, bind_address: Address | None = None) -> list[Address]:
    """The node's main address in each family: its first InternalIP, else its first ExternalIP.

    Args:
        node: the Node object, if there is one
        bind_address: `bindAddress`; unless it is a wildcard, the node's address in its family
    """
    by_family: dict[int, Address] = {}
    if bind_address is not None and bind_address not in _WILDCARDS:
        by_family[len(bind_address)] = bind_address
    listed = node.status.addresses or [] if node and node.status else []
    for type_ in ("InternalIP", "ExternalIP"):
        for entry in listed:
            if entry.type == type_ and (address := parse_address(entry.address)) is not None:
                by_family.setdefault(len(address), address)
    return list(by_family.values())


class NodePortAddresses:
    """The configured choice, to be applied to what addresses there are.

    Each family is chosen for by itself: one of which no network is listed is chosen whole.
    """

    def __init__(self, configured: Sequence[str] | None) -> None:
        """Read the configuration.

        Args:
            configured: CIDRs, or `primary` alone; None or empty: all addresses
        """
        self.primary = bool(configured) and PRIMARY in (configured or ())
        networks = (parse_network(text) for text in configured or () if text != PRIMARY)
        self._networks: dict[Family, list[Network]] = {family: [] for family in Family}
        for network in networks:
            if network is not None:
                self._networks[Family.of(network.address)].append(network)

    @property
    def everywhere(self) -> bool:
        """Whether every address of both families is chosen, present or to come."""
        return all(map(self._chosen_whole, Family))

    @property
    def follows_interfaces(self) -> bool:
        """Whether the choice depends on the addresses of the node's interfaces."""
        return not self.primary

    def select(self, interfaces: Iterable[InterfaceAddress], primary: Iterable[Address]) -> set[Address]:
        """The addresses that take NodePort traffic, loopback ones left out.

        An address that is only valid on its link cannot be a connection's destination from elsewhere, so it
        counts only when a network names it.
        """
        if self.primary:
            return set(primary)
        whole = {family for family in Family if self._chosen_whole(family)}
        return {
            address
            for address, link_scope in interfaces
            if not _is_loopback(address)
            and (
                not link_scope
                if (family := Family.of(address)) in whole
                else any(address in network for network in self._networks[family])
            )
        }

    def _chosen_whole(self, family: Family) -> bool:
        networks = self._networks[family]
        return not self.primary and (not networks or any(not network.prefix_length for network in networks))


def _is_loopback(address: Address) -> bool:
    return address[0] == 127 if len(address) == 4 else address == bytes(15) + b"\x01"
