"""Services and EndpointSlices as a cluster might have them, with so few names and addresses that they collide."""

from typing import Any, TypeAlias

from hypothesis import strategies as st

from kproxy.services.objects import EndpointSlice, KubeObject, Service
from kproxy.services.tracker import ServiceTracker
from tests.services.builders import endpoint, service, slice_of

NAMES = ["web", "api", "dns", "db"]
_PROTOCOLS = ["TCP", "UDP", "SCTP"]
_PORT_NAMES = ["a", "b"]
_POLICIES = st.sampled_from(["Cluster", "Local"])
_FAMILIES = st.sampled_from(["IPv4", "IPv6"])


@st.composite
def services(draw: st.DrawFn) -> Service:
    name = draw(st.sampled_from(NAMES))
    number = NAMES.index(name) + 1
    ips = draw(st.sampled_from([["v4"], ["v6"], ["v4", "v6"], ["v6", "v4"]]))
    cluster_ips = [f"10.96.0.{number}" if ip == "v4" else f"fd00:10:96::{number}" for ip in ips]
    kind = draw(st.sampled_from(["ClusterIP", "NodePort", "LoadBalancer"]))
    ports = []
    for i, port_name in enumerate(draw(st.lists(st.sampled_from(_PORT_NAMES), min_size=1, max_size=2, unique=True))):
        port: dict[str, Any] = {"name": port_name, "port": 80 + i, "protocol": draw(st.sampled_from(_PROTOCOLS))}
        if kind != "ClusterIP":
            port["nodePort"] = 30000 + draw(st.integers(0, 5))
        ports.append(port)
    spec: dict[str, Any] = {
        "type": kind,
        "clusterIP": cluster_ips[0],
        "clusterIPs": cluster_ips,
        "ports": ports,
        "created": f"2026-01-0{draw(st.integers(1, 9))}T00:00:00Z",
        "externalIPs": draw(
            st.lists(st.sampled_from(["203.0.113.1", "203.0.113.2", "2001:db8::1", "10.96.0.1"]), max_size=2)
        ),
        "internalTrafficPolicy": draw(_POLICIES),
        "externalTrafficPolicy": draw(_POLICIES),
    }
    if algorithm := draw(
        st.sampled_from(["", "", "round-robin", "source-hash", "destination-hash", "weighted", "odd"])
    ):
        spec["annotations"] = {"kproxy/balancing": algorithm, "kproxy/weights": "node=3"}
    if (seconds := draw(st.sampled_from([0, 0, 10, 10800]))) > 0:
        spec["sessionAffinity"] = "ClientIP"
        spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": seconds}}
    if kind == "LoadBalancer":
        spec["ingress"] = [{"ip": ip} for ip in draw(st.lists(st.sampled_from(["198.51.100.1", "198.51.100.2"])))]
        ranges = ["10.0.0.0/8", "10.1.0.0/16", "192.168.0.0/24", "192.168.1.0/24", "0.0.0.0/0", "2001:db8::/32"]
        spec["loadBalancerSourceRanges"] = draw(st.lists(st.sampled_from(ranges), max_size=3))
    return service(name, **spec)


@st.composite
def slices(draw: st.DrawFn) -> EndpointSlice:
    family = draw(_FAMILIES)
    prefix = "10.244.0." if family == "IPv4" else "fd00:10:244::"
    endpoints = []
    for number in draw(st.lists(st.integers(1, 9), max_size=6, unique=True)):
        fields: dict[str, Any] = {"nodeName": draw(st.sampled_from(["here", "there"]))}
        state = draw(st.sampled_from(["ready", "ready", "ready", "draining", "gone"]))
        if state != "ready":
            fields |= {"ready": False, "serving": state == "draining", "terminating": True}
        endpoints.append(endpoint(f"{prefix}{number}", **fields))
    return slice_of(
        draw(st.sampled_from(NAMES)),
        *endpoints,
        name=f"slice-{draw(st.integers(1, 6))}",
        ports=((draw(st.sampled_from(_PORT_NAMES)), draw(st.sampled_from([8080, 9090]))),),
        protocol=draw(st.sampled_from(_PROTOCOLS)),
        family=family,
        annotations={"kproxy/weights": f"{prefix}1=2, {prefix}2=0"} if draw(st.booleans()) else {},
    )


Happening: TypeAlias = Service | EndpointSlice | tuple[type, str, str]
"""An object appears or changes, or is deleted (kind, namespace, name)."""


def happen(happening: Happening, tracker: ServiceTracker, remaining: dict[tuple[type, str], KubeObject]) -> None:
    """Tell the tracker, and keep up what there is now."""
    if isinstance(happening, tuple):
        tracker.delete(*happening)
        remaining.pop((happening[0], happening[2]), None)
    else:
        tracker.upsert(happening)
        remaining[type(happening), happening.metadata.name] = happening


@st.composite
def events(draw: st.DrawFn) -> list[Happening]:
    """What happens one after the other."""
    service_names = st.tuples(st.just(Service), st.just("default"), st.sampled_from(NAMES))
    slice_names = st.tuples(st.just(EndpointSlice), st.just("default"), st.integers(1, 6).map(lambda i: f"slice-{i}"))
    return draw(
        st.lists(st.one_of(services(), services(), slices(), slices(), service_names, slice_names), max_size=25)
    )
