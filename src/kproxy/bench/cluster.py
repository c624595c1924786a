"""A cluster of any size, as API objects."""

from typing import Any, NamedTuple


class Size(NamedTuple):
    services: int
    endpoints: int
    """Of each Service."""
    mixed: bool = False
    """One Service in ten has session affinity, one in ten is a load balancer with externalTrafficPolicy Local, and
    one in twenty a load balancer with source ranges; otherwise all are plain ClusterIPs."""

    def __str__(self) -> str:
        return f"{self.services:,} Services × {self.endpoints}{', mixed' if self.mixed else ''}"

    @property
    def total(self) -> int:
        return self.services * self.endpoints


SERVICE_NETWORK = "10.96.0.0/12"
POD_NETWORK = "40.0.0.0/8"
CHANGED_NETWORK = "200.0.0.0/8"
"""Where endpoints are that replaced another."""


def _address(network: int, number: int) -> str:
    return f"{network}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def cluster_ip(number: int) -> str:
    """The address of a Service."""
    return _address(10, (96 << 16) + number + 1)


def pod_address(member: int) -> str:
    """The address of an endpoint, counted over all Services."""
    return _address(40, member)


def changed_address(offset: int) -> str:
    """The address of an endpoint that replaced a Service's last one; see `endpoint_slices`."""
    return _address(200, offset)


def service(number: int, *, mixed: bool = False) -> dict[str, Any]:
    """A Service with one port, as an API server stores it."""
    ip = cluster_ip(number)
    made: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": f"service-{number}",
            "namespace": "bench",
            "uid": f"00000000-0000-0000-0000-{number:012x}",
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {
            "type": "ClusterIP",
            "clusterIP": ip,
            "clusterIPs": [ip],
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "internalTrafficPolicy": "Cluster",
            "sessionAffinity": "None",
            "selector": {"app": f"app-{number}"},
            "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}],
        },
        "status": {"loadBalancer": {}},
    }
    spec, kind = made["spec"], number % 20 if mixed else 0
    if kind in (1, 11):
        spec["sessionAffinity"] = "ClientIP"
        spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": 10800}}
    elif kind in (2, 12, 3):
        spec |= {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False}
        made["status"] = {"loadBalancer": {"ingress": [{"ip": _address(90, number + 1), "ipMode": "VIP"}]}}
        if kind == 3:
            spec["loadBalancerSourceRanges"] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]
            spec["externalTrafficPolicy"] = "Cluster"
        else:
            spec["externalTrafficPolicy"] = "Local"
    return made


def endpoint_slices(number: int, endpoints: int, *, offset: int = 0) -> list[dict[str, Any]]:
    """The slices of a Service, 100 endpoints each, as the endpoint slice controller writes them.

    Args:
        number: of the Service
        endpoints: how many it has
        offset: moves the last endpoint to another address, for a change
    """
    first = number * endpoints
    found = []
    for start in range(0, endpoints, 100):
        members = range(first + start, first + min(start + 100, endpoints))
        last = first + endpoints - 1
        addresses = [pod_address(m) if m != last or not offset else changed_address(offset) for m in members]
        found.append(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "name": f"service-{number}-{start // 100:05d}",
                    "namespace": "bench",
                    "labels": {
                        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                        "kubernetes.io/service-name": f"service-{number}",
                    },
                    "creationTimestamp": "2026-01-01T00:00:00Z",
                },
                "addressType": "IPv4",
                "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
                "endpoints": [_endpoint(m, address) for m, address in zip(members, addresses, strict=True)],
            }
        )
    return found


def _endpoint(member: int, address: str) -> dict[str, Any]:
    return {
        "addresses": [address],
        "conditions": {"ready": True, "serving": True, "terminating": False},
        "nodeName": f"node-{member % 100}",
        "zone": "abc"[member % 3],
        "targetRef": {
            "kind": "Pod",
            "name": f"pod-{member}",
            "namespace": "bench",
            "uid": f"00000000-0000-0000-0001-{member:012x}",
        },
    }
