"""Packets that no Service port answers: what becomes of them, and what comes near."""

from kproxy.inspect.desired import DesiredState, describe_addresses
from kproxy.inspect.rulesets.packet import Packet, format_endpoint
from kproxy.inspect.rulesets.routes import Routes
from kproxy.inspect.trace.frontends import Frontends, not_served
from kproxy.inspect.trace.report import Because, FateName, TraceOutcome, TraceStep, View
from kproxy.services.addresses import format_address
from kproxy.services.model import ServicePort, Verdict


def unmatched(packet: Packet, desired: DesiredState, mode: str, routes: Routes, frontends: Frontends) -> View:
    """Explain a packet to a destination of no Service port."""
    text = format_endpoint(packet.destination, packet.port)
    steps = [TraceStep(f"no Service answers at {text}/{packet.protocol}")]
    outcome = _refused(packet, desired, mode, routes, frontends, steps)
    if outcome is None:
        local = routes.is_local(packet.destination)
        fate: FateName = "local" if local else "unchanged"
        words = (
            "given to this node's own processes"
            if local
            else f"sent on to {format_address(packet.destination)} as it is"
        )
        steps.append(TraceStep(words))
        outcome = TraceOutcome(fate=fate, probability=1.0, source=format_address(packet.source))
    return View(name="desired", origin=desired.origin, steps=tuple(steps), outcomes=(outcome,))


def _refused(
    packet: Packet, desired: DesiredState, mode: str, routes: Routes, frontends: Frontends, steps: list[TraceStep]
) -> TraceOutcome | None:
    """Add what is known of the address; returns an outcome where the proxy itself refuses the packet."""
    address = packet.destination
    if (port := frontends.with_cluster_ip(address)) is not None:
        because = Because(f"Service {port.service}", "spec.ports", f"no {packet.port}/{packet.protocol}")
        steps.append(TraceStep(f"{format_address(address)} is the cluster IP of Service {port.service}", because))
        if mode in ("nftables", "ipvs"):
            steps.append(TraceStep("rejected, as other ports of cluster IPs are", because))
            return TraceOutcome(fate="rejected", probability=1.0, because=because)
        steps.append(TraceStep(f"{mode} mode has no rule for other ports of cluster IPs"))
        return None
    if (port := frontends.with_external_address(address)) is not None:
        because = Because(f"Service {port.service}", "spec.ports", f"no {packet.port}/{packet.protocol}")
        steps.append(TraceStep(f"{format_address(address)} is an address of Service {port.service}", because))
        if mode == "ipvs":
            steps.append(TraceStep("rejected, as other ports of addresses on kube-ipvs0 are", because))
            return TraceOutcome(fate="rejected", probability=1.0, because=because)
        return None
    if (reason := not_served(desired, address)) is not None:
        steps.append(TraceStep("the address is that of a Service which this proxy leaves alone", reason))
    port = frontends.with_node_port(packet.port, packet.protocol, packet.family)
    if port is not None and routes.is_local(address):
        because = Because(
            "KubeProxyConfiguration", "nodePortAddresses", describe_addresses(desired.node_port_addresses)
        )
        words = f"{packet.port} is a node port of Service {port.service}, which does not answer at this address"
        steps.append(TraceStep(words, because))
        if mode == "iptables":
            return _refused_everywhere(port, steps)
    return None


def _refused_everywhere(port: ServicePort, steps: list[TraceStep]) -> TraceOutcome | None:
    """What iptables mode refuses at a node port, it refuses at every address of the node."""
    verdict = port.external_verdict
    if verdict is Verdict.BALANCE:
        return None
    fate: FateName = "rejected" if verdict is Verdict.REJECT else "dropped"
    because = Because(f"Service {port.service}", "spec.ports[].nodePort", str(port.node_port))
    words = f"{fate}, as iptables mode does at every address of the node when no endpoint may answer"
    steps.append(TraceStep(words, because))
    return TraceOutcome(fate=fate, probability=1.0, because=because)
