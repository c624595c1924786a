"""Services with every feature that a packet can tell, in front of the lab's pods."""

from typing import Any

from hypothesis import strategies as st

from kproxy.lab.topology import NODE_OF, PODS
from kproxy.services.objects import EndpointSlice, KubeObject, Service
from tests.services.builders import endpoint, service, slice_of

NAMES = ("web", "api", "dns", "db")
_SERVING = [name for name, pod in PODS.items() if pod.serves]
_POLICY = st.sampled_from(["Cluster", "Local"])
_EXTERNAL_IPS = ["203.0.113.1", "203.0.113.2", "2001:db8:113::1"]
_LOAD_BALANCER_IPS = ["198.51.100.1", "198.51.100.2", "2001:db8:100::1"]
_RANGES = [
    "10.244.1.0/24", "10.244.1.50/32", "10.244.1.0/28", "192.168.77.0/24", "192.168.77.2/32", "192.168.77.64/26",
    "0.0.0.0/0", "fd00:10:244:1::/64", "fd00:77::64/128", "fd00:77::/120", "::/0",
]  # fmt: skip
_PORT_NAMES = ("tcp", "udp")
_TARGETS = {"tcp": [8080, 9090], "udp": [5353, 8080]}


@st.composite
def _service(draw: st.DrawFn, name: str, *, affinity: bool) -> Service:
    number = NAMES.index(name) + 1
    addresses = {"IPv4": f"10.96.40.{number}", "IPv6": f"fd00:10:96::40{number}"}
    families = draw(st.sampled_from([["IPv4"], ["IPv6"], ["IPv4", "IPv6"], ["IPv6", "IPv4"]]))
    kind = draw(st.sampled_from(["ClusterIP", "NodePort", "LoadBalancer"]))
    ports: list[dict[str, Any]] = []
    for port_name in draw(st.sampled_from([_PORT_NAMES, _PORT_NAMES[:1], _PORT_NAMES[1:]])):
        port: dict[str, Any] = {"name": port_name, "port": 80, "protocol": port_name.upper()}
        if kind != "ClusterIP":
            port["nodePort"] = draw(st.integers(30000, 30005))
        ports.append(port)
    spec: dict[str, Any] = {
        "type": kind,
        "clusterIP": addresses[families[0]],
        "clusterIPs": [addresses[family] for family in families],
        "ports": ports,
        "internalTrafficPolicy": draw(_POLICY),
        "externalTrafficPolicy": draw(_POLICY),
        "externalIPs": draw(st.lists(st.sampled_from(_EXTERNAL_IPS), max_size=2)),
        "created": f"2026-01-0{draw(st.integers(1, 3))}T00:00:00Z",
    }
    if affinity and draw(st.integers(0, 3)) == 0:
        spec["sessionAffinity"] = "ClientIP"
        spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": draw(st.sampled_from([60, 10800]))}}
    if kind == "LoadBalancer":
        modes = st.sampled_from(["VIP", "VIP", "VIP", "Proxy"])
        ingress = draw(st.lists(st.sampled_from(_LOAD_BALANCER_IPS), max_size=3, unique=True))
        spec["ingress"] = [{"ip": ip, "ipMode": draw(modes)} for ip in ingress]
        spec["loadBalancerSourceRanges"] = draw(st.lists(st.sampled_from(_RANGES), max_size=4))
    return service(name, **spec)


@st.composite
def _endpoint(draw: st.DrawFn, pod: str, family: str) -> dict[str, Any]:
    fields: dict[str, Any] = {"nodeName": NODE_OF[pod].name}
    match draw(st.sampled_from(["ready", "ready", "ready", "draining", "gone", "unready", "unsaid"])):
        case "ready":
            fields["ready"] = True
        case "draining":
            fields |= {"ready": False, "serving": True, "terminating": True}
        case "gone":
            fields |= {"ready": False, "serving": False, "terminating": True}
        case "unready":
            fields["ready"] = False
    match draw(st.sampled_from(["none", "none", "zone", "zones", "node"])):
        case "zone":
            fields["zones"] = [NODE_OF[pod].zone]
        case "zones":
            fields["zones"] = ["a", "b"]
        case "node":
            fields |= {"zones": [NODE_OF[pod].zone], "nodes": [NODE_OF[pod].name]}
    return endpoint(str(PODS[pod].address.of(6 if family == "IPv6" else 4)), **fields)


@st.composite
def _slices(draw: st.DrawFn, name: str) -> list[EndpointSlice]:
    made = []
    for family in ("IPv4", "IPv6"):
        for port_name in _PORT_NAMES:
            for number in range(draw(st.sampled_from([1, 1, 2]))):
                pods = draw(st.lists(st.sampled_from(_SERVING), max_size=4, unique=True))
                made.append(
                    slice_of(
                        name,
                        *[draw(_endpoint(pod, family)) for pod in pods],
                        name=f"{name}-{family.lower()}-{port_name}-{number}",
                        ports=((port_name, draw(st.sampled_from(_TARGETS[port_name]))),),
                        protocol=port_name.upper(),
                        family=family,
                    )
                )
    return made


@st.composite
def clusters(draw: st.DrawFn, *, affinity: bool = True) -> list[KubeObject]:
    """A few Services and their slices; addresses and node ports may be claimed twice.

    Args:
        draw: of hypothesis
        affinity: whether some Services remember their clients
    """
    objects: list[KubeObject] = []
    for name in draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=len(NAMES), unique=True)):
        objects += [draw(_service(name, affinity=affinity)), *draw(_slices(name))]
    return objects
