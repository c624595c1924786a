"""The daemon's own metrics: those that every kube-proxy has, and those of ours."""

from typing import Final

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from kproxy.lab.proxy import METRICS

_PATIENCE: Final = 30.0
"""Seconds for an answer: a first one under emulation takes several."""
_PREFIXES: Final = ("kubeproxy_", "kproxy_")
_LEFT_OUT: Final = ("_bucket", "_created", "_timestamp_seconds")
_SYNC: Final = "kubeproxy_sync_proxy_rules_duration_seconds"
_FIRST_SYNC: Final = ("kubeproxy_sync_full_proxy_rules_duration_seconds", _SYNC)


class MetricsError(Exception):
    """The daemon's metrics cannot be had; the message says why, on one line."""


async def scrape(http: aiohttp.ClientSession, url: str = f"http://{METRICS}/metrics") -> dict[str, float]:
    """Sums, counts and gauges by name and labels.

    Raises:
        MetricsError: nothing answers there, or what answers has no metrics
    """
    try:
        async with http.get(url, timeout=aiohttp.ClientTimeout(total=_PATIENCE), raise_for_status=True) as response:
            text = await response.text()
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    except (aiohttp.ClientConnectionError, TimeoutError) as error:
        raise MetricsError(f"{url}: no answer") from error
    except (aiohttp.ClientError, ValueError) as error:
        raise MetricsError(f"{url}: {' '.join(str(error).split())}") from error
    return {
        _name(sample.name, sample.labels): sample.value
        for sample in samples
        if sample.name.startswith(_PREFIXES) and not sample.name.endswith(_LEFT_OUT)
    }


def first_sync(metrics: dict[str, float]) -> float | None:
    """Seconds of full syncs up to now, IPv4's where they are told apart; for use before anything changes."""
    for name in _FIRST_SYNC:
        sums = [metrics.get(f"{name}_sum{labels}", 0.0) for labels in ("{ip_family=IPv4}", "")]
        if any(sums):
            return max(sums)
    return None


def mean_sync(before: dict[str, float], after: dict[str, float]) -> float | None:
    """Seconds of a sync between two scrapes, IPv4's where families are told apart; None where there was none."""
    for labels in ("{ip_family=IPv4}", ""):
        seconds, count = (
            after.get(name, 0.0) - before.get(name, 0.0) for name in (f"{_SYNC}_sum{labels}", f"{_SYNC}_count{labels}")
        )
        if count > 0:
            return seconds / count
    return None


def _name(name: str, labels: dict[str, str]) -> str:
    listed = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    return f"{name}{{{listed}}}" if listed else name
