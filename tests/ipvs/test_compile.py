"""Which kernel objects a Service needs."""

from typing import Any

import pytest

from kproxy.backends.ipvs.compile import Compiled, NodeAddresses, Weights, compile_service
from kproxy.backends.ipvs.options import IpvsOptions
from kproxy.backends.ipvs.sets import SetName, specification
from kproxy.kernel.ipset.elements import describe
from kproxy.kernel.ipvs.protocol import FALLBACK, PERSISTENT, ServerSettings
from kproxy.services.addresses import Family, parse_network
from kproxy.services.model import ServiceName
from tests.ipvs.kernel_state import at, ip, tcp, tracker_of
from tests.services.builders import endpoint, service, slice_of

NODE = NodeAddresses(*[frozenset({ip("192.168.0.1")})] * 3)
HERE, THERE = endpoint("10.244.0.1", nodeName="here"), endpoint("10.244.1.1", nodeName="there")


def compiled(*endpoints: dict[str, Any], options: IpvsOptions | None = None, **spec: Any) -> Compiled:
    tracker = tracker_of([service("web", **spec), slice_of("web", *endpoints)])
    ports = tracker.ports(ServiceName("default", "web"), Family.IPV4)
    return compile_service(ports, options or IpvsOptions(), NODE)


def elements(found: Compiled, name: SetName) -> set[str]:
    type_ = specification(name, Family.IPV4).type
    every = found.frontends.elements | found.hairpins
    return {describe(type_, Family.IPV4, element) for set_name, element in every if set_name is name}


def backends(*addresses: str) -> Weights:
    return {at(address, 8080): 1 for address in addresses}


def node_port(**spec: Any) -> dict[str, Any]:
    return {"type": "NodePort", "ports": [{"name": "http", "port": 80, "nodePort": 30080}], **spec}


def load_balancer(**spec: Any) -> dict[str, Any]:
    return {"type": "LoadBalancer", "ingress": [{"ip": "198.51.100.1"}], **spec}


def test_a_cluster_ip_is_one_virtual_server() -> None:
    found = compiled(HERE, THERE)
    assert {key: server.backends for key, server in found.servers.items()} == {
        tcp("10.96.0.10", 80): backends("10.244.0.1", "10.244.1.1")
    }
    assert found.servers[tcp("10.96.0.10", 80)].settings == ServerSettings("rr")
    assert found.frontends.addresses == {ip("10.96.0.10")}
    assert elements(found, SetName.CLUSTER_IP) == {"10.96.0.10,tcp:80"}
    assert elements(found, SetName.IPVS_IPS) == {"10.96.0.10"}


def test_local_endpoints_are_masqueraded_to_themselves() -> None:
    assert elements(compiled(HERE, THERE), SetName.LOOP_BACK) == {"10.244.0.1,tcp:8080,10.244.0.1"}


def test_without_endpoints_the_virtual_server_is_empty_and_rejects() -> None:
    assert compiled().servers[tcp("10.96.0.10", 80)].backends == {}


def test_affinity_is_persistence() -> None:
    spec: dict[str, Any] = {
        "sessionAffinity": "ClientIP",
        "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}},
    }
    settings = compiled(HERE, **spec).servers[tcp("10.96.0.10", 80)].settings
    assert settings == ServerSettings("rr", PERSISTENT, 60)


def test_a_hash_goes_round_what_drains() -> None:
    settings = compiled(HERE, options=IpvsOptions(scheduler="sh")).servers[tcp("10.96.0.10", 80)].settings
    assert settings == ServerSettings("sh", FALLBACK)


def test_node_ports_are_on_every_node_address() -> None:
    found = compiled(HERE, THERE, **node_port())
    assert found.servers[tcp("192.168.0.1", 30080)].backends == backends("10.244.0.1", "10.244.1.1")
    assert found.frontends.depends_on_node
    assert not compiled(HERE).frontends.depends_on_node
    assert elements(found, SetName.NODE_PORT_TCP) == {"30080"}
    assert elements(found, SetName.NODE_PORT_LOCAL_TCP) == set()
    assert ip("192.168.0.1") not in found.frontends.addresses


def test_sctp_node_ports_are_kept_with_their_addresses() -> None:
    tracker = tracker_of(
        [
            service("web", type="NodePort", ports=[{"name": "a", "port": 80, "nodePort": 30080, "protocol": "SCTP"}]),
            slice_of("web", HERE, ports=(("a", 8080),), protocol="SCTP"),
        ]
    )
    found = compile_service(tracker.ports(ServiceName("default", "web"), Family.IPV4), IpvsOptions(), NODE)
    assert elements(found, SetName.NODE_PORT_SCTP) == {"192.168.0.1,sctp:30080"}


def test_local_policy_takes_local_endpoints_and_keeps_the_source() -> None:
    found = compiled(HERE, THERE, **load_balancer(externalTrafficPolicy="Local", externalIPs=["203.0.113.1"]))
    for address in ("198.51.100.1", "203.0.113.1"):
        assert found.servers[tcp(address, 80)].backends == backends("10.244.0.1")
    assert elements(found, SetName.LOAD_BALANCER_LOCAL) == {"198.51.100.1,tcp:80"}
    assert elements(found, SetName.EXTERNAL_IP_LOCAL) == {"203.0.113.1,tcp:80"}
    assert elements(found, SetName.EXTERNAL_IP) == set()


def test_local_policy_without_local_endpoints_serves_pods_and_the_node() -> None:
    found = compiled(THERE, **node_port(externalTrafficPolicy="Local"))
    assert found.servers[tcp("192.168.0.1", 30080)].backends == backends("10.244.1.1")
    assert elements(found, SetName.NODE_PORT_LOCAL_TCP) == {"30080"}


def test_internal_local_policy_without_local_endpoints_serves_nobody() -> None:
    found = compiled(THERE, internalTrafficPolicy="Local")
    assert found.servers[tcp("10.96.0.10", 80)].backends == {}


def test_source_ranges() -> None:
    found = compiled(HERE, **load_balancer(loadBalancerSourceRanges=["10.0.0.0/8", "172.16.0.1/32"]))
    assert elements(found, SetName.LOAD_BALANCER_FIREWALL) == {"198.51.100.1,tcp:80"}
    assert elements(found, SetName.SOURCE_CIDR) == {
        "198.51.100.1,tcp:80,10.0.0.0/8",
        "198.51.100.1,tcp:80,172.16.0.1/32",
    }
    assert elements(found, SetName.SOURCE_IP) == set()


def test_source_ranges_that_admit_the_node_admit_the_address_it_comes_from() -> None:
    found = compiled(HERE, **load_balancer(loadBalancerSourceRanges=["192.168.0.0/16"]))
    assert elements(found, SetName.SOURCE_IP) == {"198.51.100.1,tcp:80,198.51.100.1"}


def test_everything_is_two_halves_as_sets_have_no_prefix_length_0() -> None:
    found = compiled(HERE, **load_balancer(loadBalancerSourceRanges=["0.0.0.0/0"]))
    assert elements(found, SetName.SOURCE_CIDR) == {
        "198.51.100.1,tcp:80,0.0.0.0/1",
        "198.51.100.1,tcp:80,128.0.0.0/1",
    }


def test_an_external_ip_that_the_node_has_already_is_left_where_it_is() -> None:
    found = compiled(HERE, externalIPs=["192.168.0.1"])
    assert tcp("192.168.0.1", 80) in found.servers
    assert found.frontends.addresses == {ip("10.96.0.10")}
    assert elements(found, SetName.IPVS_IPS) == {"10.96.0.10"}


def test_excluded_networks_do_not_keep_a_service_from_being_served() -> None:
    network = parse_network("10.96.0.0/16")
    assert network
    assert tcp("10.96.0.10", 80) in compiled(HERE, options=IpvsOptions(excluded=(network,))).servers


@pytest.mark.parametrize(
    ("algorithm", "settings"),
    [
        ("random", ServerSettings("lc")),
        ("round-robin", ServerSettings("rr")),
        ("source-hash", ServerSettings("sh", FALLBACK)),
        ("destination-hash", ServerSettings("dh")),
        ("weighted", ServerSettings("wrr")),
    ],
)
def test_an_algorithm_is_a_scheduler(algorithm: str, settings: ServerSettings) -> None:
    found = compiled(HERE, options=IpvsOptions(scheduler="lc"), annotations={"kproxy/balancing": algorithm})
    assert found.servers[tcp("10.96.0.10", 80)].settings == settings


def weights_of(node: int, zone: int) -> Weights:
    annotations = {"kproxy/balancing": "weighted", "kproxy/weights": f"node={node}, zone={zone}"}
    return compiled(HERE, THERE, annotations=annotations).servers[tcp("10.96.0.10", 80)].backends


def test_weights_are_the_endpoints() -> None:
    assert weights_of(4, 2) == {at("10.244.0.1", 8080): 4, at("10.244.1.1", 8080): 1}
    assert weights_of(0, 1) == {at("10.244.0.1", 8080): 0, at("10.244.1.1", 8080): 1}


def test_without_any_weight_all_weigh_the_same() -> None:
    annotations = {"kproxy/balancing": "weighted", "kproxy/weights": "node=0"}
    found = compiled(HERE, annotations=annotations)
    assert found.servers[tcp("10.96.0.10", 80)].backends == backends("10.244.0.1")


def test_the_health_check_port_may_be_reached() -> None:
    found = compiled(HERE, **load_balancer(externalTrafficPolicy="Local", healthCheckNodePort=31081))
    assert elements(found, SetName.HEALTH_CHECK_NODE_PORT) == {"31081"}
    assert elements(compiled(HERE), SetName.HEALTH_CHECK_NODE_PORT) == set()


def test_what_does_not_follow_from_endpoints_is_computed_once() -> None:
    name = ServiceName("default", "web")
    tracker = tracker_of([service("web", **node_port()), slice_of("web", HERE)])
    first = compile_service(tracker.ports(name, Family.IPV4), IpvsOptions(), NODE)
    tracker.upsert(slice_of("web", HERE, THERE))
    second = compile_service(tracker.ports(name, Family.IPV4), IpvsOptions(), NODE, first)
    assert second.frontends is first.frontends
    assert second == compile_service(tracker.ports(name, Family.IPV4), IpvsOptions(), NODE)
    for changed in (service("web"), service("web", **node_port(externalTrafficPolicy="Local"))):
        tracker.upsert(changed)
        ports = tracker.ports(name, Family.IPV4)
        assert compile_service(ports, IpvsOptions(), NODE, second) == compile_service(ports, IpvsOptions(), NODE)
    elsewhere = NODE._replace(node_ports=frozenset({ip("192.168.0.2")}))
    moved = compile_service(ports, IpvsOptions(), elsewhere, second)
    assert tcp("192.168.0.2", 30080) in moved.servers
