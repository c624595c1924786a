"""The objective for programming latency, watched by how fast its error budget burns.

Windows and factors are those of chapter 5 of Google's Site Reliability Workbook: a short window beside each long one
ends an alert soon after its cause has ended.
"""

from typing import NamedTuple

from kproxy.monitoring.recordings import SLOW, slow_ratio
from kproxy.monitoring.rules import INTERVAL, Alert, Annotations, Severity
from kproxy.monitoring.settings import Settings

_ENOUGH = 10
"""Late changes in the long window below which nobody is told: in a small cluster, one change is a large share."""


class Burn(NamedTuple):
    """How much of a month's budget may be gone how soon."""

    factor: float
    """Times the rate at which the budget lasts for exactly 30 days."""
    long: str
    short: str
    lasting: str
    severity: Severity


BURNS = (
    Burn(14.4, "1h", "5m", "2m", Severity.CRITICAL),
    Burn(6, "6h", "30m", "15m", Severity.CRITICAL),
    Burn(3, "1d", "2h", "1h", Severity.WARNING),
    Burn(1, "3d", "6h", "3h", Severity.WARNING),
)


def programming_alerts(settings: Settings) -> list[Alert]:
    """One alert in four severities of haste; the label `long` tells them apart."""
    return [_burning(settings, burn) for burn in BURNS]


def _burning(settings: Settings, burn: Burn) -> Alert:
    budget = 1 - settings.objective
    bound = f"{burn.factor * budget:.6g}"
    return Alert(
        alert="KubeProxyProgrammingErrorBudgetBurn",
        expr=(
            f"{slow_ratio(burn.long)} > {bound}\n"
            f"  and {slow_ratio(burn.short)} > {bound}\n"
            # The sum of the rates at each evaluation, times the seconds between two of them: how many were late.
            f"  and sum_over_time({SLOW}[{burn.long}]) * {INTERVAL} > {_ENOUGH}"
        ),
        for_=burn.lasting,
        labels={"severity": burn.severity.value, "long": burn.long, "short": burn.short},
        annotations=Annotations(
            summary="Endpoint changes reach the nodes' rules too late",
            description=(
                f"{{{{ $value | humanizePercentage }}}} of the endpoint changes of the last {burn.long} took more "
                f"than {settings.within:g} s to reach the rules of {{{{ $labels.job }}}}; the objective is "
                f"{settings.objective:.6g} in time. The dashboard tells which nodes are slow, and whether it is the "
                "sync, or the way through the API server."
            ),
        ),
    )
