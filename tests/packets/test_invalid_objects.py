"""Objects that no API server should have let through: what is wrong is left out and said once, the rest is served."""

from pathlib import Path
from typing import Any

import pytest

from kproxy.lab.kubernetes_objects import Manifest
from kproxy.lab.lab import Lab
from kproxy.lab.manifest_folder import ManifestFolder
from kproxy.lab.proxy import configuration, run_proxy
from kproxy.lab.runner import DEFAULT_PROXY

pytestmark = pytest.mark.root


def service(name: str, **spec: Any) -> Manifest:
    full = {"clusterIP": "10.96.63.1", "ports": [{"name": "http", "port": 80}], **spec}
    ingress = full.pop("ingress", [])
    metadata = {"name": name, "namespace": "default"}
    status = {"loadBalancer": {"ingress": ingress}}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": full, "status": status}


def endpoint_slice(service_name: str, *addresses: str, **fields: Any) -> Manifest:
    labels = {"kubernetes.io/service-name": service_name}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"{service_name}-1", "namespace": "default", "labels": labels},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080}],
        "endpoints": [{"addresses": [address]} for address in addresses],
        **fields,
    }


OBJECTS = [
    service("bad-external", clusterIP="10.96.63.1", externalIPs=["203.0.113.999", "0.0.0.0", "203.0.113.63"]),
    endpoint_slice("bad-external", "10.244.1.10", "fd00::1", "10.244.1", "0.0.0.0", "10.244.2.10; drop"),
    service(
        "bad-ranges",
        type="LoadBalancer",
        clusterIP="10.96.63.2",
        ingress=[{"ip": "not an address"}, {"ip": "224.0.0.1"}, {"ip": "198.51.100.63"}],
        loadBalancerSourceRanges=["192.168.77.0/33", "everyone", "192.168.77.0/24"],
    ),
    endpoint_slice("bad-ranges", "10.244.1.11"),
    service("bad-port", clusterIP="10.96.63.3", ports=[{"name": "a", "port": 70_000}, {"name": "http", "port": 80}]),
    endpoint_slice("bad-port", "10.244.1.10", ports=[{"name": "http", "port": 0}, {"name": "http", "port": 8080}]),
    service("bad-everything", clusterIP="10.96.63", ports=[{"name": "http", "port": -1}]),
    endpoint_slice("bad-everything", "nobody"),
    service("good", clusterIP="10.96.63.4"),
    endpoint_slice("good", "10.244.1.11"),
]
FAULTS = [
    "203.0.113.999", "0.0.0.0 cannot be", "'not an address'", "224.0.0.1", "192.168.77.0/33", "'everyone'", "70000",
    "'10.96.63'", "fd00::1 is not an IPv4", "10.244.1 is not", "drop", "nobody is not",
]  # fmt: skip


async def test_each_fault_is_logged_once_and_stops_nothing_else(lab: Lab, tmp_path: Path) -> None:
    folder = ManifestFolder(tmp_path)
    for manifest in OBJECTS:
        folder.apply(manifest)
    argv = [*DEFAULT_PROXY["manifests"], "--manifests", str(tmp_path)]
    settings = configuration("nftables", {"nodePortAddresses": ["0.0.0.0/0"]})
    async with run_proxy(lab, argv, settings) as proxy:
        for address, pod in (
            ("10.96.63.1", "pod-a"),
            ("203.0.113.63", "pod-a"),
            ("10.96.63.2", "pod-b"),
            ("198.51.100.63", "pod-b"),
            ("10.96.63.3", "pod-a"),
            ("10.96.63.4", "pod-b"),
        ):
            assert (await lab.sample("ext", "TCP", address, 80, 8)).pods == {pod: 8}, address
        lines = proxy.process.output().splitlines()
    for fault in FAULTS:
        assert len([line for line in lines if fault in line]) == 1, (fault, lines)
