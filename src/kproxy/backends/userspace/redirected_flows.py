"""Where tracked flows may lead when the proxy stands in the endpoints' place.

Connection tracking knows redirected UDP flows as flows to the proxy's own sockets. To whoever looks for stale ones,
these are the Services' endpoints; which endpoint a client of the proxy has is the workers' affair.
"""

from collections.abc import Collection
from typing import NamedTuple

from kproxy.backends.interface import Model
from kproxy.services.addresses import Family
from kproxy.services.flows import ServedModel
from kproxy.services.model import Endpoint, ServiceName, ServicePort
from kproxy.services.slices import PackedSlice, SlicePort
from kproxy.services.specification import Specification
from kproxy.services.topology import Candidate


class RedirectedFlows(NamedTuple):
    """Implements `kproxy.services.flows.ServedModel`."""

    services: ServedModel
    """As the API has them."""
    redirected: Model
    """The same with the proxy as their only endpoint."""

    def specification(self, name: ServiceName) -> Specification | None:
        return self.services.specification(name)

    def ports(self, name: ServiceName, family: Family) -> tuple[ServicePort, ...]:
        return self.redirected.ports(name, family)

    def slices(self, name: ServiceName) -> Collection[PackedSlice]:
        return [
            _slice(port, endpoint)
            for family in Family
            for port in self.redirected.ports(name, family)
            for endpoint in dict.fromkeys((*port.cluster_endpoints, *port.local_endpoints))
        ]


def _slice(port: ServicePort, endpoint: Endpoint) -> PackedSlice:
    candidate = Candidate(endpoint.address, True, False, True, None, None)
    ports = (SlicePort(port.port_name, port.protocol, endpoint.port),)
    return PackedSlice(port.service, port.family, ports, (candidate,), "")
