"""Objects and paths that the tests share."""

from typing import Any

SERVICES = "/api/v1/namespaces/default/services"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"


def service(name: str = "web", *, namespace: str = "default", labels: dict[str, str] | None = None, **spec: Any) -> Any:
    """A Service with one port, unless the spec says otherwise."""
    meta = {"name": name, "namespace": namespace} | ({"labels": labels} if labels else {})
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"ports": [{"port": 80}], **spec}}


def endpoint_slice(name: str = "web-1", *addresses: str) -> Any:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "namespace": "default"},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address]} for address in addresses or ("10.1.0.1",)],
        "ports": [{"name": "http", "port": 8080}],
    }
