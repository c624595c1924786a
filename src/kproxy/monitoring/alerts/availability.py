"""Is there a proxy on each node, and does it stay?"""

from kproxy.monitoring.promql import selecting
from kproxy.monitoring.rules import Alert, Severity, alert
from kproxy.monitoring.settings import Settings


def availability_alerts(settings: Settings) -> list[Alert]:
    """A proxy that is down leaves a node with working, but ageing rules."""
    select = selecting(f'job=~"{settings.job}"')
    up, started = select("up"), select("process_start_time_seconds")
    return [
        alert(
            "KubeProxyDown",
            Severity.CRITICAL,
            f"{up} == 0",
            lasting="5m",
            summary="The service proxy of a node does not answer",
            description="{{ $labels.instance }} has not answered Prometheus for 5 minutes. The rules it made still "
            "work, but follow no change: connections begin to fail as pods come and go. "
            "Is the pod running, and does `kproxy status` on the node answer?",
        ),
        alert(
            "KubeProxyAbsent",
            Severity.CRITICAL,
            f"absent({up})",
            lasting="10m",
            summary="Prometheus knows of no service proxy at all",
            description=f"No target has a job like {settings.job}. Either the proxies are gone, or nothing tells "
            "Prometheus of them: see the PodMonitor or ServiceMonitor, and metricsBindAddress, "
            "which is 127.0.0.1 unless configured.",
        ),
        alert(
            "KubeProxyMissingOnNodes",
            Severity.WARNING,
            f"count(kube_node_info) - count({up}) > 0",
            lasting="15m",
            summary="There are nodes without a service proxy",
            description="{{ $value }} nodes have no proxy that Prometheus knows of. A pod that does not exist has no "
            "target, so no other alert tells. See the DaemonSet's desired and current numbers. "
            "(Needs kube-state-metrics.)",
        ),
        alert(
            "KubeProxyRestarting",
            Severity.WARNING,
            f"changes({started}[1h]) > 3",
            lasting="0s",
            summary="A service proxy restarts again and again",
            description="The proxy on {{ $labels.instance }} was started {{ $value }} times in an hour. "
            "The last lines of its log say why: `kubectl logs --previous`.",
        ),
    ]
