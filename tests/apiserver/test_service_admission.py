"""What the API server fills into a Service, allocates for it, and refuses."""

from typing import Any

import pytest

from kproxy.apiserver import Store
from kproxy.apiserver.errors import ApiError
from tests.apiserver.builders import service


def spec_of(store: Store, name: str = "web", **spec: Any) -> dict[str, Any]:
    stored: dict[str, Any] = store.apply(service(name, **spec))["spec"]
    return stored


def causes(store: Store, **spec: Any) -> list[str]:
    with pytest.raises(ApiError) as caught:
        store.apply(service(**spec))
    assert caught.value.code == 422
    assert caught.value.details
    return [cause["field"] for cause in caught.value.details["causes"]]


def test_defaults_of_a_cluster_ip_service(store: Store) -> None:
    assert spec_of(store) == {
        "type": "ClusterIP",
        "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
        "sessionAffinity": "None",
        "internalTrafficPolicy": "Cluster",
        "clusterIP": "10.96.1.1",
        "clusterIPs": ["10.96.1.1"],
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
    }


def test_client_ip_affinity_lasts_three_hours_by_default(store: Store) -> None:
    spec = spec_of(store, sessionAffinity="ClientIP")
    assert spec["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 10800}}
    assert "sessionAffinityConfig" not in spec_of(store, sessionAffinity="None")


def test_dual_stack_on_request_and_back(store: Store) -> None:
    both = spec_of(store, ipFamilyPolicy="PreferDualStack")
    assert both["ipFamilies"] == ["IPv4", "IPv6"]
    assert [":" in address for address in both["clusterIPs"]] == [False, True]
    single = spec_of(
        store, **{key: both[key] for key in ("clusterIP", "clusterIPs", "ipFamilies")}, ipFamilyPolicy="SingleStack"
    )
    assert single["clusterIPs"] == both["clusterIPs"][:1]
    assert spec_of(store, "taker", clusterIP=both["clusterIPs"][1])["ipFamilies"] == ["IPv6"]


def test_prefer_dual_stack_makes_do_with_one_family() -> None:
    store = Store(service_cidrs=["10.0.0.0/24"])
    assert spec_of(store, ipFamilyPolicy="PreferDualStack")["clusterIPs"] == ["10.0.0.17"]
    assert causes(store, ipFamilyPolicy="RequireDualStack") == ["spec.ipFamilyPolicy"]
    assert causes(store, ipFamilies=["IPv6"]) == ["spec.ipFamilies[0]"]


def test_the_family_order_of_the_cidrs_is_the_default() -> None:
    store = Store(service_cidrs=["fd00::/112", "10.0.0.0/24"])
    assert spec_of(store)["ipFamilies"] == ["IPv6"]


def test_headless_services_get_no_address(store: Store) -> None:
    spec = spec_of(store, clusterIP="None", selector={"app": "web"})
    assert (spec["clusterIPs"], spec["ipFamilyPolicy"]) == (["None"], "SingleStack")
    without = spec_of(store, "free", clusterIP="None")
    assert (without["ipFamilies"], without["ipFamilyPolicy"]) == (["IPv4", "IPv6"], "RequireDualStack")


def test_node_ports_and_health_check_port(store: Store) -> None:
    spec = spec_of(
        store,
        type="LoadBalancer",
        externalTrafficPolicy="Local",
        ports=[{"name": "t", "port": 53}, {"name": "u", "port": 53, "protocol": "UDP"}, {"name": "w", "port": 80}],
    )
    dns, dns_udp, web = (port["nodePort"] for port in spec["ports"])
    assert dns == dns_udp != web
    assert 30000 <= spec["healthCheckNodePort"] <= 32767
    assert spec["healthCheckNodePort"] not in (dns, web)
    assert spec["allocateLoadBalancerNodePorts"] is True


def test_a_load_balancer_can_go_without_node_ports(store: Store) -> None:
    spec = spec_of(store, type="LoadBalancer", allocateLoadBalancerNodePorts=False)
    assert "nodePort" not in spec["ports"][0]


def test_an_update_that_says_nothing_keeps_what_was_allocated(store: Store) -> None:
    before = spec_of(store, type="NodePort")
    after = spec_of(store, type="NodePort", selector={"a": "b"})
    assert after["clusterIP"] == before["clusterIP"]
    assert after["ports"] == before["ports"]


def test_a_change_of_type_gives_back_what_the_old_one_had(store: Store) -> None:
    balancer = spec_of(store, type="LoadBalancer", externalTrafficPolicy="Local")
    back = spec_of(store, **{**balancer, "type": "ClusterIP"})
    left = {"healthCheckNodePort", "externalTrafficPolicy", "allocateLoadBalancerNodePorts"} & back.keys()
    assert not left
    assert "nodePort" not in back["ports"][0]
    port = {"port": 80, "nodePort": balancer["ports"][0]["nodePort"]}
    assert spec_of(store, "taker", type="NodePort", ports=[port])


def test_an_external_name_gives_back_its_address(store: Store) -> None:
    address = spec_of(store)["clusterIP"]
    assert "clusterIP" not in spec_of(store, type="ExternalName", externalName="example.com")
    assert spec_of(store, "taker", clusterIP=address)["clusterIP"] == address


def test_a_deletion_frees_address_and_port(store: Store) -> None:
    spec = spec_of(store, type="NodePort")
    port = {"port": 80, "nodePort": spec["ports"][0]["nodePort"]}
    wanted = {"type": "NodePort", "clusterIP": spec["clusterIP"], "ports": [port]}
    with pytest.raises(ApiError, match="provided IP is already allocated"):
        store.apply(service("taker", **wanted))
    store.delete("Service", "web")
    assert spec_of(store, "taker", **wanted)["clusterIP"] == spec["clusterIP"]


def test_a_refused_service_takes_nothing(store: Store) -> None:
    assert causes(store, clusterIP="10.96.0.9", selector={"bad key": ""})
    assert spec_of(store, clusterIP="10.96.0.9")


def test_a_full_range_is_said_to_be_full() -> None:
    store = Store(service_cidrs=["10.0.0.0/30"], node_ports=(30000, 30000))
    assert {spec_of(store, "a", type="NodePort")["clusterIP"], spec_of(store, "b")["clusterIP"]} == {
        "10.0.0.1",
        "10.0.0.2",
    }
    assert causes(store) == ["spec.clusterIPs"]
    assert causes(store, clusterIP="None", selector={"a": "b"}, type="NodePort") == ["spec.clusterIPs[0]"]
    store.delete("Service", "b")
    assert causes(store, type="NodePort") == ["spec.ports[0].nodePort"]


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        ({"ports": []}, ["spec.ports"]),
        ({"ports": [{"port": 0}]}, ["spec.ports[0].port"]),
        ({"ports": [{"port": 70000, "targetPort": 1}]}, ["spec.ports[0].port"]),
        ({"ports": [{"port": 1}, {"port": 2}]}, ["spec.ports[0].name", "spec.ports[1].name"]),
        ({"ports": [{"name": "a", "port": 1}, {"name": "a", "port": 2}]}, ["spec.ports[1].name"]),
        ({"ports": [{"name": "a", "port": 1}, {"name": "b", "port": 1}]}, ["spec.ports[1]"]),
        ({"ports": [{"port": 1, "protocol": "ICMP"}]}, ["spec.ports[0].protocol"]),
        ({"ports": [{"port": 1, "targetPort": "NotAName"}]}, ["spec.ports[0].targetPort"]),
        ({"ports": [{"port": 1, "nodePort": 30000}]}, ["spec.ports[0].nodePort"]),
        ({"type": "NodePort", "ports": [{"port": 1, "nodePort": 80}]}, ["spec.ports[0].nodePort"]),
        ({"type": "Mesh"}, ["spec.type"]),
        ({"sessionAffinity": "Cookie"}, ["spec.sessionAffinity"]),
        (
            {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 90000}}},
            ["spec.sessionAffinityConfig.clientIP.timeoutSeconds"],
        ),
        ({"externalTrafficPolicy": "Local"}, ["spec.externalTrafficPolicy"]),
        ({"internalTrafficPolicy": "Some"}, ["spec.internalTrafficPolicy"]),
        ({"externalIPs": ["127.0.0.1", "web"]}, ["spec.externalIPs[0]", "spec.externalIPs[1]"]),
        ({"loadBalancerSourceRanges": ["10.0.0.0/8"]}, ["spec.loadBalancerSourceRanges"]),
        (
            {"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.0/8", "10.0.0.0"]},
            ["spec.loadBalancerSourceRanges[1]"],
        ),
        ({"type": "ExternalName"}, ["spec.externalName"]),
        ({"clusterIP": "192.0.2.1"}, ["spec.clusterIPs"]),
        ({"clusterIP": "web"}, ["spec.clusterIPs[0]"]),
        ({"clusterIPs": ["10.96.0.9"]}, ["spec.clusterIPs"]),
        ({"clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9", "fd00:10:96::9"]}, ["spec.ipFamilyPolicy"]),
        ({"ipFamilies": ["IPv4", "IPv4"]}, ["spec.ipFamilies[1]"]),
        ({"trafficDistribution": "Anywhere"}, ["spec.trafficDistribution"]),
        ({"healthCheckNodePort": 30001}, ["spec.healthCheckNodePort"]),
    ],
)
def test_what_is_refused_and_the_field_at_fault(store: Store, spec: dict[str, Any], fields: list[str]) -> None:
    assert causes(store, **spec) == fields


def test_a_cluster_ip_cannot_change(store: Store) -> None:
    spec_of(store, clusterIP="10.96.0.9")
    assert causes(store, clusterIP="10.96.0.10") == ["spec.clusterIPs[0]"]


@pytest.mark.parametrize("cidrs", [[], ["10.0.0.0/24", "10.1.0.0/24"], ["nonsense"]])
def test_service_cidrs_that_make_no_sense(cidrs: list[str]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Store(service_cidrs=cidrs)
