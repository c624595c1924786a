"""The tracker: takes objects one at a time, remembers what is needed, and tells which Services changed.

Any number of events between two syncs coalesce into one changed Service. No method loops over the cluster,
except when this node moves to another zone.
"""

from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

import msgspec

from kproxy.services.addresses import Family
from kproxy.services.balancing import Algorithm
from kproxy.services.claims import Claims, Frontend
from kproxy.services.model import ServiceName, ServicePort
from kproxy.services.objects import ZONE_LABEL, EndpointSlice, KubeObject, Node, Service
from kproxy.services.resolution import resolve
from kproxy.services.slices import PackedSlice, pack
from kproxy.services.specification import ObjectReference, Problem, Specification, specify
from kproxy.services.topology import Placement

MOST_TRIGGERED = 100_000
"""How many times of changes are kept for a sync, which may be long in coming."""


class Changes(NamedTuple):
    """What happened since the last sync."""

    services: set[ServiceName]
    triggered: list[str]
    """When the endpoint changes among them happened (RFC 3339), as far as their slices say."""
    service_changes: int
    endpoint_changes: int


class ServiceTracker:
    """Services and EndpointSlices as seen from one node. Implements `kproxy.sources.sink.Sink`."""

    def __init__(
        self,
        node: str,
        *,
        on_change: Callable[[], None] = lambda: None,
        on_problem: Callable[[Problem], None] = lambda problem: None,
        on_node: Callable[[Node | None], None] = lambda node: None,
    ) -> None:
        """Track for the node of that name.

        Args:
            node: the name that `EndpointSlice.endpoints[].nodeName` has for local endpoints
            on_change: called after each event that changed something
            on_problem: called with each part of an object that is refused
            on_node: called with each new version of the node's own object, None when it is deleted
        """
        self.placement = Placement(node, "")
        self.synced_kinds: set[type[KubeObject]] = set()
        self._on_change, self._on_problem, self._on_node = on_change, on_problem, on_node
        self._services: dict[ServiceName, Specification] = {}
        self._slices: dict[ServiceName, dict[str, PackedSlice]] = {}
        self._service_of_slice: dict[tuple[str, str], ServiceName] = {}
        self._claims = Claims()
        self._changed: set[ServiceName] = set()
        self._triggered: list[str] = []
        self._service_changes = self._endpoint_changes = 0

    # ------------------------------------------------------------------ the sink

    def upsert(self, obj: KubeObject) -> None:
        if isinstance(obj, Service):
            specification, problems = specify(obj)
            for problem in problems:
                self._on_problem(problem)
            self._put_service(ServiceName(obj.metadata.namespace, obj.metadata.name), specification)
        elif isinstance(obj, EndpointSlice):
            packed, problems = pack(obj, self.placement.node)
            for problem in problems:
                self._on_problem(problem)
            self._put_slice((obj.metadata.namespace, obj.metadata.name), packed)
        elif obj.metadata.name == self.placement.node:
            self._move_to((obj.metadata.labels or {}).get(ZONE_LABEL, ""))
            self._on_node(obj)

    def delete(self, kind: type[KubeObject], namespace: str, name: str) -> None:
        if kind is Service:
            self._put_service(ServiceName(namespace, name), None)
        elif kind is EndpointSlice:
            self._put_slice((namespace, name), None)
        elif name == self.placement.node:
            self._on_node(None)

    def synced(self, kind: type[KubeObject]) -> None:
        self.synced_kinds.add(kind)
        self._on_change()

    # ------------------------------------------------------------------ what a sync reads

    @property
    def pending(self) -> tuple[int, int]:
        """Changed Services and changes of endpoints that no sync has taken yet."""
        return self._service_changes, self._endpoint_changes

    def take(self) -> Changes:
        """Hand over what changed, and start anew."""
        changes = Changes(self._changed, self._triggered, self._service_changes, self._endpoint_changes)
        self._changed, self._triggered = set(), []
        self._service_changes = self._endpoint_changes = 0
        return changes

    def names(self) -> Iterator[ServiceName]:
        """Every Service that is served."""
        return iter(self._services)

    def specification(self, name: ServiceName) -> Specification | None:
        return self._services.get(name)

    def slices(self, name: ServiceName) -> Collection[PackedSlice]:
        """The endpoints of a Service in any state."""
        return self._slices.get(name, {}).values()

    def ports(self, name: ServiceName, family: Family) -> tuple[ServicePort, ...]:
        """The model of a Service in one family; empty when there is none."""
        service = self._services.get(name)
        if service is None:
            return ()
        ports = resolve(service, self.slices(name), family, self.placement)
        denied = self._claims.denied(name)
        return tuple(_without(ports, denied)) if denied else ports

    # ------------------------------------------------------------------ changes

    def _put_service(self, name: ServiceName, new: Specification | None) -> None:
        old = self._services.get(name)
        if old == new:
            return
        if new is None:
            del self._services[name]
        else:
            self._services[name] = new
        for other in self._claims.replace(old, new):
            self._changed.add(other)
        for frontend in self._claims.denied(name):
            owner = self._claims.owner(frontend)
            subject = ObjectReference("Service", *name)
            self._on_problem(Problem(subject, str(frontend), f"belongs to the older Service {owner}"))
        self._service_changes += 1
        self._mark(name)

    def _put_slice(self, key: tuple[str, str], new: PackedSlice | None) -> None:
        previous_service = self._service_of_slice.get(key)
        if previous_service is not None and (new is None or new.service != previous_service):
            siblings = self._slices[previous_service]
            del siblings[key[1]]
            if not siblings:
                del self._slices[previous_service]
            del self._service_of_slice[key]
            self._endpoint_changes += 1
            self._mark(previous_service)
        if new is None:
            return
        siblings = self._slices.setdefault(new.service, {})
        old = siblings.get(key[1])
        siblings[key[1]] = new
        self._service_of_slice[key] = new.service
        if old is None or not old.same_endpoints(new):
            self._endpoint_changes += 1
            if new.triggered and len(self._triggered) < MOST_TRIGGERED:
                self._triggered.append(new.triggered)
            self._mark(new.service)

    def _mark(self, name: ServiceName) -> None:
        self._changed.add(name)
        self._on_change()

    def _move_to(self, zone: str) -> None:
        if zone == self.placement.zone:
            return
        self.placement = self.placement._replace(zone=zone)
        concerned = {
            name
            for name, slices in self._slices.items()
            if any(c.zone_hints for slice_ in slices.values() for c in slice_.candidates)
        }
        concerned.update(name for name, s in self._services.items() if s.algorithm is Algorithm.WEIGHTED)
        if concerned:
            self._changed |= concerned
            self._on_change()


def _without(ports: tuple[ServicePort, ...], denied: set[Frontend]) -> Iterator[ServicePort]:
    for port in ports:

        def owned(address: bytes, port: ServicePort = port) -> bool:
            return Frontend(address, port.protocol, port.port) not in denied

        if owned(port.cluster_ip):
            yield msgspec.structs.replace(
                port,
                external_ips=tuple(filter(owned, port.external_ips)),
                load_balancer_ips=tuple(filter(owned, port.load_balancer_ips)),
                node_port=0 if Frontend(b"", port.protocol, port.node_port) in denied else port.node_port,
            )
