"""Has connection tracking room for new connections? Without, the kernel drops their packets, of Services or not."""

from kproxy.monitoring.recordings import CONNTRACK
from kproxy.monitoring.rules import Alert, Severity, alert

_REMEDY = (
    "Raise conntrack.maxPerCore in the proxy's configuration, or find who opens so many: `conntrack -L`, "
    "`kproxy doctor`."
)


def conntrack_alerts() -> list[Alert]:
    """By kproxy's own metrics, and by the node exporter's where kube-proxy runs, which has none."""
    return [
        alert(
            "KubeProxyConntrackNearlyFull",
            Severity.WARNING,
            f"{CONNTRACK} > 0.8",
            lasting="15m",
            summary="The table of connection tracking fills up",
            description="{{ $value | humanizePercentage }} of it is in use on {{ $labels.instance }}. " + _REMEDY,
        ),
        alert(
            "KubeProxyConntrackFull",
            Severity.CRITICAL,
            f"{CONNTRACK} > 0.95",
            lasting="2m",
            summary="The table of connection tracking is full",
            description="{{ $value | humanizePercentage }} of it is in use on {{ $labels.instance }}: new connections "
            "are dropped, or are about to be. " + _REMEDY,
        ),
        alert(
            "KubeProxyConntrackDrops",
            Severity.CRITICAL,
            'max by (instance) (\n  rate(kproxy_conntrack_losses_total{reason="drop"}[5m])\n'
            "  or\n  rate(node_nf_conntrack_stat_drop[5m])\n) > 0",
            lasting="5m",
            summary="Connection tracking drops packets",
            description="{{ $labels.instance }} drops {{ $value | humanize }} packets a second, as there is no room "
            "for their connections. " + _REMEDY,
        ),
    ]
