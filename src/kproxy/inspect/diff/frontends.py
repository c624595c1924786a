"""Rules of another program's making, compared by what they do: each address and port is tried from every side."""

from collections.abc import Iterator

from kproxy.inspect.desired import DesiredState
from kproxy.inspect.diff.report import Difference
from kproxy.inspect.rulesets.packet import format_endpoint
from kproxy.inspect.rulesets.routes import Routes
from kproxy.inspect.rulesets.snapshot import Snapshot
from kproxy.inspect.trace.actual_view import Evaluator
from kproxy.inspect.trace.comparison import disagreements
from kproxy.inspect.trace.desired_view import Explainer
from kproxy.inspect.trace.tracing import packet_between
from kproxy.services.addresses import Address, Family
from kproxy.services.local_traffic import LocalTraffic
from kproxy.services.model import ServicePort

_OUTSIDE = {Family.IPV4: bytes((192, 0, 2, 1)), Family.IPV6: bytes.fromhex("20010db8000000000000000000000001")}
"""A client that is none of the cluster's (RFC 5737, RFC 3849)."""


class Comparison:
    """Compares one family."""

    def __init__(self, desired: DesiredState, mode: str, family: Family, snapshot: Snapshot, routes: Routes) -> None:
        self._desired, self._family, self._routes = desired, family, routes
        self._explainer = Explainer(desired, mode, routes)
        self._evaluator = Evaluator(snapshot, routes)
        self._sources: dict[str, Address | None] = {"node": None, "outside": _OUTSIDE[family]}
        local = desired.local_traffic.get(family, LocalTraffic())
        if local.network is not None:
            # Not the network's own address, and hardly any pod's either.
            last = (1 << (family.length * 8 - local.network.prefix_length)) - 2
            number = int.from_bytes(local.network.address, "big") | max(last, 1)
            self._sources["a pod"] = number.to_bytes(family.length, "big")
        self.compared = 0
        """Frontends tried so far."""
        self.low_confidence = 0

    def differences(self) -> Iterator[Difference]:
        """Every frontend that does not do what it should."""
        for name in self._desired.tracker.names():
            for port in self._desired.tracker.ports(name, self._family):
                for frontend in self._frontends(port):
                    self.compared += 1
                    yield from self._try(port, *frontend)

    def _frontends(self, port: ServicePort) -> Iterator[tuple[Address, int]]:
        yield port.cluster_ip, port.port
        for address in port.external_addresses():
            yield address, port.port
        if port.node_port:
            for address in self._desired.node_port_addresses:
                if len(address) == self._family.length:
                    yield address, port.node_port

    def _try(self, port: ServicePort, address: Address, number: int) -> Iterator[Difference]:
        met: dict[str, list[str]] = {}
        for who, source in self._sources.items():
            packet = packet_between(source, address, number, port.protocol, self._routes)
            wanted = self._explainer.view(packet)
            found = self._evaluator.view(packet)
            self.low_confidence += found.confidence == "low"
            for words in disagreements(wanted, found):
                met.setdefault(words, []).append(who)
        for words, clients in met.items():
            yield Difference(
                kind="different",
                place="frontend",
                object=f"{format_endpoint(address, number)}/{port.protocol} from {', '.join(clients)}: {words}",
                service=str(port.service),
            )
