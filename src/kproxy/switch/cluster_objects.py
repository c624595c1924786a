"""The objects of a kube-proxy in a cluster: its ConfigMap, its DaemonSet, its pods and their nodes."""

import math
from typing import Any, NamedTuple

import yaml

from kproxy.config.types import KIND
from kproxy.sources.yaml_loading import load_yaml
from kproxy.switch.cluster_client import ClusterClient, Json
from kproxy.switch.plan import SwitchError


class Place(NamedTuple):
    """Where the proxy is in the cluster; the defaults are kubeadm's."""

    namespace: str = "kube-system"
    config_map: str = "kube-proxy"
    daemon_set: str = "kube-proxy"

    @property
    def config_maps(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/configmaps"

    @property
    def config_map_path(self) -> str:
        return f"{self.config_maps}/{self.config_map}"

    @property
    def daemon_set_path(self) -> str:
        return f"/apis/apps/v1/namespaces/{self.namespace}/daemonsets/{self.daemon_set}"

    @property
    def pods(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/pods"


class ProxyPod(NamedTuple):
    name: str
    uid: str
    node: str
    ready: bool


def configuration_key(config_map: Json) -> str:
    """The entry of the ConfigMap that is the proxy's configuration; kubeadm calls it `config.conf`.

    Raises:
        SwitchError: none is, or several are
    """
    found = [key for key, text in (config_map.get("data") or {}).items() if _is_configuration(text)]
    if len(found) != 1:
        name = config_map["metadata"]["name"]
        raise SwitchError(f"ConfigMap {name}: {'no entry' if not found else 'several entries'} of kind {KIND}")
    return str(found[0])


def _is_configuration(text: Any) -> bool:
    try:
        tree = load_yaml(text)
    except (yaml.YAMLError, ValueError, RecursionError, AttributeError):
        return False
    return isinstance(tree, dict) and tree.get("kind") == KIND


async def proxy_pods(client: ClusterClient, place: Place, daemon_set: Json) -> list[ProxyPod]:
    """The DaemonSet's pods that are not being deleted, by node."""
    labels = daemon_set["spec"]["selector"].get("matchLabels") or {}
    selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    pods = await client.items(place.pods, selector)
    found = [
        ProxyPod(
            pod["metadata"]["name"],
            pod["metadata"].get("uid", ""),
            (pod.get("spec") or {}).get("nodeName", ""),
            _is_ready(pod),
        )
        for pod in pods
        if not pod["metadata"].get("deletionTimestamp")
    ]
    return sorted((pod for pod in found if pod.node), key=lambda pod: pod.node)


def _is_ready(pod: Json) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(condition.get("type") == "Ready" and condition.get("status") == "True" for condition in conditions)


def max_unavailable(daemon_set: Json, nodes: int) -> int:
    """How many nodes may be without a proxy at a time; as for DaemonSets, a share is rounded up, and 1 the least."""
    strategy = (daemon_set["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
    value = strategy.get("maxUnavailable", 1)
    if isinstance(value, str) and value.endswith("%") and value[:-1].isdecimal():
        return max(1, math.ceil(nodes * int(value[:-1]) / 100))
    return max(1, int(value)) if isinstance(value, int) or str(value).isdecimal() else 1


def internal_ip(node: Json) -> str:
    """The address by which a node is reached; empty without one."""
    addresses = (node.get("status") or {}).get("addresses") or ()
    return next((a.get("address", "") for a in addresses if a.get("type") == "InternalIP"), "")


def node_ports(services: list[Json]) -> list[int]:
    """The TCP NodePorts of Services that every node answers on."""
    return sorted(
        {
            port["nodePort"]
            for service in services
            if (service.get("spec") or {}).get("externalTrafficPolicy", "Cluster") != "Local"
            for port in (service.get("spec") or {}).get("ports") or ()
            if port.get("nodePort") and port.get("protocol", "TCP") == "TCP"
        }
    )
