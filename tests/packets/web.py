"""One Service in front of the lab's pods, as the API has it."""

from collections.abc import Sequence
from typing import Any

from kproxy.lab.topology import NODE_OF, PODS
from kproxy.services.objects import EndpointSlice, Service
from tests.services.builders import endpoint, service, slice_of

CLUSTER_IPS = {4: "10.96.60.1", 6: "fd00:10:96::6001"}
EXTERNAL_IP = "203.0.113.60"
NODE_PORT = 32500
EVERY_POD = ("pod-a", "pod-b", "pod-c", "pod-d")


def web(**spec: Any) -> Service:
    """A dual-stack NodePort Service: TCP and UDP on port 80."""
    ports = [
        {"name": "tcp", "port": 80, "nodePort": NODE_PORT, "protocol": "TCP"},
        {"name": "udp", "port": 80, "nodePort": NODE_PORT, "protocol": "UDP"},
    ]
    addresses = {"clusterIP": CLUSTER_IPS[4], "clusterIPs": list(CLUSTER_IPS.values()), "externalIPs": [EXTERNAL_IP]}
    return service("web", type="NodePort", ports=ports, **{**addresses, **spec})


def slices(pods: Sequence[str]) -> list[EndpointSlice]:
    """The endpoints of `web`: ready, in both families and protocols."""
    return [
        slice_of(
            "web",
            *[endpoint(str(PODS[pod].address.of(version)), nodeName=NODE_OF[pod].name) for pod in pods],
            name=f"web-ipv{version}-{protocol.lower()}",
            ports=((protocol.lower(), 8080),),
            protocol=protocol,
            family=f"IPv{version}",
        )
        for version in (4, 6)
        for protocol in ("TCP", "UDP")
    ]
