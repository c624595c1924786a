"""JSON as an API server sends it."""

import json
from typing import Any

JsonObject = dict[str, Any]


def service(name: str, version: int, *, port: int = 80, namespace: str = "shop") -> JsonObject:
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": f"uid-{name}",
            "resourceVersion": str(version),
            "labels": {"app": name},
            "ownerReferences": [{"apiVersion": "v1", "kind": "X"}, {"apiVersion": "v1", "kind": "Y"}],
        },
        "spec": {
            "type": "ClusterIP",
            "clusterIP": "10.96.0.1",
            "clusterIPs": ["10.96.0.1"],
            "ports": [{"name": "http", "port": port, "protocol": "TCP", "targetPort": 8080}],
        },
        "status": {"loadBalancer": {}},
    }


def endpoint_slice(name: str, version: int, *, endpoints: int = 10, namespace: str = "shop") -> JsonObject:
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": f"uid-{name}",
            "resourceVersion": str(version),
            "labels": {"kubernetes.io/service-name": name, "endpointslice.kubernetes.io/managed-by": "controller"},
            "annotations": {"endpoints.kubernetes.io/last-change-trigger-time": "2026-01-01T00:00:00Z"},
            "managedFields": [{"manager": "m", "operation": "Update", "fieldsV1": {"f:endpoints": {}, "f:ports": {}}}],
        },
        "addressType": "IPv4",
        "endpoints": [
            {
                "addresses": [f"10.1.{i // 250}.{i % 250 + 1}"],
                "conditions": {"ready": True, "serving": True, "terminating": False},
                "nodeName": f"node-{i}",
                "zone": "a",
                "targetRef": {"kind": "Pod", "name": f"pod-{i}", "namespace": namespace, "uid": "u" * 36},
            }
            for i in range(endpoints)
        ],
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    }


def items(*objects: JsonObject, version: int, token: str = "") -> JsonObject:
    return {
        "kind": "ServiceList",
        "apiVersion": "v1",
        "metadata": {"resourceVersion": str(version)} | ({"continue": token} if token else {}),
        "items": list(objects),
    }


def event(kind: str, obj: JsonObject) -> bytes:
    return json.dumps({"type": kind, "object": obj}, separators=(",", ":")).encode() + b"\n"


def bookmark(version: int, *, initial_end: bool = False) -> bytes:
    metadata: JsonObject = {"resourceVersion": str(version)}
    if initial_end:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    return event("BOOKMARK", {"kind": "Service", "apiVersion": "v1", "metadata": metadata})


def status(code: int, reason: str, message: str = "so it is") -> JsonObject:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }
