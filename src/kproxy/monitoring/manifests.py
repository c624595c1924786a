"""What the Prometheus operator is told: which pods to scrape, and which rules to load."""

from typing import Any, TypeAlias

import msgspec

from kproxy.monitoring.rule_file import rule_file
from kproxy.monitoring.settings import Settings

Manifest: TypeAlias = dict[str, Any]

_GROUP = "monitoring.coreos.com/v1"
_NAMESPACE = "kube-system"
_INTERVAL = "30s"

_NODE_AS_INSTANCE = [
    # As the node exporter's targets are named by kube-prometheus; and a node keeps its name when the pod is replaced.
    {"action": "replace", "sourceLabels": ["__meta_kubernetes_pod_node_name"], "targetLabel": "instance"},
]


def prometheus_rule(settings: Settings) -> Manifest:
    """The rules as an object; the same as the rule file."""
    return {
        "apiVersion": _GROUP,
        "kind": "PrometheusRule",
        "metadata": _metadata("kube-proxy-rules", {"role": "alert-rules"}),
        "spec": msgspec.to_builtins(rule_file(settings)),
    }


def pod_monitor() -> Manifest:
    """Scrapes the pods of kproxy's DaemonSet, whose container port `metrics` it uses."""
    return {
        "apiVersion": _GROUP,
        "kind": "PodMonitor",
        "metadata": _metadata("kproxy", {}),
        "spec": {
            "jobLabel": "k8s-app",
            "namespaceSelector": {"matchNames": [_NAMESPACE]},
            "selector": {"matchLabels": {"k8s-app": "kproxy"}},
            "podMetricsEndpoints": [{"port": "metrics", "interval": _INTERVAL, "relabelings": _NODE_AS_INSTANCE}],
        },
    }


def kube_proxy_service() -> Manifest:
    """A Service without an address, for a ServiceMonitor: kubeadm's DaemonSet names no port that a PodMonitor could."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata("kube-proxy-metrics", {"k8s-app": "kube-proxy"}),
        "spec": {
            "clusterIP": "None",
            "selector": {"k8s-app": "kube-proxy"},
            "ports": [{"name": "metrics", "port": 10249, "targetPort": 10249, "protocol": "TCP"}],
        },
    }


def kube_proxy_service_monitor() -> Manifest:
    """Scrapes the stock kube-proxy through that Service."""
    return {
        "apiVersion": _GROUP,
        "kind": "ServiceMonitor",
        "metadata": _metadata("kube-proxy", {}),
        "spec": {
            "jobLabel": "k8s-app",
            "namespaceSelector": {"matchNames": [_NAMESPACE]},
            "selector": {"matchLabels": {"k8s-app": "kube-proxy"}},
            "endpoints": [{"port": "metrics", "interval": _INTERVAL, "relabelings": _NODE_AS_INSTANCE}],
        },
    }


def _metadata(name: str, labels: dict[str, str]) -> dict[str, Any]:
    return {
        "name": name,
        "namespace": _NAMESPACE,
        "labels": {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "kproxy", **labels},
    }
