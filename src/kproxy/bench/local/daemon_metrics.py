"""The daemon's own metrics: those that every kube-proxy has, and those of ours."""

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from kproxy.lab.proxy import METRICS

_PREFIXES = ("kubeproxy_", "kproxy_")
_LEFT_OUT = ("_bucket", "_created", "_timestamp_seconds")
_FIRST_SYNC = ("kubeproxy_sync_full_proxy_rules_duration_seconds", "kubeproxy_sync_proxy_rules_duration_seconds")


async def scrape(http: aiohttp.ClientSession, url: str = f"http://{METRICS}/metrics") -> dict[str, float]:
    """Sums, counts and gauges by name and labels; empty when the daemon does not answer."""
    try:
        async with http.get(url) as response:
            text = await response.text()
    except (aiohttp.ClientError, TimeoutError):
        return {}
    return {
        _name(sample.name, sample.labels): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith(_PREFIXES) and not sample.name.endswith(_LEFT_OUT)
    }


def first_sync(metrics: dict[str, float]) -> float | None:
    """Seconds of full syncs up to now, IPv4's where they are told apart; for use before anything changes."""
    for name in _FIRST_SYNC:
        sums = [metrics.get(f"{name}_sum{labels}", 0.0) for labels in ("{ip_family=IPv4}", "")]
        if any(sums):
            return max(sums)
    return None


def _name(name: str, labels: dict[str, str]) -> str:
    listed = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    return f"{name}{{{listed}}}" if listed else name
