"""The model with the proxy in the endpoints' place: what the rules of another mode make of it redirects to us.

Rejections, drops, traffic policies and source ranges stay with the rules, which see packets before we do.
"""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from kproxy.services.addresses import Address, Family
from kproxy.services.balancing import Algorithm
from kproxy.services.model import Endpoint, ServiceName, ServicePort


class Listening(NamedTuple):
    """Local ports on which a Service port's connections are awaited; 0: none is."""

    cluster: int
    local: int


class RedirectedModel:
    """Implements `kproxy.backends.interface.Model`."""

    def __init__(self) -> None:
        self._ports: dict[ServiceName, dict[Family, tuple[ServicePort, ...]]] = {}

    def names(self) -> Iterable[ServiceName]:
        return self._ports.keys()

    def ports(self, name: ServiceName, family: Family) -> tuple[ServicePort, ...]:
        return self._ports.get(name, {}).get(family, ())

    def replace(self, name: ServiceName, ports: dict[Family, tuple[ServicePort, ...]]) -> bool:
        """Set a Service's redirected ports; returns whether they differ from what they were."""
        present = {family: of_family for family, of_family in ports.items() if of_family}
        if self._ports.get(name, {}) == present:
            return False
        if present:
            self._ports[name] = present
        else:
            del self._ports[name]
        return True


def redirected(port: ServicePort, to: Address, listening: Listening) -> ServicePort:
    """A Service port whose only endpoint is the proxy.

    Where nothing listens although there are endpoints (no free port, or a protocol that is not forwarded), it is
    rejected: clients fail fast.
    """
    cluster = _proxy(to, listening.cluster) if port.cluster_endpoints else ()
    local = _proxy(to, listening.local) if port.local_endpoints else ()
    unserved = (port.cluster_endpoints and not cluster) or (port.local_endpoints and not local)
    return msgspec.structs.replace(
        port,
        cluster_endpoints=() if unserved else cluster,
        local_endpoints=() if unserved else local,
        has_endpoints=port.has_endpoints and not unserved,
        affinity_seconds=0,
        algorithm=Algorithm.RANDOM,
    )


def _proxy(address: Address, port: int) -> tuple[Endpoint, ...]:
    return (Endpoint(address, port, local=False),) if port else ()
