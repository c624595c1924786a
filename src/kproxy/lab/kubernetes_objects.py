"""The lab in the words of the Kubernetes API: its Nodes, and Services with the slices a controller makes."""

from ipaddress import ip_address
from typing import Any, TypeAlias

import msgspec

from kproxy.lab.topology import NODE_OF, NODES, PODS, ClusterNode

Manifest: TypeAlias = dict[str, Any]
"""A Kubernetes object as JSON."""

NAMESPACE = "default"


class EndpointDefinition(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A pod behind a Service; conditions and hints as in `discovery.k8s.io/v1`."""

    pod: str
    conditions: dict[str, bool | None] = msgspec.field(default_factory=lambda: {"ready": True})
    hints: dict[str, Any] | None = None


class ServiceDefinition(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A Service and what is behind it.

    `spec` and `status` are the API's own. Each list in `slices` is one EndpointSlice per IP family; a pod is
    named, or given as an `EndpointDefinition`. The slices' ports follow from the Service's, as an
    EndpointSlice controller has it, so each port needs a numeric targetPort.
    """

    spec: dict[str, Any]
    slices: list[list[str | EndpointDefinition]] = []
    families: list[str] | None = None
    """The slices' address types; those of the Service's cluster IPs if left out."""
    labels: dict[str, str] = {}
    status: dict[str, Any] | None = None


def service(name: str, definition: ServiceDefinition) -> Manifest:
    metadata = {"name": name, "namespace": NAMESPACE, "labels": definition.labels}
    built: Manifest = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": definition.spec}
    return built if definition.status is None else {**built, "status": definition.status}


def endpoint_slices(name: str, definition: ServiceDefinition) -> list[Manifest]:
    """The EndpointSlices of a Service.

    Raises:
        KeyError: an endpoint names a pod that the lab does not have, or a port lacks its targetPort.
    """
    ports = [
        {"name": port.get("name", ""), "protocol": port.get("protocol", "TCP"), "port": port["targetPort"]}
        for port in definition.spec["ports"]
    ]
    return [
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": f"{name}-{family.lower()}-{number}",
                "namespace": NAMESPACE,
                "labels": {"kubernetes.io/service-name": name},
            },
            "addressType": family,
            "ports": ports,
            "endpoints": [_endpoint(pod, 6 if family == "IPv6" else 4) for pod in pods],
        }
        for family in definition.families or _families(definition.spec)
        for number, pods in enumerate(definition.slices, 1)
    ]


def _families(spec: dict[str, Any]) -> list[str]:
    addresses = [address for address in spec.get("clusterIPs") or [spec["clusterIP"]] if address != "None"]
    return [f"IPv{ip_address(address).version}" for address in addresses] or ["IPv4"]


def _endpoint(pod: str | EndpointDefinition, version: int) -> Manifest:
    definition = EndpointDefinition(pod) if isinstance(pod, str) else pod
    node = NODE_OF[definition.pod]
    endpoint = {
        "addresses": [str(PODS[definition.pod].address.of(version))],
        "conditions": definition.conditions,
        "nodeName": node.name,
        "zone": node.zone,
    }
    return endpoint if definition.hints is None else {**endpoint, "hints": definition.hints}


def nodes() -> list[Manifest]:
    """The lab's Nodes, as a kubelet would register them."""
    return [_node(node) for node in NODES]


def _node(node: ClusterNode) -> Manifest:
    cidrs = [str(cidr) for cidr in node.pod_cidrs]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": node.name,
            "labels": {"kubernetes.io/hostname": node.name, "topology.kubernetes.io/zone": node.zone},
        },
        "spec": {"podCIDR": cidrs[0], "podCIDRs": cidrs},
        "status": {
            "addresses": [
                *({"type": "InternalIP", "address": str(address.ip)} for address in node.address),
                {"type": "Hostname", "address": node.name},
            ]
        },
    }
