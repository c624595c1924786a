"""What should happen to a packet, derived from the Services alone; nothing of the kernel is looked at."""

from typing import NamedTuple

from kproxy.config.defaults import mode_settings
from kproxy.inspect.desired import DesiredState
from kproxy.inspect.rulesets.packet import Packet, format_endpoint
from kproxy.inspect.rulesets.routes import Routes
from kproxy.inspect.trace.endpoints import endpoint_names, missing_endpoints, topology_steps
from kproxy.inspect.trace.frontends import FrontendKind, Frontends, Match
from kproxy.inspect.trace.report import SEES_ITSELF, Because, TraceOutcome, TraceStep, View
from kproxy.inspect.trace.unmatched import unmatched
from kproxy.services.addresses import Address, format_address
from kproxy.services.balancing import Algorithm
from kproxy.services.local_traffic import LocalTraffic
from kproxy.services.model import Endpoint, Policy, ServicePort
from kproxy.services.objects import BALANCING_ANNOTATION

_CONFIGURATION = "KubeProxyConfiguration"


class _Choice(NamedTuple):
    """Which endpoints a packet may reach, and whether it is masqueraded."""

    endpoints: tuple[Endpoint, ...]
    masquerade: TraceStep | None


class Explainer:
    """Explains any number of packets."""

    def __init__(self, desired: DesiredState, mode: str, routes: Routes, *, redirected_by: str = "nftables") -> None:
        """Prepare.

        Args:
            desired: the objects and the configuration
            mode: the proxy mode, as some things differ from mode to mode
            routes: for the source address of masqueraded packets
            redirected_by: in userspace mode, the mode whose rules lead to the proxy
        """
        self._desired, self._routes = desired, routes
        self._proxied = mode == "userspace"
        self._mode = redirected_by if self._proxied else mode
        self._frontends = Frontends(desired, mode)

    def view(self, packet: Packet) -> View:
        """What should happen to a packet, given with the interface that it comes in by."""
        match = self._frontends.find(packet.destination, packet.port, packet.protocol)
        if match is None:
            return unmatched(packet, self._desired, self._mode, self._routes, self._frontends)
        return _Explanation(packet, self._desired, self._mode, self._routes, match, proxied=self._proxied).view()


class _Explanation:
    def __init__(
        self, packet: Packet, desired: DesiredState, mode: str, routes: Routes, match: Match, *, proxied: bool
    ) -> None:
        self.packet, self.desired, self.mode, self.routes = packet, desired, mode, routes
        self.proxied = proxied
        """A process of this node takes the connection, and makes another one to an endpoint."""
        self.port: ServicePort = match.port
        self.kind = match.kind
        self.subject = f"Service {match.port.service}"
        words = f"{format_endpoint(packet.destination, packet.port)}/{packet.protocol} is a {match.kind.value} of"
        self.steps = [TraceStep(f"{words} Service {match.port}", match.because(packet.destination))]
        self.local = desired.local_traffic.get(packet.family, LocalTraffic())
        self.names: dict[str, str] = {}

    # ------------------------------------------------------------------ the packet

    @property
    def from_node(self) -> bool:
        return self.packet.input_interface == "" or self.routes.is_local(self.packet.source)

    @property
    def from_pod(self) -> bool:
        """As the proxy tells pods from others (`detectLocalMode`)."""
        local, interface = self.local, self.packet.input_interface
        if local.network is not None:
            return self.packet.source in local.network
        if local.interface:
            return interface == local.interface
        return bool(local.interface_prefix) and (interface or "").startswith(local.interface_prefix)

    @property
    def tells_pods(self) -> bool:
        return self.local != LocalTraffic()

    # ------------------------------------------------------------------ the answer

    def view(self) -> View:
        if fenced := self._fenced():
            return self._done((fenced,))
        if self.proxied and self.packet.protocol == "SCTP":
            return self._done((self._not_forwarded(),))
        choice = self._internal() if self.kind is FrontendKind.CLUSTER_IP else self._external()
        if not choice.endpoints:
            return self._done((self._without_endpoints(),))
        self.steps += topology_steps(self.desired, self.port, choice.endpoints)
        self._balancing()
        if self.proxied:
            because = self._setting("mode", "userspace")
            words = "the proxy takes the connection, and makes one of its own to the endpoint, which sees this node"
            self.steps.append(TraceStep(words, because))
        elif choice.masquerade:
            self.steps.append(choice.masquerade)
        return self._done(self._outcomes(choice))

    def _done(self, outcomes: tuple[TraceOutcome, ...]) -> View:
        return View(
            name="desired",
            origin=self.desired.origin,
            steps=tuple(self.steps),
            outcomes=outcomes,
            by_history=self.port.affinity_seconds > 0 and len(outcomes) > 1,
        )

    def _fenced(self) -> TraceOutcome | None:
        if self.kind is not FrontendKind.LOAD_BALANCER or not self.port.source_ranges:
            return None
        if self.mode == "iptables" and not self.port.has_endpoints:
            return None  # it makes no firewall chain for a Service without endpoints
        if self.mode == "ipvs" and self.packet.input_interface == "":
            self.steps.append(TraceStep("IPVS mode does not hold this node's own packets to the source ranges"))
            return None
        ranges = self.port.source_ranges
        because = Because(self.subject, "spec.loadBalancerSourceRanges", ", ".join(map(str, ranges)))
        source = self.packet.source
        # A node that has the address itself sends with it; where the ranges admit the node, they admit this too.
        as_itself = source in self.port.load_balancer_ips and any(
            address in network for address in self.desired.primary_addresses for network in ranges
        )
        if as_itself or any(source in network for network in ranges):
            self.steps.append(TraceStep(f"{format_address(source)} is in the source ranges", because))
            return None
        self.steps.append(TraceStep(f"{format_address(source)} is in none of the source ranges: dropped", because))
        return TraceOutcome(fate="dropped", probability=1.0, because=because)

    def _not_forwarded(self) -> TraceOutcome:
        because = self._setting("mode", "userspace")
        self.steps.append(TraceStep("rejected, as userspace mode forwards TCP and UDP only", because))
        return TraceOutcome(fate="rejected", probability=1.0, because=because)

    def _internal(self) -> _Choice:
        policy = self.port.internal_policy
        self._policy("spec.internalTrafficPolicy", policy)
        return _Choice(self.port.internal_endpoints, self._cluster_ip_masquerade())

    def _cluster_ip_masquerade(self) -> TraceStep | None:
        configuration = self.desired.settings.configuration
        settings = mode_settings(configuration)
        if settings.masquerade_all:
            return TraceStep("masqueraded, as all traffic to cluster IPs is", self._setting("masqueradeAll", "true"))
        if not self.tells_pods:
            if self.mode == "ipvs" and self.packet.source == self.packet.destination:
                return TraceStep("masqueraded, as it comes from this node with the cluster IP as its source")
            return None
        if self.from_pod:
            return None
        because = self._setting("detectLocalMode", configuration.detect_local_mode)
        return TraceStep("masqueraded, as it does not come from a pod of this cluster", because)

    def _external(self) -> _Choice:
        policy = self.port.external_policy
        if policy is Policy.CLUSTER:
            self._policy("spec.externalTrafficPolicy", policy)
            because = Because(self.subject, "spec.externalTrafficPolicy", policy.value)
            return _Choice(
                self.port.cluster_endpoints, TraceStep("masqueraded, so that answers come back here", because)
            )
        if self.mode == "ipvs":
            return self._external_local_ipvs()
        if self.tells_pods and self.from_pod:
            self._short_cut("a pod")
            return _Choice(self.port.cluster_endpoints, None)
        if self.from_node:
            self._short_cut("this node")
            return _Choice(self.port.cluster_endpoints, TraceStep("masqueraded, as it comes from this node itself"))
        self._policy("spec.externalTrafficPolicy", policy)
        return _Choice(self.port.local_endpoints, None)

    def _external_local_ipvs(self) -> _Choice:
        """A virtual server cannot tell sources apart, so the policy holds for pods and the node as well."""
        self._policy("spec.externalTrafficPolicy", Policy.LOCAL)
        endpoints = self.port.external_endpoints
        if not endpoints and self.port.cluster_endpoints:
            self.steps.append(TraceStep("no local endpoint: IPVS mode has the others in its place"))
            endpoints = self.port.cluster_endpoints
        return _Choice(endpoints, None)

    def _policy(self, field: str, policy: Policy) -> None:
        words = "endpoints on this node alone" if policy is Policy.LOCAL else "endpoints on any node"
        self.steps.append(TraceStep(words, Because(self.subject, field, policy.value)))

    def _short_cut(self, who: str) -> None:
        because = Because(self.subject, "spec.externalTrafficPolicy", Policy.LOCAL.value)
        words = f"it comes from {who}, which may reach endpoints on any node; the policy is for clients outside"
        self.steps.append(TraceStep(words, because))

    def _setting(self, field: str, value: str) -> Because:
        return Because(_CONFIGURATION, field, value)

    def _balancing(self) -> None:
        port = self.port
        if port.affinity_seconds:
            because = Because(self.subject, "spec.sessionAffinity", f"ClientIP, {port.affinity_seconds} s")
            self.steps.append(TraceStep("a client stays with the endpoint that it first got", because))
        if port.algorithm is not Algorithm.RANDOM:
            because = Because(self.subject, f"metadata.annotations[{BALANCING_ANNOTATION}]", port.algorithm.value)
            self.steps.append(TraceStep(f"balanced by {port.algorithm.value}", because))

    def _without_endpoints(self) -> TraceOutcome:
        port = self.port
        internal = self.kind is FrontendKind.CLUSTER_IP
        policy = port.internal_policy if internal else port.external_policy
        if port.has_endpoints and policy is Policy.LOCAL and self.mode != "ipvs":
            field = "spec.internalTrafficPolicy" if internal else "spec.externalTrafficPolicy"
            because = Because(self.subject, field, "Local")
            self.steps.append(TraceStep("no local ready endpoint: dropped", because))
            return TraceOutcome(fate="dropped", probability=1.0, because=because)
        if port.has_endpoints:
            because = Because(self.subject, "spec.internalTrafficPolicy", "Local")
            self.steps.append(TraceStep("no local ready endpoint: rejected, as by any virtual server without", because))
            return TraceOutcome(fate="rejected", probability=1.0, because=because)
        reason, because = missing_endpoints(self.desired, port)
        leaves = self.packet.input_interface == "" and not self.routes.is_local(self.packet.destination)
        if self.mode == "iptables" and leaves and not internal:
            words = f"{reason}; iptables mode refuses external addresses only to packets from elsewhere"
            self.steps.append(TraceStep(words, because))
            return TraceOutcome(fate="unchanged", probability=1.0, because=because)
        self.steps.append(TraceStep(f"{reason}: rejected", because))
        return TraceOutcome(fate="rejected", probability=1.0, because=because)

    def _outcomes(self, choice: _Choice) -> tuple[TraceOutcome, ...]:
        weighted = self.port.algorithm is Algorithm.WEIGHTED
        weights = [e.weight if weighted else 1 for e in choice.endpoints]
        if not any(weights):
            weights = [1] * len(weights)
        total = sum(weights)
        self.names = endpoint_names(self.desired, [endpoint.address for endpoint in choice.endpoints])
        return tuple(
            self._outcome(endpoint, weight / total, masquerade=choice.masquerade is not None)
            for endpoint, weight in zip(choice.endpoints, weights, strict=True)
            if weight
        )

    def _outcome(self, endpoint: Endpoint, probability: float, *, masquerade: bool) -> TraceOutcome:
        itself = endpoint.address == self.packet.source and not self.proxied
        # iptables mode has a rule for it at every endpoint, the others know those of this node only.
        hairpin = itself and (endpoint.local or self.mode == "iptables")
        masqueraded = masquerade or self.proxied or hairpin
        steps = (TraceStep("masqueraded, as a pod must not see its own address"),) if hairpin and not masquerade else ()
        source: Address | None = self.packet.source
        if masqueraded:
            route = self.routes.towards(endpoint.address)
            source = route.source if route else None
        warning = ""
        if itself and not masqueraded and not self.from_node:
            warning = SEES_ITSELF
        elif not masqueraded and self.mode == "ipvs" and not endpoint.local and not (self.from_pod or self.from_node):
            warning = "the endpoint is on another node and sees the client's address: its answers bypass this node"
        return TraceOutcome(
            fate="redirected",
            probability=probability,
            endpoint=format_endpoint(endpoint.address, endpoint.port),
            endpoint_name=self.names.get(format_address(endpoint.address), ""),
            source=format_address(source) if source else "",
            masqueraded=masqueraded,
            steps=steps,
            warning=warning,
        )
