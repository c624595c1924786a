"""How a probe's way ended, from all that is known of it."""

from typing import NamedTuple

from kproxy.inspect.rulesets.kernel_routes import KernelRoutes
from kproxy.inspect.rulesets.packet import Packet, format_endpoint
from kproxy.inspect.trace.live.flow import Translated
from kproxy.inspect.trace.live.way import Met
from kproxy.inspect.trace.report import Because, FateName, TraceOutcome
from kproxy.services.addresses import Address, format_address


class Found(NamedTuple):
    way: list[Met]
    whole: bool
    """No rule met the packet without being told."""
    translated: Translated | None
    """By connection tracking; None: it does not know the flow, or no longer."""
    answered: FateName | None
    """`redirected` by an answer, `rejected` by an error, `dropped` on the way out; None: silence."""


def outcome(packet: Packet, found: Found) -> TraceOutcome:
    """Say how it ended, in the network namespace of the calling thread."""
    last = found.way[-1] if found.way else None
    if last is not None and last.refusal and found.answered != "redirected":
        fate: FateName = "rejected" if found.answered == "rejected" else last.refusal
        return TraceOutcome(fate=fate, probability=1.0, because=Because(last.step.where, last.step.rule))
    if found.translated is not None:
        return _delivered(packet, (found.translated.destination, found.translated.port), found.translated.source)
    if found.answered == "rejected" and found.whole:
        # No rule did it: something refused where the packet went, and with a TCP reset the flow was forgotten.
        return _delivered(packet, _destination(packet, found.way), None)
    fate = found.answered if found.answered in ("rejected", "dropped") else "dropped"
    return TraceOutcome(fate=fate, probability=1.0)


def _destination(packet: Packet, way: list[Met]) -> tuple[Address, int]:
    """Where the packet was sent on to, as far as rules saw it."""
    seen = [met.header.endpoint for met in way if met.header]
    return seen[-1] if seen else (packet.destination, packet.port)


def _delivered(packet: Packet, destination: tuple[Address, int], source: Address | None) -> TraceOutcome:
    """Where it went, and with which source address; None: unknown."""
    seen = format_address(source) if source else ""
    if destination != (packet.destination, packet.port):
        return TraceOutcome(
            fate="redirected",
            probability=1.0,
            endpoint=format_endpoint(*destination),
            source=seen,
            masqueraded=source is not None and source != packet.source,
        )
    return TraceOutcome(fate="local" if _is_local(packet.destination) else "unchanged", probability=1.0, source=seen)


def _is_local(address: Address) -> bool:
    routes = KernelRoutes()
    try:
        return routes.is_local(address)
    finally:
        routes.close()
