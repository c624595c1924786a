"""Recording rules: what alerts and dashboard share, and what would be costly to compute each time."""

from kproxy.monitoring.promql import Select, selecting, up_to
from kproxy.monitoring.rules import Recording
from kproxy.monitoring.settings import Settings

WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
"""Over which the share of slow programmings is recorded."""

SYNC_P99 = "kube_proxy:sync_rules_duration:p99"
PROGRAMMED = "kube_proxy:network_programming:rate5m"
SLOW = "kube_proxy:network_programming_slow:rate5m"
CONNTRACK = "kube_proxy:conntrack_usage:ratio"

_NODE = "job, instance, ip_family"


def slow_ratio(window: str) -> str:
    """The name of the share of endpoint changes that were programmed too late.

    Args:
        window: one of `WINDOWS`
    """
    return f"kube_proxy:network_programming_slow:ratio{window}"


def sync_recordings(settings: Settings) -> list[Recording]:
    """How long syncs and programming take. One node's idleness leaves no NaN in an average over all of them."""
    select = selecting(f'job=~"{settings.job}"')
    syncs, programming = "kubeproxy_sync_proxy_rules_duration_seconds", "kubeproxy_network_programming_duration_seconds"
    return [
        Recording("kube_proxy:sync_rules_duration:avg", _mean(select, syncs, _NODE)),
        Recording(SYNC_P99, _p99(select, syncs, _NODE)),
        Recording("kube_proxy:network_programming_duration:avg", _mean(select, programming, "job")),
        Recording("kube_proxy:network_programming_duration:p99", _p99(select, programming, "job")),
    ]


def programming_recordings(settings: Settings) -> list[Recording]:
    """The share of endpoint changes that came too late, over several windows.

    Long windows are sums of the five-minute rates, one series for a job: the histograms of a thousand nodes over three
    days are not read again for each evaluation.
    """
    select = selecting(f'job=~"{settings.job}"')
    name = "kubeproxy_network_programming_duration_seconds"
    in_time = select(f"{name}_bucket", up_to(settings.within))
    programmed = f"sum by (job) (rate({select(f'{name}_count')}[5m]))"
    slow = f"clamp_min({PROGRAMMED}\n  - sum by (job) (rate({in_time}[5m])), 0)"
    return [
        Recording(PROGRAMMED, programmed),
        Recording(SLOW, slow),
        *(
            Recording(
                slow_ratio(window), f"sum_over_time({SLOW}[{window}])\n  / (sum_over_time({PROGRAMMED}[{window}]) > 0)"
            )
            for window in WINDOWS
        ),
    ]


def conntrack_recordings() -> list[Recording]:
    """How full connection tracking is, as kproxy tells it, or the node exporter where kube-proxy runs."""
    expr = (
        "max by (instance) (\n"
        "  kproxy_conntrack_entries / (kproxy_conntrack_entries_limit > 0)\n"
        "  or\n"
        "  node_nf_conntrack_entries / (node_nf_conntrack_entries_limit > 0)\n"
        ")"
    )
    return [Recording(CONNTRACK, expr)]


def _mean(select: Select, histogram: str, labels: str) -> str:
    total, count = select(f"{histogram}_sum"), select(f"{histogram}_count")
    return f"sum by ({labels}) (rate({total}[5m]))\n  / (sum by ({labels}) (rate({count}[5m])) > 0)"


def _p99(select: Select, histogram: str, labels: str) -> str:
    return f"histogram_quantile(0.99,\n  sum by ({labels}, le) (rate({select(f'{histogram}_bucket')}[5m])))"
