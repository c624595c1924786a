"""What the EndpointSlices say about a Service's endpoints: who they are, and why some are not used."""

from collections.abc import Iterable, Sequence

from kproxy.inspect.desired import DesiredState
from kproxy.inspect.trace.report import Because, TraceStep
from kproxy.services.addresses import Address, format_address
from kproxy.services.model import Endpoint, ServicePort
from kproxy.services.slices import merge


def endpoint_names(desired: DesiredState, addresses: Iterable[Address]) -> dict[str, str]:
    """The nodes that endpoints are on, in words, by address; those that no slice names are left out."""
    wanted = {format_address(address) for address in addresses}
    found = {}
    for slices in desired.slices.values():
        for slice_ in slices:
            for endpoint in slice_.endpoints or ():
                if endpoint.node_name and endpoint.addresses and endpoint.addresses[0] in wanted:
                    found[endpoint.addresses[0]] = f"on {endpoint.node_name}"
    return found


def missing_endpoints(desired: DesiredState, port: ServicePort) -> tuple[str, Because]:
    """Why a Service port has no endpoint that could answer, and which object says so."""
    slices = desired.slices.get(port.service, [])
    if not slices:
        return "there is no EndpointSlice for it", Because(f"Service {port.service}", "spec.selector")
    candidates, _ = merge(desired.tracker.slices(port.service), port.family, port.port_name, port.protocol)
    names = ", ".join(sorted(slice_.metadata.name for slice_ in slices)[:3])
    subject = f"EndpointSlice {port.service.namespace}/{names}"
    if candidates:
        count = len(candidates)
        words = "its only endpoint is not ready" if count == 1 else f"none of its {count} endpoints is ready"
        return words, Because(subject, "endpoints[].conditions.ready", "false")
    if any(slice_.endpoints for slice_ in slices):
        wanted = f"{port.port_name or 'without a name'}, {port.protocol}, {port.family.value}"
        return f"no endpoint has the port ({wanted})", Because(subject, "ports[].name")
    return "it has no endpoints", Because(subject, "endpoints", "none")


def topology_steps(desired: DesiredState, port: ServicePort, chosen: Sequence[Endpoint]) -> list[TraceStep]:
    """What kept ready endpoints from being chosen, other than a traffic policy."""
    candidates, numbers = merge(desired.tracker.slices(port.service), port.family, port.port_name, port.protocol)
    every = list(zip(candidates, numbers, strict=True))
    ready = [(c, number) for c, number in every if c.ready]
    steps = []
    picked = {(e.address, e.port) for e in chosen}
    subject = f"EndpointSlices of Service {port.service}"
    if not ready:
        because = Because(subject, "endpoints[].conditions.terminating", "true")
        steps.append(
            TraceStep("nothing ready is left, so endpoints that still serve while terminating answer", because)
        )
    elif chosen is port.cluster_endpoints and len(picked) < len(ready):
        hints = "forNodes" if all(c.node_hints for c, _ in ready) else "forZones"
        zone = desired.tracker.placement.zone or "unknown"
        place = f"node {desired.settings.node}" if hints == "forNodes" else f"zone {zone}"
        because = Because(subject, f"endpoints[].hints.{hints}")
        steps.append(TraceStep(f"{len(picked)} of {len(ready)} ready endpoints are meant for {place}", because))
    unready = len(every) - len(ready)
    if ready and unready:
        because = Because(subject, "endpoints[].conditions.ready", "false")
        steps.append(TraceStep(f"{unready} more {'is' if unready == 1 else 'are'} not ready", because))
    return steps
