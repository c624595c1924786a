"""A manifest of any content: objects of the known kinds, or problems with their lines."""

from pathlib import Path

from kproxy.services.objects import EndpointSlice, Node, Service
from kproxy.sources.manifest_files import object_key, parse_manifest

WORDS = (
    *(
        "apiVersion: v1",
        "kind: Service",
        "kind: List",
        "kind: EndpointSlice",
        "discovery.k8s.io/v1",
        "metadata",
        "name",
    ),
    *("namespace", "labels", "spec", "clusterIP", "clusterIPs", "ports", "port", "protocol", "targetPort", "endpoints"),
    *("addresses", "addressType", "conditions", "items", "---\n", "&a", "*a", "<<", "!!int", "!!timestamp", "!!set"),
)

_SERVICE = b"""
apiVersion: v1
kind: Service
metadata: {name: web, labels: {since: 2026-01-01}}
spec:
  clusterIP: 10.96.0.10
  ports: &ports
  - {name: http, port: 80, protocol: null}
---
apiVersion: v1
kind: NodeList
items:
- metadata: {name: n1}
  spec: {podCIDRs: [10.1.0.0/24]}
"""
_SLICES = b"""
{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
 "metadata": {"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}}, "ports": [{"port": 8080}],
 "endpoints": [{"addresses": ["10.1.0.1"], "conditions": {"ready": true}, "nodeName": null}]}]}
"""


def seeds() -> list[bytes]:
    """Files with each kind, and both ways to write several."""
    return [_SERVICE, _SLICES]


def run(data: bytes) -> None:
    """Read the bytes as YAML and as JSON."""
    text = data.decode("utf-8", "replace")
    for name in ("f.yaml", "f.json"):
        found = parse_manifest(Path(name), text)
        assert all(problem.line >= 1 and problem.reason for problem in found.problems)
        for key, obj in found.objects.items():
            assert isinstance(obj, Service | EndpointSlice | Node)
            assert key == object_key(obj)
            assert obj.metadata.name
