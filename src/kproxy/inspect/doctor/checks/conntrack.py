"""Is there room for new connections?"""

from collections.abc import Iterator

from kproxy.inspect.doctor.finding import Finding, Severity, sysctl
from kproxy.inspect.doctor.supervision import configuration_advice
from kproxy.inspect.doctor.view import NodeView

_COUNT, _LIMIT = "net/netfilter/nf_conntrack_count", "net/netfilter/nf_conntrack_max"
_NEARLY, _FULL = 0.8, 0.95


def full(view: NodeView) -> Iterator[Finding]:
    """The connection tracking table is full, or soon will be: packets of new connections are dropped."""
    count, limit = view.sysctl(_COUNT), view.sysctl(_LIMIT)
    if count is None or limit is None or int(limit) == 0:
        return
    share = int(count) / int(limit)
    if share < _NEARLY:
        return
    yield Finding(
        check="conntrack-full",
        severity=Severity.CRITICAL if share >= _FULL else Severity.WARNING,
        subject=f"node {view.node}",
        evidence=(f"{_COUNT} is {count}, {_LIMIT} is {limit}: {share:.0%}",),
        cause="When the table is full, the kernel drops packets of new connections ('nf_conntrack: table full').",
        fixes=(sysctl(_LIMIT, str(int(limit) * 2)),),
        advice=configuration_advice(view, "conntrack.maxPerCore, from which the limit is set at every start,")
        + " Many short UDP or closing connections go sooner with shorter timeouts.",
    )
