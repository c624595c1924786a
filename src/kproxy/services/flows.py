"""Which flows that connection tracking remembers are stale: they lead where the rules no longer do.

A packet of a known flow never reaches the rules again, so a sender that keeps its source port keeps its
endpoint, also one that has gone, and keeps missing a Service that came after its first packet. TCP notices
and reconnects; UDP and SCTP do not. As kube-proxy (kubernetes/kubernetes#126130) does it, a flow may stay
with any endpoint that still serves, whatever traffic policies and topology say now: those choose for new
flows only.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol, TypeAlias

from kproxy.services import objects
from kproxy.services.addresses import Address, Family
from kproxy.services.claims import Frontend
from kproxy.services.model import ServiceName, ServicePort
from kproxy.services.slices import PackedSlice, merge
from kproxy.services.specification import Specification

TRACKED_PROTOCOLS: tuple[objects.Protocol, ...] = ("UDP", "SCTP")
"""The protocols whose senders do not notice by themselves."""

Backend: TypeAlias = bytes
"""An endpoint's packed address followed by its port, two bytes in network order."""


class Flow(NamedTuple):
    """What is asked of an entry of the connection tracking table."""

    address: Address
    """Where the first packet was sent."""
    port: int
    backend: Backend
    """Where answers come from: the same place, unless the flow is translated (NAT)."""
    entry: memoryview
    """The kernel's description of the entry."""


class Rule(NamedTuple):
    """Where flows to one address and port may lead."""

    served: bool
    """Whether a Service answers there now."""
    backends: frozenset[Backend]
    """If served, the only ones that flows may stay with; if not, the former ones, whose flows must go."""


class FlowCheck(NamedTuple):
    """Decides about the flows of one protocol in one IP family."""

    family: Family
    protocol: objects.Protocol
    rules: Mapping[int, Mapping[Address, Rule]]
    """By destination port, then address."""
    node_ports: Mapping[int, Rule]
    node_port_addresses: frozenset[Address]
    former: Mapping[Frontend, frozenset[Backend]]
    """Every address and port that the check is about, with who served there before."""

    @property
    def only_port(self) -> int | None:
        """The destination port of every flow that can be stale, if there is just one."""
        ports = self.rules.keys() | self.node_ports.keys()
        return next(iter(ports)) if len(ports) == 1 else None

    @property
    def only_address(self) -> Address | None:
        """The destination of every flow that can be stale, if there is just one."""
        addresses = {address for by_address in self.rules.values() for address in by_address}
        if self.node_ports:
            addresses |= self.node_port_addresses
        return addresses.pop() if len(addresses) == 1 else None

    def stale(self, flows: Iterable[Flow]) -> Iterator[Flow]:
        """Those of the flows that must be forgotten."""
        rules, node_ports, node_port_addresses = self.rules, self.node_ports, self.node_port_addresses
        for flow in flows:
            by_address = rules.get(flow.port)
            rule = by_address.get(flow.address) if by_address else None
            if rule is None:
                rule = node_ports.get(flow.port)
                if rule is None or flow.address not in node_port_addresses:
                    continue
            if (flow.backend in rule.backends) is not rule.served:
                yield flow


class ServedModel(Protocol):
    """Where `ServedFlows` asks what a Service does."""

    def specification(self, name: ServiceName) -> Specification | None:
        """The Service, None when it is not served."""

    def ports(self, name: ServiceName, family: Family) -> tuple[ServicePort, ...]:
        """Its ports in one family."""

    def slices(self, name: ServiceName) -> Collection[PackedSlice]:
        """Its endpoints in any state."""


class ServedFlows:
    """Remembers where flows of UDP and SCTP Services may lead, and collects what must be checked.

    What is remembered grows with those Services and their endpoints. Services of TCP alone cost nothing; nor do
    changes that leave every existing flow right, such as an endpoint more.
    """

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = {family: _FamilyFlows(family) for family in families}
        self._tracked: set[ServiceName] = set()

    @property
    def pending(self) -> bool:
        """Whether any flow can have become stale since the last `take`."""
        return any(flows.pending for flows in self._families.values())

    def changed(self, names: Iterable[ServiceName], model: ServedModel) -> None:
        """Learn what became of Services; the rules in the kernel may lag behind, but not when flows are checked."""
        for name in names:
            service = model.specification(name)
            tracked = service is not None and any(port.protocol in TRACKED_PROTOCOLS for port in service.ports)
            if not tracked and name not in self._tracked:
                continue
            for family, flows in self._families.items():
                ports = model.ports(name, family) if tracked else ()
                flows.replace(name, _destinations(ports, model.slices(name)))
            (self._tracked.add if tracked else self._tracked.discard)(name)

    def set_node_port_addresses(self, addresses: Iterable[Address]) -> None:
        """Set where NodePorts answer, in all families."""
        by_family: dict[Family, set[Address]] = {}
        for address in addresses:
            by_family.setdefault(Family.of(address), set()).add(address)
        for family, flows in self._families.items():
            flows.set_node_port_addresses(frozenset(by_family.get(family, ())))

    def recheck(self) -> None:
        """Have every flow checked, as nobody knows what happened to the rules meanwhile."""
        for flows in self._families.values():
            flows.recheck()

    def take(self) -> list[FlowCheck]:
        """Hand over what must be checked: one check for each family and protocol that is concerned."""
        return [check for flows in self._families.values() for check in flows.take()]

    def restore(self, checks: Iterable[FlowCheck]) -> None:
        """Take checks back that could not be made."""
        for check in checks:
            self._families[check.family].restore(check)


class _Served(NamedTuple):
    owner: ServiceName
    backends: frozenset[Backend]


class _FamilyFlows:
    """One IP family's part."""

    def __init__(self, family: Family) -> None:
        self._family = family
        self._served: dict[Frontend, _Served] = {}
        self._frontends: dict[ServiceName, Collection[Frontend]] = {}
        self._node_port_addresses: frozenset[Address] = frozenset()
        self._pending: dict[Frontend, frozenset[Backend]] = {}
        """What to check, with the backends that served there before."""

    @property
    def pending(self) -> bool:
        return bool(self._pending)

    def replace(self, name: ServiceName, destinations: Mapping[Frontend, frozenset[Backend]]) -> None:
        for frontend in self._frontends.pop(name, ()):
            old = self._served.get(frontend)
            # An address that another Service took over meanwhile is that one's affair.
            if frontend not in destinations and old is not None and old.owner == name:
                del self._served[frontend]
                self._check(frontend, old.backends)
        for frontend, backends in destinations.items():
            old = self._served.get(frontend)
            self._served[frontend] = _Served(name, backends)
            if old is None:
                self._check(frontend)
            elif old.backends - backends or (backends and not old.backends):
                self._check(frontend, old.backends)
        if destinations:
            self._frontends[name] = tuple(destinations)

    def set_node_port_addresses(self, addresses: frozenset[Address]) -> None:
        appeared = addresses - self._node_port_addresses
        self._node_port_addresses = addresses
        if appeared:
            for frontend in self._served:
                if not frontend.address:
                    self._check(frontend)

    def recheck(self) -> None:
        for frontend in self._served:
            self._check(frontend)

    def take(self) -> Iterator[FlowCheck]:
        pending, self._pending = self._pending, {}
        for protocol in TRACKED_PROTOCOLS:
            former = {frontend: backends for frontend, backends in pending.items() if frontend.protocol == protocol}
            rules: dict[int, dict[Address, Rule]] = {}
            node_ports: dict[int, Rule] = {}
            for frontend, backends in former.items():
                served = self._served.get(frontend)
                rule = Rule(True, served.backends) if served else Rule(False, backends)
                if frontend.address:
                    rules.setdefault(frontend.port, {})[frontend.address] = rule
                else:
                    node_ports[frontend.port] = rule
            if former:
                yield FlowCheck(self._family, protocol, rules, node_ports, self._node_port_addresses, former)

    def restore(self, check: FlowCheck) -> None:
        for frontend, backends in check.former.items():
            self._check(frontend, backends)

    def _check(self, frontend: Frontend, former: frozenset[Backend] = frozenset()) -> None:
        self._pending[frontend] = self._pending.get(frontend, frozenset()) | former


def _destinations(ports: Iterable[ServicePort], slices: Collection[PackedSlice]) -> dict[Frontend, frozenset[Backend]]:
    """Each address and port of a Service, and whom flows to it may stay with."""
    found: dict[Frontend, frozenset[Backend]] = {}
    for port in ports:
        if port.protocol not in TRACKED_PROTOCOLS:
            continue
        candidates, numbers = merge(slices, port.family, port.port_name, port.protocol)
        backends = frozenset(
            candidate.address + number.to_bytes(2, "big")
            for candidate, number in zip(candidates, numbers, strict=True)
            if candidate.ready or candidate.draining
        )
        for address in (port.cluster_ip, *port.external_addresses()):
            found[Frontend(address, port.protocol, port.port)] = backends
        if port.node_port:
            found[Frontend(b"", port.protocol, port.node_port)] = backends
    return found
