"""How packets from this node's own pods are told from all others (`detectLocalMode`, KEP-2450)."""

from collections.abc import Sequence

import msgspec

from kproxy.services.addresses import Family, Network, parse_network


class LocalTraffic(msgspec.Struct, frozen=True):
    """By their source network, by the bridge, or by the start of the interface's name; nothing set: no way to tell."""

    network: Network | None = None
    interface: str = ""
    interface_prefix: str = ""


def by_network(cidrs: Sequence[str]) -> dict[Family, LocalTraffic]:
    """The first network of each family."""
    found: dict[Family, LocalTraffic] = {}
    for text in cidrs:
        network = parse_network(text)
        if network is not None:
            found.setdefault(Family.of(network.address), LocalTraffic(network))
    return found
