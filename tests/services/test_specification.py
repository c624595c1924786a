"""What is read from a Service, and what is refused."""

from typing import Any

import pytest

from kproxy.services.addresses import format_address
from kproxy.services.model import Policy
from kproxy.services.specification import specify
from tests.services.builders import service


@pytest.mark.parametrize(
    "spec",
    [
        {"clusterIP": "None", "clusterIPs": ["None"]},
        {"clusterIP": "", "type": "ExternalName"},
        {"labels": {"service.kubernetes.io/service-proxy-name": "other"}},
    ],
    ids=["headless", "external-name", "another-proxy's"],
)
def test_what_is_not_ours_is_left_alone(spec: dict[str, Any]) -> None:
    assert specify(service(**spec)) == (None, [])


def test_addresses_are_sorted_by_family() -> None:
    found, problems = specify(
        service(
            type="LoadBalancer",
            clusterIPs=["fd00::1", "10.96.0.1"],
            externalIPs=["203.0.113.1", "2001:db8::1"],
            ingress=[{"ip": "198.51.100.1"}, {"ip": "2001:db8::2", "ipMode": "VIP"}, {"hostname": "lb.example"}],
            loadBalancerSourceRanges=[" 10.0.0.0/8", "2001:db8::/32"],
        )
    )
    assert not problems
    assert found
    assert found.ipv4
    assert found.ipv6
    assert format_address(found.ipv4.cluster_ip) == "10.96.0.1"
    assert format_address(found.ipv6.cluster_ip) == "fd00::1"
    assert [format_address(a) for a in found.ipv6.load_balancer_ips] == ["2001:db8::2"]
    assert [str(n) for n in found.ipv4.source_ranges] == ["10.0.0.0/8"]


def test_ingress_in_proxy_mode_is_not_short_circuited() -> None:
    found, _ = specify(service(type="LoadBalancer", ingress=[{"ip": "198.51.100.1", "ipMode": "Proxy"}]))
    assert found
    assert found.ipv4
    assert found.ipv4.load_balancer_ips == ()


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"clusterIP": "10.96.0"}, "spec.clusterIPs"),
        ({"externalIPs": ["10.96.0.300"]}, "spec.externalIPs"),
        ({"externalIPs": ["127.0.0.1"]}, "spec.externalIPs"),
        ({"externalIPs": ["0.0.0.0"]}, "spec.externalIPs"),
        ({"loadBalancerSourceRanges": ["10.0.0.0/33"]}, "spec.loadBalancerSourceRanges"),
        ({"ports": [{"port": 0}, {"port": 80}]}, "spec.ports[0].port"),
        ({"ports": [{"port": 80}, {"port": 80}]}, "spec.ports[1].port"),
        ({"ports": [{"port": 80, "nodePort": 70000}]}, "spec.ports[0].nodePort"),
        (
            {"ports": [{"name": "a", "port": 1, "nodePort": 30000}, {"name": "b", "port": 2, "nodePort": 30000}]},
            "spec.ports[1].nodePort",
        ),
        ({"clusterIPs": ["10.96.0.1", "10.96.0.2"]}, "spec.clusterIPs"),
        ({"annotations": {"kproxy/balancing": "fair"}}, "metadata.annotations[kproxy/balancing]"),
        ({"annotations": {"kproxy/weights": "node=many"}}, "metadata.annotations[kproxy/weights]"),
        ({"annotations": {"kproxy/weights": "planet=3"}}, "metadata.annotations[kproxy/weights]"),
    ],
)
def test_a_bad_part_is_reported_with_its_field(spec: dict[str, Any], field: str) -> None:
    _, problems = specify(service(**spec))
    assert [(str(p.object), p.field) for p in problems] == [("Service default/web", field)]


def test_the_rest_of_a_service_works_when_a_part_is_bad() -> None:
    found, _ = specify(service(externalIPs=["nonsense", "203.0.113.1"]))
    assert found
    assert found.ipv4
    assert [format_address(a) for a in found.ipv4.external_ips] == ["203.0.113.1"]


def test_octets_with_leading_zeros_are_decimal() -> None:
    found, problems = specify(service(clusterIP="010.096.000.010"))
    assert not problems
    assert found
    assert found.ipv4
    assert format_address(found.ipv4.cluster_ip) == "10.96.0.10"


@pytest.mark.parametrize(
    ("spec", "policy"),
    [
        ({"type": "NodePort", "externalTrafficPolicy": "Local"}, Policy.LOCAL),
        ({"externalIPs": ["203.0.113.1"], "externalTrafficPolicy": "Local"}, Policy.LOCAL),
        ({"externalTrafficPolicy": "Local"}, Policy.CLUSTER),
    ],
)
def test_external_policy_counts_where_there_is_something_external(spec: dict[str, Any], policy: Policy) -> None:
    found, _ = specify(service(**spec))
    assert found
    assert found.external_policy is policy


@pytest.mark.parametrize(
    ("spec", "seconds"),
    [
        ({}, 0),
        ({"sessionAffinity": "ClientIP"}, 10800),
        ({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10}}}, 10),
    ],
)
def test_session_affinity(spec: dict[str, Any], seconds: int) -> None:
    found, _ = specify(service(**spec))
    assert found
    assert found.affinity_seconds == seconds


def test_an_external_ip_that_is_the_cluster_ip_counts_as_the_cluster_ip() -> None:
    found, problems = specify(service(clusterIP="10.96.0.10", externalIPs=["10.96.0.10"]))
    assert not problems
    assert found
    assert found.ipv4
    assert found.ipv4.external_ips == ()
