"""What a trace foresees of real packets, beside what a scenario expects of them and what they met."""

from kproxy.inspect.trace.report import View
from kproxy.lab.expectation import Expectation, Target
from kproxy.lab.probe import Result, Sample
from kproxy.lab.topology import NODE
from kproxy.services.addresses import parse_address
from tests.inspect.lab_node import POD_AT

_SILENT = {"dropped", "unchanged"}
_REFUSING = {"rejected", "local", "unchanged"}
"""Where nothing listens, a port of the node's own refuses; where routing leads, another host may."""


def foreseen(view: View) -> set[tuple[str, str]]:
    """Pods that may answer, each with the source that it sees."""
    return {
        (POD_AT.get(parse_address(o.endpoint.rpartition(":")[0].strip("[]")) or b"", o.endpoint), o.source)
        for o in view.outcomes
        if o.fate == "redirected"
    }


def results(view: View, target: Target) -> set[Result]:
    """How requests may end that nothing answers."""
    fates = {"dropped" if outcome.warning else outcome.fate for outcome in view.outcomes}
    found = {Result.TIMEOUT} if fates & _SILENT else set[Result]()
    if fates & _REFUSING or (target.client == NODE.name and target.transport == "UDP" and "dropped" in fates):
        found.add(Result.REJECTED)  # a local sender is told that its datagram was dropped
    return found


def against_expectation(view: View, target: Target, expected: Expectation, *, proxied: bool) -> str:
    """How a view contradicts a row; empty when it does not.

    Args:
        view: of the row's packet
        target: who asks whom
        expected: the row
        proxied: the view ends where a process takes the connection and chooses the endpoint itself
    """
    if view.confidence != "high":
        return f"{view.name}: {view.not_understood}"
    fates = {outcome.fate for outcome in view.outcomes}
    if not expected.answers:
        allowed = results(view, target)
        # A packet that routing takes elsewhere is answered or not by whoever is there.
        agrees = "redirected" not in fates or all(outcome.warning for outcome in view.outcomes)
        return "" if agrees and allowed & expected.failures else f"{view.name}: {fates}, not {expected.failures}"
    if fates != {"redirected"}:
        return f"{view.name}: {fates}"
    answers = foreseen(view)
    if expected.sticky and view.name == "actual" and len(answers) == 1:
        agrees = answers <= expected.answers  # the kernel knows the client
    elif view.by_history:
        agrees = expected.answers <= answers
    else:
        agrees = answers == expected.answers
    return "" if proxied or agrees else f"{view.name}: {answers}"


def against_packets(view: View, target: Target, sample: Sample, *, proxied: bool, silent: bool) -> str:
    """How a view contradicts what packets met; empty when it does not.

    Args:
        view: of the same packet
        target: who asked whom
        sample: what became of it
        proxied: see `against_expectation`
        silent: rejections may not arrive
    """
    if sample.answers and not proxied and not set(sample.answers) <= foreseen(view):
        return f"{view.name}: {foreseen(view)}, but packets met {dict(sample.answers)}"
    if sample.answers and proxied and {outcome.fate for outcome in view.outcomes} != {"redirected"}:
        return f"{view.name}: {view.outcomes}, but packets met {dict(sample.answers)}"
    allowed = results(view, target)
    if silent and Result.REJECTED in allowed:
        allowed.add(Result.TIMEOUT)
    return "" if set(sample.failures) <= allowed else f"{view.name}: {allowed}, but packets met {dict(sample.failures)}"
