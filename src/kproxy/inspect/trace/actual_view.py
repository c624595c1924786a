"""What the kernel's own rules do to a packet."""

from collections.abc import Sequence

from kproxy.inspect.desired import DesiredState
from kproxy.inspect.rulesets.branch import Step
from kproxy.inspect.rulesets.netfilter import BaseChain, Fate, Outcome, all_doubts, common_steps, traverse
from kproxy.inspect.rulesets.packet import Packet, format_endpoint
from kproxy.inspect.rulesets.routes import Routes
from kproxy.inspect.rulesets.snapshot import Snapshot
from kproxy.inspect.trace.endpoints import endpoint_names
from kproxy.inspect.trace.report import SEES_ITSELF, Because, FateName, NotUnderstood, TraceOutcome, TraceStep, View
from kproxy.services.addresses import Family, format_address

_FATES: dict[Fate, FateName] = {
    Fate.REDIRECTED: "redirected",
    Fate.UNCHANGED: "unchanged",
    Fate.LOCAL: "local",
    Fate.DROPPED: "dropped",
    Fate.REJECTED: "rejected",
}
_BYPASS = "the endpoint answers the client directly, past this node, so the client will not know the answer"


class Evaluator:
    """Evaluates the kernel's rules for any number of packets."""

    def __init__(self, snapshot: Snapshot, routes: Routes) -> None:
        self._snapshot, self._routes = snapshot, routes
        self._chains: dict[Family, list[BaseChain]] = {}

    def view(self, packet: Packet, desired: DesiredState | None = None) -> View:
        """What the rules do.

        Args:
            packet: with the interface that it comes in by
            desired: for the names of endpoints, if it is known
        """
        family = packet.family
        if family not in self._chains:
            self._chains[family] = list(self._snapshot.chains(family, self._routes))
        outcomes = traverse(packet, self._chains[family], self._routes)
        outcomes.sort(key=lambda outcome: -outcome.probability)
        doubts = all_doubts(outcomes)
        shared = common_steps(outcomes)
        addresses = [outcome.branch.packet.destination for outcome in outcomes]
        names = endpoint_names(desired, addresses) if desired else {}
        unread = self._snapshot.unread
        bare = self._snapshot.empty and not unread
        notes = ["this network namespace has no packet filter rules at all"] if bare else []
        return View(
            name="actual",
            origin="the kernel's rules",
            steps=_steps(shared),
            outcomes=tuple(_outcome(outcome, len(shared), names) for outcome in outcomes),
            confidence="low" if doubts or unread else "high",
            not_understood=tuple(NotUnderstood(doubt.where, doubt.rule, doubt.reason) for doubt in doubts),
            notes=(*notes, *(f"not read: {what}" for what in unread)),
        )


def _steps(steps: Sequence[Step]) -> tuple[TraceStep, ...]:
    return tuple(
        TraceStep(step.effect, Because(step.about) if step.about else None, step.where, step.rule) for step in steps
    )


def _outcome(outcome: Outcome, shared: int, names: dict[str, str]) -> TraceOutcome:
    branch, packet = outcome.branch, outcome.branch.packet
    redirected = outcome.fate is Fate.REDIRECTED
    refused = outcome.fate in (Fate.DROPPED, Fate.REJECTED)
    last = branch.steps[-1] if refused and branch.steps else None
    return TraceOutcome(
        fate=_FATES[outcome.fate],
        probability=round(branch.probability, 9),
        endpoint=format_endpoint(packet.destination, packet.port) if redirected else "",
        endpoint_name=names.get(format_address(packet.destination), "") if redirected else "",
        source=format_address(outcome.source) if outcome.source else "",
        masqueraded=packet.source_translated,
        because=Because(last.where, last.rule) if last else None,
        steps=_steps(branch.steps[shared:]),
        warning=SEES_ITSELF if outcome.returns_to_client else _BYPASS if outcome.answers_bypass else "",
    )
