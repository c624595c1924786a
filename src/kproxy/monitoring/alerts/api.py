"""Does the proxy hear what changes? While it does not, its rules age, and no other alert tells."""

from kproxy.monitoring.promql import selecting
from kproxy.monitoring.rules import Alert, Severity, alert
from kproxy.monitoring.settings import Settings


def api_alerts(settings: Settings) -> list[Alert]:
    """Of the API server, as the proxy sees it."""
    select = selecting(f'job=~"{settings.job}"')
    age, relists, requests = (
        select("kproxy_watch_age_seconds"),
        select("kproxy_relists_total"),
        "rest_client_requests_total",
    )
    failed = select(requests, 'code!~"2.."')
    return [
        alert(
            "KubeProxyWatchStale",
            Severity.CRITICAL,
            f"{age} > 900",
            lasting="5m",
            summary="A proxy has not heard of the API server for long",
            description="{{ $labels.instance }} has heard nothing of {{ $labels.resource }} for "
            "{{ $value | humanizeDuration }}, not even that nothing changes. Its rules are as old. "
            "Can the node reach the API server, by the address in the proxy's kubeconfig?",
        ),
        alert(
            "KubeProxyRelists",
            Severity.WARNING,
            f"round(increase({relists}[1h])) > 5",
            lasting="0s",
            summary="A proxy has to list all objects again and again",
            description="{{ $labels.instance }} listed all {{ $labels.resource }} {{ $value }} times within an hour: "
            "its watches end before it can go on from them. That costs the API server most when it is loaded already.",
        ),
        alert(
            "KubeProxyApiErrors",
            Severity.WARNING,
            f"sum by (job, instance) (rate({failed}[10m]))\n"
            f"  / sum by (job, instance) (rate({select(requests)}[10m])) > 0.1",
            lasting="15m",
            summary="A proxy's requests to the API server fail",
            description="{{ $value | humanizePercentage }} of the requests of {{ $labels.instance }} fail. "
            "The dashboard has their codes: 401 and 403 are credentials and roles, 429 is overload.",
        ),
    ]
