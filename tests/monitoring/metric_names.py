"""The metrics that an expression asks for, and those that there are."""

import re

from prometheus_client import CollectorRegistry

from kproxy.backends.userspace.metrics import samples
from kproxy.node.metrics import Metrics

_NAME = re.compile(r"\b(?:up|(?:kproxy|kubeproxy|kube|node|process|rest_client)_\w+)\b(?!:)")

OF_OTHERS = {
    "up",  # Prometheus itself
    "kube_node_info",  # kube-state-metrics
    "node_nf_conntrack_entries",  # the node exporter
    "node_nf_conntrack_entries_limit",
    "node_nf_conntrack_stat_drop",
}
READ_AT_SCRAPES = {
    "kproxy_kernel_objects",
    "kproxy_relists_total",
    "kproxy_watch_failures_total",
    "kproxy_watch_events_total",
    "kproxy_watch_age_seconds",
    "kproxy_conntrack_entries",
    "kproxy_conntrack_entries_limit",
    "kproxy_conntrack_losses_total",
    "kubeproxy_iptables_ct_state_invalid_dropped_packets_total",
}
"""By collectors, which name nothing beforehand; the test with a real proxy sees that they are there."""


def asked_for(expression: str) -> set[str]:
    """Names of metrics in a PromQL expression, without those of recording rules."""
    return set(_NAME.findall(expression))


def there_are() -> set[str]:
    """Names of the series that a proxy shows, of any mode."""
    registry: CollectorRegistry = Metrics().registry
    names = set(READ_AT_SCRAPES)
    for family in registry.collect():
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
        names.update(family.name + suffix for suffix in suffixes)
    names.update(sample.name for sample in samples({}, worker_restarts=0, unserved_ports=0))
    return names
