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


class SliceDefinition(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One EndpointSlice per IP family, whose ports have other numbers than the Service's targetPorts say."""

    endpoints: list[str | EndpointDefinition]
    target_ports: dict[str, int] = msgspec.field(default_factory=dict, name="targetPorts")
    """The numbers, by the name of the Service's port."""


class ServiceDefinition(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A Service and what is behind it.

    `spec` and `status` are the API's own, but that a port numbered `FIRST-LAST` stands for one port for each
    of these numbers, named after it (`p8000`). Each list in `slices` is one EndpointSlice per IP family; a pod
    is named, or given as an `EndpointDefinition`. The slices' ports follow from the Service's, as an
    EndpointSlice controller has it, so each port needs a numeric targetPort where no `SliceDefinition` has one.
    """

    spec: dict[str, Any]
    slices: list[list[str | EndpointDefinition] | SliceDefinition] = []
    families: list[str] | None = None
    """The slices' address types; those of the Service's cluster IPs if left out."""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    status: dict[str, Any] | None = None


def service(name: str, definition: ServiceDefinition) -> Manifest:
    metadata = {
        "name": name,
        "namespace": NAMESPACE,
        "labels": definition.labels,
        "annotations": definition.annotations,
    }
    spec = {**definition.spec, "ports": _ports(definition)}
    built: Manifest = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
    return built if definition.status is None else {**built, "status": definition.status}


def endpoint_slices(name: str, definition: ServiceDefinition) -> list[Manifest]:
    """The EndpointSlices of a Service.

    Raises:
        KeyError: an endpoint names a pod that the lab does not have, or a port lacks its targetPort.
    """
    ports = _ports(definition)
    slices = [each if isinstance(each, SliceDefinition) else SliceDefinition(each) for each in definition.slices]
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
            "ports": [_slice_port(port, each) for port in ports],
            "endpoints": [_endpoint(pod, 6 if family == "IPv6" else 4) for pod in each.endpoints],
        }
        for family in definition.families or _families(definition.spec)
        for number, each in enumerate(slices, 1)
    ]


def _ports(definition: ServiceDefinition) -> list[Manifest]:
    ports = []
    for port in definition.spec["ports"]:
        first, dash, last = str(port["port"]).partition("-")
        if dash:
            numbers = range(int(first), int(last) + 1)
            ports += [{**port, "name": f"p{number}", "port": number} for number in numbers]
        else:
            ports.append(port)
    return ports


def _slice_port(port: Manifest, definition: SliceDefinition) -> Manifest:
    name = port.get("name", "")
    number = definition.target_ports[name] if name in definition.target_ports else port["targetPort"]
    return {"name": name, "protocol": port.get("protocol", "TCP"), "port": number}


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
