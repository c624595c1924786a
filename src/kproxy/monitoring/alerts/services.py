"""Are Services served as the cluster describes them?"""

from kproxy.monitoring.promql import selecting
from kproxy.monitoring.rules import Alert, Severity, alert
from kproxy.monitoring.settings import Settings


def service_alerts(settings: Settings) -> list[Alert]:
    """What single Services suffer from, while the proxy itself is well."""
    select = selecting(f'job=~"{settings.job}"')
    left_out, repairs = select("kproxy_services_left_out"), select("kproxy_repairs_total")
    no_local = select("kubeproxy_sync_proxy_rules_no_local_endpoints_total", 'traffic_policy="internal"')
    refused = select("kproxy_userspace_connections_refused_total", 'reason="limit"')
    return [
        alert(
            "KubeProxyServicesLeftOut",
            Severity.WARNING,
            f"{left_out} > 0",
            lasting="5m",
            summary="The kernel refuses Services of a node",
            description="{{ $value }} Services are not served on {{ $labels.instance }} ({{ $labels.ip_family }}): the "
            "kernel refused their rules. Events with the reason LeftOut and the log name them.",
        ),
        alert(
            "KubeProxyRulesDrift",
            Severity.WARNING,
            f"round(increase({repairs}[1h])) > 2",
            lasting="0s",
            summary="Something else changes the proxy's rules",
            description="The rules on {{ $labels.instance }} ({{ $labels.ip_family }}) had to be repaired {{ $value }} "
            "times within an hour. A firewall that is reloaded, or a second proxy? `kproxy doctor` looks for both.",
        ),
        alert(
            "KubeProxyNoLocalEndpoints",
            Severity.WARNING,
            # Not with the external policy: there a load balancer passes by nodes without endpoints, as it should.
            f"{no_local} > 0",
            lasting="15m",
            summary="Services with internalTrafficPolicy Local have no endpoint on a node",
            description="Pods on {{ $labels.instance }} cannot reach {{ $value }} Service ports "
            "({{ $labels.ip_family }}): their internalTrafficPolicy is Local, and all their endpoints are elsewhere. "
            "Usually a DaemonSet lacks a pod on that node.",
        ),
        alert(
            "KubeProxyUserspaceRefusesConnections",
            Severity.WARNING,
            f"rate({refused}[5m]) > 0",
            lasting="5m",
            summary="userspace mode refuses connections",
            description="{{ $labels.instance }} resets {{ $value | humanize }} connections a second, as its limit "
            "of connections is reached.",
        ),
    ]
