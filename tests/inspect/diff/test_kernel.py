"""Our own rules in a kernel: what somebody changes is found, attributed to its Service, and mended."""

import subprocess

import pytest

from kproxy.inspect.desired import DesiredState
from kproxy.inspect.diff.compare import compare
from kproxy.inspect.diff.repair import repair
from kproxy.inspect.diff.report import Difference
from tests.inspect.diff.states import desired_here
from tests.iptables.kernel_state import manifest


def sh(command: str) -> None:
    subprocess.run(command.split(), check=True)


def node(mode: str) -> DesiredState:
    """A node in this namespace that has been programmed."""
    sh("ip link set lo up")
    sh("ip link add uplink type veth peer name other")
    sh("ip link set uplink up")
    sh("ip addr add 192.168.77.2/24 dev uplink")
    state = desired_here(manifest("nodeport"), mode)
    repair(state)
    return state


def found(state: DesiredState, mode: str) -> list[Difference]:
    return list(compare(state, mode).differences)


def test_nftables(network_namespace: None) -> None:
    state = node("nftables")
    report = compare(state, "nftables")
    assert not report.differences
    assert report.compared > 300
    sh("nft delete element ip kube-proxy cluster-ips { 10.96.1.1 }")
    sh("nft add element ip kube-proxy dropped-nodeports { tcp . 30080 }")
    sh("nft insert rule ip kube-proxy services ip saddr 10.0.0.0/8 drop")
    sh("nft add chain ip kube-proxy somebody")
    differences = found(state, "nftables")
    assert {(d.kind, d.place, d.object) for d in differences} == {
        ("missing", "table ip kube-proxy set cluster-ips", "10.96.1.1"),
        ("extra", "table ip kube-proxy set dropped-nodeports", "tcp . 30080"),
        ("extra", "table ip kube-proxy chain services", "ip saddr 10.0.0.0/8 drop"),
        ("extra", "table ip kube-proxy", "chain somebody"),
    }
    services = {d.object: d.service for d in differences if d.service}
    assert set(services) == {"10.96.1.1", "tcp . 30080"}
    assert len(set(services.values())) == 1
    repair(state)
    assert not found(state, "nftables")


def test_a_missing_table(network_namespace: None) -> None:
    state = node("nftables")
    sh("nft delete table ip6 kube-proxy")
    assert [(d.kind, d.object) for d in found(state, "nftables")] == [("missing", "table ip6 kube-proxy")]


def test_iptables(network_namespace: None) -> None:
    state = node("iptables")
    assert not found(state, "iptables")
    sh("iptables -t nat -F KUBE-MARK-MASQ")
    sh("iptables -t nat -I KUBE-NODEPORTS -p tcp --dport 30080 -j RETURN")
    sh("iptables -t nat -N KUBE-SVC-OLD")
    assert {(d.kind, d.place.removeprefix("iptables-nft "), d.object) for d in found(state, "iptables")} == {
        ("missing", "nat KUBE-MARK-MASQ", "-j MARK --set-xmark 0x4000/0x4000"),
        ("extra", "nat KUBE-NODEPORTS", "-p tcp -m tcp --dport 30080 -j RETURN"),
        ("extra", "nat", "chain KUBE-SVC-OLD"),
    }
    repair(state)
    assert not found(state, "iptables")


@pytest.mark.parametrize("mode", ["nftables", "iptables"])
def test_a_change_that_the_kernel_has_not_got(mode: str, network_namespace: None) -> None:
    node(mode)
    later = desired_here(manifest("loadbalancer"), mode)
    differences = found(later, mode)
    assert {d.kind for d in differences} >= {"missing", "extra"}
    assert any(d.service == "default/fenced" for d in differences)
