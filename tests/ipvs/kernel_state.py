"""What a test compares: everything of the mode in the kernel, read back."""

from collections.abc import Iterable
from typing import NamedTuple

from kproxy.backends.ipvs import readback
from kproxy.backends.ipvs.backend import IpvsBackend
from kproxy.backends.ipvs.options import IpvsOptions
from kproxy.backends.ipvs.readback import Sockets
from kproxy.backends.ipvs.sets import SetName
from kproxy.kernel.ipset.elements import Element
from kproxy.kernel.ipset.socket import SetSocket
from kproxy.kernel.ipvs.protocol import Backend, ServerKey, ServerSettings
from kproxy.kernel.ipvs.socket import IpvsSocket
from kproxy.kernel.links import LinkSocket
from kproxy.services.addresses import Address, Family, parse_address
from kproxy.services.local_traffic import by_network
from kproxy.services.objects import KubeObject
from kproxy.services.tracker import ServiceTracker

POD_NETWORKS = by_network(["10.244.0.0/16", "fd00:10:244::/48"])
FAMILIES = tuple(Family)


class Contents(NamedTuple):
    servers: dict[ServerKey, tuple[ServerSettings, dict[Backend, int]]]
    addresses: set[Address]
    elements: dict[tuple[Family, SetName], set[Element]]


def backend(**options: object) -> IpvsBackend:
    made = IpvsBackend(FAMILIES, IpvsOptions(**options))  # type: ignore[arg-type]
    made.set_local_traffic(POD_NETWORKS)
    return made


def tracker_of(objects: Iterable[KubeObject], node: str = "here") -> ServiceTracker:
    tracker = ServiceTracker(node)
    for obj in objects:
        tracker.upsert(obj)
    return tracker


def contents(*, draining: bool = False) -> Contents:
    """Both families' objects, without the real servers that drain, unless they are asked for."""
    sockets = Sockets(IpvsSocket(), SetSocket(), LinkSocket())
    found = Contents({}, set(), {})
    for family in FAMILIES:
        state = readback.read(sockets, family)
        for key, server in state.servers.items():
            weights = {b: w for b, w in server.weights.items() if w or draining}
            found.servers[key] = (server.settings, weights)
        found.addresses.update(state.addresses)
        for name in SetName:
            found.elements[family, name] = state.elements(name)
    sockets.close()
    return found


def ip(text: str) -> Address:
    address = parse_address(text)
    assert address is not None, text
    return address


def tcp(address: str, port: int) -> ServerKey:
    return ServerKey(6, ip(address), port)


def at(address: str, port: int) -> Backend:
    return ip(address) + port.to_bytes(2, "big")
