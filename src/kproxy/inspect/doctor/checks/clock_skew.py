"""Do the node's and the API server's clocks agree?"""

import shutil
from collections.abc import Iterator

from kproxy.inspect.doctor.finding import Finding, Severity, shell
from kproxy.inspect.doctor.view import NodeView

_NOTICEABLE, _HARMFUL = 2.0, 30.0
"""Seconds: from the first, programming latencies are wrong; from the second, tokens and certificates fail."""


def skewed(view: NodeView) -> Iterator[Finding]:
    """They do not."""
    clock = view.clock
    if clock is None or abs(clock.ahead) - clock.uncertainty < _NOTICEABLE:
        return
    direction = "behind" if clock.ahead > 0 else "ahead of"
    apart = f"{abs(clock.ahead):.1f} s (± {clock.uncertainty:.1f} s) {direction}"
    yield Finding(
        check="clock-skew",
        severity=Severity.CRITICAL if abs(clock.ahead) >= _HARMFUL else Severity.WARNING,
        subject=f"node {view.node}",
        evidence=(f"this node's clock is {apart} that of {clock.server} (Date header)",),
        cause="Programming latencies and health timestamps are wrong; tokens and certificates may be refused.",
        fixes=(_synchronise(),),
        advice="" if abs(clock.ahead) < _HARMFUL else "If it is this node's clock that is right, see to the server's.",
    )


def _synchronise() -> str:
    """With chrony, which takes long to make up for minutes unless it is told to jump; else with systemd's."""
    if shutil.which("chronyc"):
        return shell("chronyc", "-a", "makestep")
    return shell("timedatectl", "set-ntp", "true")
