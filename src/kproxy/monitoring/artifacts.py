"""The files of `deploy/monitoring`, by name."""

from collections.abc import Mapping

from kproxy.monitoring.dashboard.dashboard import dashboard, to_json
from kproxy.monitoring.manifests import (
    Manifest,
    kube_proxy_service,
    kube_proxy_service_monitor,
    pod_monitor,
    prometheus_rule,
)
from kproxy.monitoring.rule_file import rule_file, to_yaml
from kproxy.monitoring.settings import Settings

_HEADER = "# Made by `kproxy monitoring write`; change the settings there, not this file.\n"


def artifacts(settings: Settings) -> Mapping[str, str]:
    """What each file holds.

    Args:
        settings: checked
    """
    return {
        "rules.yaml": _HEADER + to_yaml(rule_file(settings)),
        "prometheus-rule.yaml": _documents(prometheus_rule(settings)),
        "pod-monitor.yaml": _documents(pod_monitor()),
        "kube-proxy-service-monitor.yaml": _documents(kube_proxy_service(), kube_proxy_service_monitor()),
        "dashboard.json": to_json(dashboard(settings)),
    }


def _documents(*manifests: Manifest) -> str:
    return _HEADER + "---\n".join(map(to_yaml, manifests))
