"""The metrics that dashboards and alerts know from kube-proxy, under the same names."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from kproxy.node.pipeline_metrics import PipelineMetrics
from kproxy.services.addresses import Family

log = logging.getLogger(__name__)

disable_created_metrics()  # type: ignore[no-untyped-call]

_SYNC_BUCKETS = [0.001 * 2**k for k in range(15)]
_PROGRAMMING_BUCKETS = [
    0.25,
    0.5,
    *map(float, range(1, 60)),
    *map(float, range(60, 120, 5)),
    *map(float, range(120, 301, 30)),
]


class Metrics:
    """One process's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.pipeline = PipelineMetrics(registry)
        prefix = "kubeproxy"
        family = ["ip_family"]

        def histogram(name: str, words: str, buckets: list[float]) -> Histogram:
            return Histogram(name, words, family, namespace=prefix, registry=registry, buckets=buckets)

        def gauge(name: str, words: str, labels: list[str]) -> Gauge:
            return Gauge(name, words, labels, namespace=prefix, registry=registry)

        def counter(name: str, words: str, labels: list[str], namespace: str = prefix) -> Counter:
            return Counter(name, words, labels, namespace=namespace, registry=registry)

        self.sync_duration = histogram(
            "sync_proxy_rules_duration_seconds", "How long a sync of the rules took", _SYNC_BUCKETS
        )
        self.full_sync_duration = histogram(
            "sync_full_proxy_rules_duration_seconds", "How long a full sync of the rules took", _SYNC_BUCKETS
        )
        self.partial_sync_duration = histogram(
            "sync_partial_proxy_rules_duration_seconds", "How long a partial sync of the rules took", _SYNC_BUCKETS
        )
        self.programming_duration = histogram(
            "network_programming_duration_seconds",
            "From the change of an endpoint in the cluster until this node's rules had it",
            _PROGRAMMING_BUCKETS,
        )
        self.last_sync = gauge(
            "sync_proxy_rules_last_timestamp_seconds", "When the rules were last synced successfully", family
        )
        self.last_queued = gauge(
            "sync_proxy_rules_last_queued_timestamp_seconds", "When a sync of the rules was last queued", family
        )
        self.endpoint_changes = counter("sync_proxy_rules_endpoint_changes_total", "Changes of endpoints", [])
        self.service_changes = counter("sync_proxy_rules_service_changes_total", "Changes of Services", [])
        self.endpoint_changes_pending = gauge(
            "sync_proxy_rules_endpoint_changes_pending", "Changes of endpoints that are not in the rules yet", []
        )
        self.service_changes_pending = gauge(
            "sync_proxy_rules_service_changes_pending", "Changes of Services that are not in the rules yet", []
        )
        self.no_local_endpoints = gauge(
            "sync_proxy_rules_no_local_endpoints_total",
            "Service ports with a Local traffic policy and no endpoint on this node",
            ["traffic_policy", "ip_family"],
        )
        self.nftables_sync_failures = counter(
            "sync_proxy_rules_nftables_sync_failures_total", "Syncs that nf_tables refused", family
        )
        self.nftables_cleanup_failures = counter(
            "sync_proxy_rules_nftables_cleanup_failures_total",
            "Failed removals of what nftables no longer need",
            family,
        )
        self.iptables_restore_failures = counter(
            "sync_proxy_rules_iptables_restore_failures_total", "Failed iptables restores", family
        )
        self.iptables_partial_restore_failures = counter(
            "sync_proxy_rules_iptables_partial_restore_failures_total", "Failed partial iptables restores", family
        )
        self.iptables_rules = gauge(
            "sync_proxy_rules_iptables_total", "Rules that each table has from this proxy", ["table", "ip_family"]
        )
        self.iptables_rules_last = gauge(
            "sync_proxy_rules_iptables_last", "Rules that the last sync wrote to each table", ["table", "ip_family"]
        )
        self.conntrack_duration = histogram(
            "conntrack_reconciler_sync_duration_seconds", "How long a search for stale flows took", _SYNC_BUCKETS
        )
        self.conntrack_deleted = counter(
            "conntrack_reconciler_deleted_entries_total", "Stale flows that were deleted", family
        )
        self.healthz = counter("proxy_healthz_total", "Answers of /healthz", ["code"])
        self.livez = counter("proxy_livez_total", "Answers of /livez", ["code"])
        self.api_requests = counter(
            "requests_total", "Requests to the API server", ["code", "method", "host"], namespace="rest_client"
        )

    def expect(self, families: Iterable[Family]) -> None:
        """Show zeros for these families from the start, as a rate needs a first value."""
        for vector in (
            self.sync_duration,
            self.full_sync_duration,
            self.partial_sync_duration,
            self.programming_duration,
            self.conntrack_duration,
            self.conntrack_deleted,
            self.nftables_sync_failures,
            self.nftables_cleanup_failures,
            self.iptables_restore_failures,
            self.iptables_partial_restore_failures,
            self.pipeline.repairs,
        ):
            for family in families:
                vector.labels(family.value)

    def show_packets(self, read: Callable[[], Mapping[str, int]]) -> None:
        """Show the kernel's own counters of packets, read at each scrape."""
        self.registry.register(_PacketCounters(read))

    def count_refusal(self, mode: str, family: Family, *, full: bool) -> None:
        """A sync did not work, or not completely."""
        if mode == "nftables":
            self.nftables_sync_failures.labels(family.value).inc()
        elif mode == "iptables":
            self.iptables_restore_failures.labels(family.value).inc()
            if not full:
                self.iptables_partial_restore_failures.labels(family.value).inc()

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)


_PACKETS = {
    "ct_state_invalid_dropped_pkts": (
        "kubeproxy_iptables_ct_state_invalid_dropped_packets",
        "Packets dropped because connection tracking knows them as invalid",
    ),
    "localhost_nps_accepted_pkts": (
        "kubeproxy_iptables_localhost_nodeports_accepted_packets",
        "Packets to NodePorts on loopback addresses",
    ),
}
"""Of the kernel's counters: the metric's name, and what it says."""


class _PacketCounters(Collector):
    def __init__(self, read: Callable[[], Mapping[str, int]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        try:
            counters = self._read()
        except OSError as error:
            log.warning("Packet counters cannot be read: %s", error)
            return
        for counter, packets in counters.items():
            if counter in _PACKETS:
                name, words = _PACKETS[counter]
                yield CounterMetricFamily(name, words, value=packets)

    def describe(self) -> Iterator[Metric]:
        """Nothing beforehand: which counters there are depends on mode and kernel."""
        return iter(())
