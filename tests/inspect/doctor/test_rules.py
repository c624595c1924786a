"""Whether the kernel holds a Service's rules, read from what either proxy has written."""

import pytest

from kproxy.inspect.doctor.rules import Held, rules_hold
from kproxy.services.addresses import Address, Family, parse_address
from kproxy.services.model import Endpoint, ServiceName, ServicePort
from tests.inspect.status import stock

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("network_namespace")]


def packed(text: str) -> Address:
    address = parse_address(text)
    assert address is not None
    return address


def held(mode: str, cluster_ip: str, port: int, *endpoints: str) -> Held:
    return rules_hold(
        mode,
        ServicePort(
            service=ServiceName("default", "web"),
            port_name="p80",
            family=Family.IPV4,
            protocol="TCP",
            port=port,
            cluster_ip=packed(cluster_ip),
            cluster_endpoints=tuple(Endpoint(packed(text), 8080, local=True) for text in endpoints),
            has_endpoints=bool(endpoints),
        ),
    )


@pytest.mark.parametrize("variant", ["legacy", "nft"])
def test_a_stock_proxys_iptables_rules(variant: str) -> None:
    stock.load_iptables("clusterip", variant)
    assert held("iptables", "10.96.0.10", 80, "10.244.1.10", "10.244.2.10").present
    lacking = held("iptables", "10.96.0.10", 80, "10.244.1.10", "10.244.9.9")
    assert not lacking.present
    assert "lacks 1 of 2 endpoints: 10.244.9.9:8080" in lacking.detail
    assert (
        held("iptables", "10.96.0.10", 82, "10.244.1.10").detail == "no rule of KUBE-SERVICES is for 10.96.0.10 port 82"
    )
    assert not held("iptables", "10.96.0.1", 80, "10.244.1.10").present  # a prefix of another's address


def test_a_stock_proxys_nftables_table() -> None:
    stock.load_nftables()
    assert held("nftables", "10.96.1.1", 80, "10.244.1.10").present
    assert not held("nftables", "10.96.1.1", 81, "10.244.1.10").present
    assert not held("nftables", "10.96.1.1", 80, "10.244.1.10", "10.244.1.11").present


def test_no_rules_at_all() -> None:
    assert held("iptables", "10.96.0.10", 80, "10.244.1.10").present is False
    assert held("nftables", "10.96.0.10", 80, "10.244.1.10") == (False, "there is no table ip kube-proxy")


def test_the_beginning_of_another_address_or_port_is_not_taken_for_it() -> None:
    stock.load_nftables()  # has 10.96.1.1 . tcp . 80, and 10.244.1.10:8080
    assert held("nftables", "10.96.1.1", 8, "10.244.1.10").present is False
    assert held("nftables", "0.96.1.1", 80, "10.244.1.10").present is False
    assert held("nftables", "10.96.1.1", 80, "10.244.1.1").present is False


def test_what_cannot_be_told_is_said() -> None:
    assert held("userspace", "10.96.0.10", 80).present is None
