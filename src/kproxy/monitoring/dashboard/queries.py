"""Pieces of the panels' queries."""

from kproxy.monitoring.promql import selecting

SYNCS = "kubeproxy_sync_proxy_rules"
"""What the names of the metrics about syncs begin with."""
PROGRAMMING = "kubeproxy_network_programming_duration_seconds"
JOB = '{job=~"$job"}'
"""Selects a recorded series that is of no node."""
NODE = "{{instance}} {{ip_family}}"
"""The legend of what each node has for each IP family."""

select = selecting('job=~"$job"', 'instance=~"$instance"')
"""Selects what the dashboard's variables choose."""


def rate(metric: str, *matchers: str) -> str:
    """A counter's increase a second, over what one point of a graph stands for."""
    return f"rate({select(metric, *matchers)}[$__rate_interval])"


def quantile(share: float, histogram: str, *labels: str) -> str:
    """A quantile of a histogram, for each of the labels' values, or over all that is chosen."""
    return f"histogram_quantile({share:g}, sum by ({', '.join((*labels, 'le'))}) ({rate(f'{histogram}_bucket')}))"


def lag() -> str:
    """How old the rules are while something waits, else 0."""
    synced, queued = select(f"{SYNCS}_last_timestamp_seconds"), select(f"{SYNCS}_last_queued_timestamp_seconds")
    return f"(time() - {synced}) * ({queued} > bool {synced})"
