"""The metrics of a running proxy, row by row."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.daemon.node import PATIENCE, Node, endpoint_slice, node, service

FAMILY = frozenset({"ip_family"})
SYNC_BUCKETS = [0.001 * 2**k for k in range(15)]
PROGRAMMING_BUCKETS = [0.25, 0.5, *range(1, 60), *range(60, 116, 5), *range(120, 301, 30)]

HISTOGRAMS = {
    "sync_proxy_rules_duration_seconds": SYNC_BUCKETS,
    "sync_full_proxy_rules_duration_seconds": SYNC_BUCKETS,
    "sync_partial_proxy_rules_duration_seconds": SYNC_BUCKETS,
    "network_programming_duration_seconds": PROGRAMMING_BUCKETS,
    "conntrack_reconciler_sync_duration_seconds": SYNC_BUCKETS,
}
OTHERS = {
    "sync_proxy_rules_last_timestamp_seconds": ("gauge", FAMILY),
    "sync_proxy_rules_last_queued_timestamp_seconds": ("gauge", FAMILY),
    "sync_proxy_rules_endpoint_changes_pending": ("gauge", frozenset()),
    "sync_proxy_rules_endpoint_changes_total": ("counter", frozenset()),
    "sync_proxy_rules_service_changes_pending": ("gauge", frozenset()),
    "sync_proxy_rules_service_changes_total": ("counter", frozenset()),
    "sync_proxy_rules_no_local_endpoints_total": ("gauge", frozenset({"traffic_policy", "ip_family"})),
    "conntrack_reconciler_deleted_entries_total": ("counter", FAMILY),
    "proxy_healthz_total": ("counter", frozenset({"code"})),
    "proxy_livez_total": ("counter", frozenset({"code"})),
}
IPTABLES = {
    "sync_proxy_rules_iptables_total": ("gauge", frozenset({"table", "ip_family"})),
    "sync_proxy_rules_iptables_last": ("gauge", frozenset({"table", "ip_family"})),
    "iptables_ct_state_invalid_dropped_packets_total": ("counter", frozenset()),
    "iptables_localhost_nodeports_accepted_packets_total": ("counter", frozenset()),
}
WHEN_IT_FAILS = {
    "sync_proxy_rules_iptables_restore_failures_total",
    "sync_proxy_rules_iptables_partial_restore_failures_total",
    "sync_proxy_rules_nftables_sync_failures_total",
    "sync_proxy_rules_nftables_cleanup_failures_total",
}

pytestmark = pytest.mark.root


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Node]:
    async with Node(tmp_path) as made:
        made.store.apply(node())
        made.store.apply(service(internalTrafficPolicy="Local"))
        remote = endpoint_slice("web", "10.244.2.1")
        remote["endpoints"][0]["nodeName"] = "elsewhere"
        # The time of a change before the proxy came is no delay of its own.
        remote["metadata"]["annotations"] = triggered(time.time() - 3600)
        made.store.apply(remote)
        yield made


async def scrape(here: Node) -> dict[str, Metric]:
    """The metrics by the name that their samples have."""
    _, text = await here.get("/metrics")
    found = {}
    for family in text_string_to_metric_families(text):
        found[family.name + ("_total" if family.type == "counter" else "")] = family
    return found


@pytest.mark.parametrize("mode", ["nftables", "iptables"])
async def test_every_row_of_kube_proxys_table(here: Node, mode: str) -> None:
    async with here.proxy(mode=mode):
        changed = endpoint_slice("web", "10.244.1.3", annotations=triggered(time.time()))
        here.store.apply(changed)
        await here.eventually(lambda: "10.244.1.3" in here.run("nft", "list", "ruleset") + here.run("iptables-save"))
        for path in ("/healthz", "/livez"):
            await here.get(path, 10256)
        metrics = await scrape(here)
    for name, bounds in HISTOGRAMS.items():
        family = metrics[f"kubeproxy_{name}"]
        assert family.type == "histogram"
        samples = [s for s in family.samples if s.name.endswith("_bucket") and s.labels["ip_family"] == "IPv4"]
        assert [float(s.labels["le"]) for s in samples] == pytest.approx([*bounds, float("inf")])
        assert samples[-1].value >= (0 if name.startswith("conntrack") else 1), f"{name} was never observed"
    for name, (kind, labels) in (OTHERS | (IPTABLES if mode == "iptables" else {})).items():
        family = metrics[f"kubeproxy_{name}"]
        assert family.type == kind, name
        assert {frozenset(sample.labels) for sample in family.samples} == {labels}, name
    for name in WHEN_IT_FAILS:
        assert f"kubeproxy_{name}" in metrics
    programmed = metrics["kubeproxy_network_programming_duration_seconds"].samples
    (seconds,) = [s.value for s in programmed if s.name.endswith("_sum") and s.labels["ip_family"] == "IPv4"]
    assert 0 < seconds < 15


async def test_ports_without_local_endpoints_are_counted_while_there_are_none(here: Node) -> None:
    def lacking(metrics: dict[str, Metric]) -> dict[str, float]:
        samples = metrics["kubeproxy_sync_proxy_rules_no_local_endpoints_total"].samples
        return {s.labels["traffic_policy"]: s.value for s in samples if s.labels["ip_family"] == "IPv4"}

    async with here.proxy():
        assert lacking(await scrape(here)) == {"internal": 1, "external": 0}
        here.store.apply(endpoint_slice("web", "10.244.1.3"))
        await scrape_until(here, lambda metrics: lacking(metrics) == {"internal": 0, "external": 0})


async def test_our_own_tell_of_objects_batches_and_the_watch(here: Node) -> None:
    async with here.proxy():
        here.run("nft", "delete", "table", "ip", "kube-proxy")
        metrics = await scrape_until(here, lambda metrics: own(metrics)["kproxy_repairs_total", "IPv4"] > 0)
    values = own(metrics)
    assert values["kproxy_repairs_total", "IPv4"] == 1
    assert values["kproxy_kernel_objects", "IPv4", "cluster-ips"] == 1
    assert values["kproxy_event_to_commit_duration_seconds_count",] >= 1
    assert values["kproxy_kernel_batch_bytes_sum", "IPv4"] > 100
    assert values["kproxy_relists_total", "endpointslices"] == 0
    assert 0 <= values["kproxy_watch_age_seconds", "services"] < 15


async def scrape_until(here: Node, holds: Callable[[dict[str, Metric]], bool]) -> dict[str, Metric]:
    """The kernel has a change a little before the metrics tell of it."""
    async with asyncio.timeout(PATIENCE):
        while not holds(metrics := await scrape(here)):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return metrics


def own(metrics: dict[str, Metric]) -> dict[tuple[str, ...], float]:
    """Each value of a metric that only this proxy has, by the name and the labels' values."""
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for name, family in metrics.items()
        if name.startswith("kproxy_")
        for sample in family.samples
    }


def triggered(seconds: float) -> dict[str, str]:
    """The annotation of a slice whose endpoints changed at a time."""
    from datetime import UTC, datetime

    return {"endpoints.kubernetes.io/last-change-trigger-time": datetime.fromtimestamp(seconds, UTC).isoformat()}
