"""Short ways to write API objects in tests."""

from collections.abc import Iterable
from typing import Any

import msgspec

from kproxy.services.objects import EndpointSlice, KubeObject, Node, Service
from kproxy.services.tracker import ServiceTracker


def service(name: str = "web", **spec: Any) -> Service:
    """A ClusterIP Service with one port, changed by `spec` (API field names)."""
    created = spec.pop("created", "2026-01-01T00:00:00Z")
    metadata: dict[str, Any] = {"name": name, "namespace": "default", "creationTimestamp": created}
    metadata |= {field: spec.pop(field) for field in ("labels", "annotations") if field in spec}
    status = {"loadBalancer": {"ingress": spec.pop("ingress", [])}}
    full = {"clusterIP": "10.96.0.10", "ports": [{"name": "http", "port": 80}], **spec}
    return msgspec.convert({"metadata": metadata, "spec": full, "status": status}, Service)


def endpoint(address: str, **fields: Any) -> dict[str, Any]:
    """An endpoint; `ready`, `serving` and `terminating` go to its conditions, `zones` and `nodes` to its hints."""
    conditions = {key: fields.pop(key) for key in ("ready", "serving", "terminating") if key in fields}
    hints = {}
    if "zones" in fields:
        hints["forZones"] = [{"name": zone} for zone in fields.pop("zones")]
    if "nodes" in fields:
        hints["forNodes"] = [{"name": node} for node in fields.pop("nodes")]
    made = {"addresses": [address], "conditions": conditions, **fields}
    return {**made, "hints": hints} if hints else made


def slice_of(
    service_name: str,
    *endpoints: dict[str, Any] | str,
    name: str = "",
    ports: tuple[tuple[str, int], ...] = (("http", 8080),),
    protocol: str = "TCP",
    family: str = "IPv4",
    **metadata: Any,
) -> EndpointSlice:
    """An EndpointSlice of a Service; an endpoint may be just its address."""
    made = {
        "metadata": {
            "name": name or f"{service_name}-1",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": service_name},
            **metadata,
        },
        "addressType": family,
        "ports": [{"name": port_name, "port": port, "protocol": protocol} for port_name, port in ports],
        "endpoints": [endpoint(e) if isinstance(e, str) else e for e in endpoints],
    }
    return msgspec.convert(made, EndpointSlice)


def node(name: str = "here", zone: str = "", **spec: Any) -> Node:
    """A Node."""
    labels = {"topology.kubernetes.io/zone": zone} if zone else {}
    addresses = [{"type": "InternalIP", "address": a} for a in spec.pop("addresses", [])]
    made = {"metadata": {"name": name, "labels": labels}, "spec": spec, "status": {"addresses": addresses}}
    return msgspec.convert(made, Node)


def tracker_of(objects: Iterable[KubeObject], node: str = "here") -> ServiceTracker:
    """A tracker that knows the objects."""
    tracker = ServiceTracker(node)
    for obj in objects:
        tracker.upsert(obj)
    return tracker
