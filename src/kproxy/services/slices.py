"""EndpointSlices, checked and packed, and their merging into the endpoints of a Service port."""

import sys
from collections.abc import Iterable, Sequence
from operator import attrgetter

import msgspec

from kproxy.services.addresses import Address, Family, parse_address
from kproxy.services.balancing import parse_weights
from kproxy.services.model import ServiceName
from kproxy.services.objects import (
    LAST_CHANGE_ANNOTATION,
    SERVICE_NAME_LABEL,
    WEIGHTS_ANNOTATION,
    EndpointSlice,
    Protocol,
)
from kproxy.services.objects import Endpoint as ApiEndpoint
from kproxy.services.specification import ObjectReference, Problem
from kproxy.services.topology import Candidate

_FAMILIES = {family.value: family for family in Family}
_address_of = attrgetter("address")


class SlicePort(msgspec.Struct, frozen=True, gc=False):
    name: str
    protocol: Protocol
    port: int


class PackedSlice(msgspec.Struct, frozen=True, gc=False):
    """An EndpointSlice of one IP family, as kept in memory."""

    service: ServiceName
    family: Family
    ports: tuple[SlicePort, ...]
    candidates: tuple[Candidate, ...]
    triggered: str
    """When the change that wrote this slice happened (RFC 3339), or empty; not part of what the slice means."""

    def same_endpoints(self, other: "PackedSlice") -> bool:
        return (self.service, self.ports, self.candidates) == (other.service, other.ports, other.candidates)


def pack(slice_: EndpointSlice, node: str) -> tuple[PackedSlice | None, list[Problem]]:
    """Check a slice, as seen from a node. None when it belongs to no Service or holds host names (FQDN)."""
    family = _FAMILIES.get(slice_.address_type)
    meta = slice_.metadata
    service = (meta.labels or {}).get(SERVICE_NAME_LABEL)
    if family is None or not service:
        return None, []
    problems: list[Problem] = []
    subject = ObjectReference("EndpointSlice", meta.namespace, meta.name, meta.uid)
    ports = []
    for i, port in enumerate(slice_.ports or ()):
        if port.name is None or port.port is None or not 0 < port.port < 65536:
            problems.append(Problem(subject, f"ports[{i}]", "has no name, or no port between 1 and 65535"))
        else:
            ports.append(SlicePort(port.name, port.protocol or "TCP", port.port))
    annotations = meta.annotations
    weights: dict[str, int] = {}
    if annotations and WEIGHTS_ANNOTATION in annotations:
        try:
            weights = parse_weights(annotations[WEIGHTS_ANNOTATION])
        except ValueError as error:
            problems.append(Problem(subject, f"metadata.annotations[{WEIGHTS_ANNOTATION}]", str(error)))
    candidates = []
    length, unspecified = family.length, bytes(family.length)
    for i, endpoint in enumerate(slice_.endpoints or ()):
        # The API says that all addresses of an endpoint are interchangeable; consumers use the first.
        address = parse_address(endpoint.addresses[0]) if endpoint.addresses else None
        if address is None or len(address) != length or address == unspecified:
            text = ", ".join(endpoint.addresses) or "nothing"
            problems.append(Problem(subject, f"endpoints[{i}].addresses", f"{text} is not an {family.value} address"))
        else:
            weight = weights.get(endpoint.addresses[0], 1) if weights else 1
            candidates.append(_candidate(endpoint, address, node, weight))
    triggered = annotations.get(LAST_CHANGE_ANNOTATION, "") if annotations else ""
    packed = PackedSlice(ServiceName(meta.namespace, service), family, tuple(ports), tuple(candidates), triggered)
    return packed, problems


def _candidate(endpoint: ApiEndpoint, address: Address, node: str, weight: int) -> Candidate:
    conditions, hints = endpoint.conditions, endpoint.hints
    ready, draining = True, False
    if conditions is not None:
        ready = conditions.ready is not False
        draining = conditions.serving is not False and conditions.terminating is True
    zones = nodes = None
    if hints is not None:
        zones = frozenset(zone.name for zone in hints.for_zones) if hints.for_zones else None
        nodes = frozenset(hinted.name for hinted in hints.for_nodes) if hints.for_nodes else None
    local = bool(node) and endpoint.node_name == node
    return Candidate(address, ready, draining, local, zones, nodes, sys.intern(endpoint.zone or ""), weight)


def merge(
    slices: Iterable[PackedSlice], family: Family, port_name: str, protocol: Protocol
) -> tuple[Sequence[Candidate], list[int]]:
    """All endpoints of a Service port, and each one's port number.

    The same endpoint in several slices (it moves between them during an update) counts once; a local
    duplicate wins.
    """
    matching = [
        (slice_.candidates, port.port)
        for slice_ in slices
        if slice_.family is family
        for port in slice_.ports
        if port.name == port_name and port.protocol == protocol
    ]
    if len(matching) == 1:
        [(candidates, number)] = matching
        if len(set(map(_address_of, candidates))) == len(candidates):
            return candidates, [number] * len(candidates)
    found: dict[tuple[Address, int], Candidate] = {}
    for candidates, number in matching:
        for candidate in candidates:
            key = (candidate.address, number)
            if key not in found or candidate.local:
                found[key] = candidate
    return list(found.values()), [port for _, port in found]
