"""Do the rules follow the cluster, and at what cost?"""

from kproxy.monitoring.promql import Select, selecting
from kproxy.monitoring.recordings import SYNC_P99
from kproxy.monitoring.rules import Alert, Severity, alert
from kproxy.monitoring.settings import Settings

_LARGEST_BUCKET = 16.384
"""Of the histogram of syncs, in seconds. No quantile that Prometheus computes of it exceeds this."""

_WHERE = "on {{ $labels.instance }} ({{ $labels.ip_family }})"


def sync_alerts(settings: Settings) -> list[Alert]:
    """From slow to not at all."""
    select = selecting(f'job=~"{settings.job}"')
    return [*_slow(), _lagging(select), *_failing(select), _busy(select)]


def _slow() -> list[Alert]:
    return [
        alert(
            "KubeProxySyncRulesSlow",
            Severity.WARNING,
            f"{SYNC_P99} > 5",
            lasting="10m",
            summary="Syncs of a node's rules are slow",
            description=f"One sync in a hundred {_WHERE} takes more than {{{{ $value | humanizeDuration }}}}; changes "
            "wait as long. Is the node short of CPU, or does another program hold the xtables lock? "
            "With many Services, nftables mode is the one whose syncs stay short.",
        ),
        alert(
            "KubeProxySyncRulesVerySlow",
            Severity.CRITICAL,
            f"{SYNC_P99} >= {_LARGEST_BUCKET}",
            lasting="5m",
            summary="Syncs of a node's rules take longer than can be measured",
            description=f"One sync in a hundred {_WHERE} takes more than {_LARGEST_BUCKET} s, the largest bucket. "
            "Connections to pods that are gone fail as long.",
        ),
    ]


def _lagging(select: Select) -> Alert:
    prefix = "kubeproxy_sync_proxy_rules_last"
    synced, queued = select(f"{prefix}_timestamp_seconds"), select(f"{prefix}_queued_timestamp_seconds")
    return alert(
        "KubeProxySyncLag",
        Severity.CRITICAL,
        f"time() - {synced} > 120\n  and {queued} > {synced}",
        lasting="2m",
        summary="A node's rules no longer follow the cluster",
        description=f"The rules {_WHERE} were last synced {{{{ $value | humanizeDuration }}}} ago, and changes wait. "
        "New connections go to endpoints that may be gone. The proxy's log has the reason; "
        "`kproxy diff` shows what differs.",
    )


def _failing(select: Select) -> list[Alert]:
    failures = {
        "KubeProxyIPTablesRestoreFailures": (
            "kubeproxy_sync_proxy_rules_iptables_restore_failures_total",
            "iptables-restore refuses a node's rules",
            "Its message is in the proxy's log: a busy lock, a missing kernel module, or rules changed by others.",
        ),
        "KubeProxyNFTablesSyncFailures": (
            "kubeproxy_sync_proxy_rules_nftables_sync_failures_total",
            "nf_tables refuses a node's rules",
            "The kernel's message is in the proxy's log. `kproxy diff --repair` writes the table anew.",
        ),
    }
    return [
        alert(
            name,
            Severity.WARNING,
            # An increase over a scraped counter is rarely a whole number: two failures may look like 2.07.
            f"round(increase({select(metric)}[15m])) > 2",
            lasting="0s",
            summary=summary,
            description=f"{{{{ $value }}}} syncs {_WHERE} failed within 15 minutes. {remedy}",
        )
        for name, (metric, summary, remedy) in failures.items()
    ]


def _busy(select: Select) -> Alert:
    changes = select("kubeproxy_sync_proxy_rules_endpoint_changes_total")
    return alert(
        "KubeProxyEndpointChangesHigh",
        Severity.WARNING,
        # Each node counts each change: a sum over nodes would tell the size of the cluster.
        f"max by (job) (rate({changes}[5m])) > 100",
        lasting="10m",
        summary="Endpoints change at a high rate",
        description="{{ $value | humanize }} endpoint changes a second reach each node. Look for pods whose readiness "
        "flaps: `kubectl get endpointslices --all-namespaces --watch`.",
    )
