"""Any sequence of changes, with senders that keep their ports: no flow leads astray, and none ends without need."""

from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from kproxy.services.addresses import Family
from kproxy.services.flows import Flow, ServedFlows
from kproxy.services.objects import EndpointSlice, Service

from .entries import backend, packed
from .served import DNS_PORT, Served, dns, pods

NAMES = ("one", "two", "three")
ADDRESSES = ("10.96.0.1", "10.96.0.2", "10.96.0.3", "203.0.113.1")
PODS = ("10.244.1.1", "10.244.1.2", "10.244.1.3")
NODE_ADDRESS = "192.168.77.2"
NODE_PORTS = (30053, 30054)
DESTINATIONS = [(a, 53) for a in ADDRESSES] + [(NODE_ADDRESS, p) for p in NODE_PORTS]


class Change(NamedTuple):
    name: str
    cluster_ip: str
    external: bool
    node_port: int
    pods: frozenset[str] | None
    exists: bool
    commit: bool


changes = st.builds(
    Change,
    st.sampled_from(NAMES),
    st.sampled_from(ADDRESSES[:3]),
    st.booleans(),
    st.sampled_from((0, *NODE_PORTS)),
    st.none() | st.frozensets(st.sampled_from(PODS)),
    st.booleans(),
    st.booleans(),
)


def serving(served: Served) -> dict[tuple[str, int], set[bytes]]:
    """Where each destination leads by what the tracker says, worked out anew."""
    found: dict[tuple[str, int], set[bytes]] = {}
    for name in served.names():
        for port in served.ports(name, Family.IPV4):
            backends = {e.address + e.port.to_bytes(2, "big") for e in port.cluster_endpoints}
            for address in ADDRESSES:
                if packed(address) in (port.cluster_ip, *port.external_ips):
                    found[address, 53] = backends
            if port.node_port:
                found[NODE_ADDRESS, port.node_port] = backends
    return found


@settings(max_examples=150, deadline=None)
@given(st.lists(changes, max_size=12))
def test_flows_follow_the_services(sequence: list[Change]) -> None:
    served, flows = Served(), ServedFlows([Family.IPV4])
    flows.set_node_port_addresses([packed(NODE_ADDRESS)])
    kernel: set[Flow] = set()
    in_force: dict[tuple[str, int], set[bytes]] = {}

    for change in sequence:
        # Senders of all destinations have packets under way; the kernel sends new flows to any endpoint.
        for address, port in DESTINATIONS:
            own = backend(address, port)
            kernel.update(Flow(packed(address), port, b, memoryview(b"")) for b in in_force.get((address, port), {own}))

        if change.exists:
            ports = [{**DNS_PORT, "nodePort": change.node_port}]
            external = {"externalIPs": ["203.0.113.1"]} if change.external else {}
            served.upsert(dns(change.name, type="NodePort", clusterIP=change.cluster_ip, ports=ports, **external))
        else:
            served.remove(Service, change.name)
        if change.pods is None:
            served.remove(EndpointSlice, f"{change.name}-1")
        else:
            served.upsert(pods(*change.pods, service=change.name))
        flows.changed(served.changes(), served)
        if not change.commit:
            continue

        in_force = serving(served)
        right = {
            flow
            for flow in kernel
            for destination in DESTINATIONS
            if (packed(destination[0]), destination[1]) == flow[:2]
            and flow.backend in in_force.get(destination, {backend(*destination)})
        }
        for check in flows.take():
            kernel -= set(check.stale(kernel))
        assert kernel == right
