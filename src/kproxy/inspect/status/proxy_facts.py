"""What a proxy's metrics and health server say, as parts of the report."""

import json

from kproxy.inspect.detection.endpoint import Answer, RunningProxy
from kproxy.inspect.status.histograms import durations
from kproxy.inspect.status.report import Changes, Failure, Health, Sync
from kproxy.services.addresses import Family

_PREFIX = "kubeproxy_sync_proxy_rules_"
_FAILURES = (
    f"{_PREFIX}iptables_restore_failures_total",
    f"{_PREFIX}iptables_partial_restore_failures_total",
    f"{_PREFIX}nftables_sync_failures_total",
    f"{_PREFIX}nftables_cleanup_failures_total",
)


def syncs(proxy: RunningProxy, now: float) -> tuple[Sync, ...]:
    """Each family's syncs.

    Versions before v1.33 have no label `ip_family`: what they say is of all families.

    Args:
        proxy: the one that answers
        now: in Unix time
    """
    families = [family.value for family in Family]
    labelled = {sample.labels.get("ip_family") for sample in proxy.values(f"{_PREFIX}last_timestamp_seconds")}
    chosen = [family for family in families if family in labelled] or (["all"] if labelled else [])
    found = []
    for family in chosen:
        labels = {} if family == "all" else {"ip_family": family}
        last = _gauge(proxy, f"{_PREFIX}last_timestamp_seconds", labels)
        queued = _gauge(proxy, f"{_PREFIX}last_queued_timestamp_seconds", labels)
        found.append(
            Sync(
                family=family,
                age=max(0.0, now - last) if last else None,
                pending=bool(queued and last is not None and queued > last),
                all=durations(proxy.samples, "kubeproxy_sync_proxy_rules_duration_seconds", **labels),
                full=durations(proxy.samples, "kubeproxy_sync_full_proxy_rules_duration_seconds", **labels),
                partial=durations(proxy.samples, "kubeproxy_sync_partial_proxy_rules_duration_seconds", **labels),
            )
        )
    return tuple(found)


def changes(proxy: RunningProxy, suffix: str) -> Changes:
    """Changes of Services and endpoints: `total`, or `pending` ones."""
    return Changes(
        services=int(_gauge(proxy, f"{_PREFIX}service_changes_{suffix}", {}) or 0),
        endpoints=int(_gauge(proxy, f"{_PREFIX}endpoint_changes_{suffix}", {}) or 0),
    )


def failures(proxy: RunningProxy) -> tuple[Failure, ...]:
    """The counters of failed syncs that are not zero."""
    counted = {name: sum(sample.value for sample in proxy.values(name)) for name in _FAILURES}
    return tuple(Failure(metric=name, count=int(count)) for name, count in counted.items() if count)


def health(answer: Answer | None) -> Health:
    """Read what `/healthz` answered."""
    if answer is None:
        return Health(healthy=False, status=None, node_eligible=None, detail="nothing answers /healthz")
    try:
        body = json.loads(answer.body)
    except ValueError:
        body = {}
    eligible = body.get("nodeEligible") if isinstance(body, dict) else None
    detail = "" if answer.status == 200 else f"/healthz answers {answer.status}"
    if answer.status != 200 and eligible is False:
        detail += ": the node is being deleted, or tainted for it"
    return Health(
        healthy=answer.status == 200,
        status=answer.status,
        node_eligible=eligible if isinstance(eligible, bool) else None,
        detail=detail,
    )


def _gauge(proxy: RunningProxy, name: str, labels: dict[str, str]) -> float | None:
    found = [
        sample.value
        for sample in proxy.values(name)
        if all(sample.labels.get(key) == value for key, value in labels.items())
    ]
    return max(found) if found else None
