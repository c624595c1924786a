"""From a Service and its slices to the model: which endpoints each of its ports has on this node."""

from collections.abc import Collection, Sequence

from kproxy.services.addresses import Family
from kproxy.services.balancing import Algorithm, TopologyWeights
from kproxy.services.model import Endpoint, Policy, ServicePort
from kproxy.services.slices import PackedSlice, merge
from kproxy.services.specification import FamilyAddresses, PortSpecification, Specification
from kproxy.services.topology import Candidate, Placement, select


def resolve(
    service: Specification, slices: Collection[PackedSlice], family: Family, placement: Placement
) -> tuple[ServicePort, ...]:
    """Compute the ports of a Service in one family; none when it has no address there."""
    addresses = service.addresses(family)
    if addresses is None:
        return ()
    return tuple([_resolve_port(service, addresses, port, slices, family, placement) for port in service.ports])


def _resolve_port(
    service: Specification,
    addresses: FamilyAddresses,
    port: PortSpecification,
    slices: Collection[PackedSlice],
    family: Family,
    placement: Placement,
) -> ServicePort:
    external = bool(port.node_port or addresses.external_ips or addresses.load_balancer_ips)
    internal_local = service.internal_policy is Policy.LOCAL
    candidates, numbers = merge(slices, family, port.name, port.protocol)
    selection = select(
        candidates,
        placement,
        # External addresses always need the Cluster endpoints: pods and the node itself take the short way.
        cluster=external or not internal_local,
        local=internal_local or (external and service.external_policy is Policy.LOCAL),
    )
    if service.algorithm is Algorithm.WEIGHTED:
        endpoints = _weighted(candidates, numbers, service.topology_weights, placement)
    else:
        endpoints = [Endpoint(c.address, number, c.local) for c, number in zip(candidates, numbers, strict=True)]
    return ServicePort(
        service=service.name,
        port_name=port.name,
        family=family,
        protocol=port.protocol,
        port=port.port,
        cluster_ip=addresses.cluster_ip,
        external_ips=addresses.external_ips,
        load_balancer_ips=addresses.load_balancer_ips,
        node_port=port.node_port,
        health_check_node_port=service.health_check_node_port,
        internal_policy=service.internal_policy,
        external_policy=service.external_policy,
        affinity_seconds=service.affinity_seconds,
        algorithm=service.algorithm,
        source_ranges=addresses.source_ranges,
        cluster_endpoints=_at(selection.cluster, endpoints),
        local_endpoints=_at(selection.local, endpoints),
        has_endpoints=selection.has_endpoints,
    )


def _at(positions: Sequence[int], endpoints: Sequence[Endpoint]) -> tuple[Endpoint, ...]:
    if len(positions) == len(endpoints):  # all of them, mostly
        return tuple(endpoints)
    return tuple([endpoints[i] for i in positions])


def _weighted(
    candidates: Sequence[Candidate], numbers: Sequence[int], weights: TopologyWeights, placement: Placement
) -> list[Endpoint]:
    endpoints = []
    for candidate, number in zip(candidates, numbers, strict=True):
        factor = 1
        if candidate.local:
            factor = weights.node
        elif placement.zone and candidate.zone == placement.zone:
            factor = weights.zone
        endpoints.append(Endpoint(candidate.address, number, candidate.local, candidate.weight * factor))
    return endpoints
