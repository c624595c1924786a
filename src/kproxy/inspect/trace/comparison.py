"""Whether two views of a packet say the same, and where they do not."""

from kproxy.inspect.trace.report import TraceOutcome, View

_TOLERANCE = 0.005
"""Of probabilities: iptables rounds them, and a balancer with slots is even."""
_END_OF_NODE = {"unchanged", "local"}


def disagreements(first: View, second: View) -> list[str]:
    """What differs between two views, in words; nothing when they agree.

    The source address is compared only where both know it.
    """
    if words := fates_differ(first, second):
        return [words]
    found: list[str] = []
    here, there = _by_endpoint(first), _by_endpoint(second)
    by_history = first.by_history or second.by_history
    sides = ((first, second, here.keys() - there.keys()), (second, first, there.keys() - here.keys()))
    for view, other, missing in sides:
        # The kernel may know the client, and then has one endpoint for it.
        if missing and not (view.by_history and not other.by_history):
            found.append(f"only {view.name}, not {other.name}, leads to {', '.join(sorted(missing))}")
    for endpoint in sorted(here.keys() & there.keys()):
        one, two = here[endpoint], there[endpoint]
        if not by_history and abs(one[0] - two[0]) > _TOLERANCE:
            found.append(f"{endpoint} gets {one[0]:.1%} of connections by {first.name}, {two[0]:.1%} by {second.name}")
        if one[1] and two[1] and one[1] != two[1]:
            seen = [" or ".join(sorted(sources)) for sources in (one[1], two[1])]
            found.append(f"{endpoint} sees the client as {seen[0]} by {first.name}, as {seen[1]} by {second.name}")
    return found


def fates_differ(first: View, second: View) -> str:
    """How two views differ about what may happen at all, in words; empty when they do not."""
    fates = [_fates(view) for view in (first, second)]
    if fates[0] == fates[1]:
        return ""
    said = [f"{v.name}: {' or '.join(sorted(f))}" for v, f in zip((first, second), fates, strict=True)]
    return f"{first.name} and {second.name} disagree about what happens: {'; '.join(said)}"


def _fates(view: View) -> set[str]:
    """What may happen; unchanged delivery is one thing, wherever routing takes the packet."""
    return {"unchanged" if outcome.fate in _END_OF_NODE else outcome.fate for outcome in view.outcomes}


def _by_endpoint(view: View) -> dict[str, tuple[float, set[str]]]:
    """Each endpoint's probability, and the source addresses that it may see."""
    found: dict[str, tuple[float, set[str]]] = {}
    for outcome in view.outcomes:
        if outcome.fate == "redirected":
            probability, sources = found.get(outcome.endpoint, (0.0, set()))
            found[outcome.endpoint] = (probability + outcome.probability, sources | _source(outcome))
    return found


def _source(outcome: TraceOutcome) -> set[str]:
    return {outcome.source} if outcome.source else set()
