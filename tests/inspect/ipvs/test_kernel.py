"""IPVS mode on a kernel that has IPVS: comparisons of our own rules."""

import subprocess

import pytest

from kproxy.inspect.desired import DesiredState
from kproxy.inspect.diff.compare import compare
from kproxy.inspect.diff.repair import repair
from tests.inspect.diff.states import desired_here
from tests.iptables.kernel_state import manifest

pytestmark = pytest.mark.ipvs


def sh(command: str) -> None:
    subprocess.run(command.split(), check=True)


def node(scenario: str) -> DesiredState:
    sh("ip link set lo up")
    sh("ip link add uplink type veth peer name other")
    sh("ip link set uplink up")
    sh("ip addr add 192.168.77.2/24 dev uplink")
    sh("ip route add default via 192.168.77.3")
    state = desired_here(manifest(scenario), "ipvs")
    repair(state)
    return state


def test_what_somebody_changed_is_found_and_mended(network_namespace: None) -> None:
    state = node("nodeport")
    report = compare(state, "ipvs")
    assert not report.differences
    assert report.compared > 20
    sh("ip addr del 10.96.1.1/32 dev kube-ipvs0")
    sh("iptables -t nat -F KUBE-MARK-MASQ")
    found = {(d.kind, d.place.removeprefix("iptables-nft "), d.object) for d in compare(state, "ipvs").differences}
    assert found == {
        ("missing", "interface kube-ipvs0", "10.96.1.1"),
        ("missing", "nat KUBE-MARK-MASQ", "-j MARK --set-xmark 0x4000/0x4000"),
    }
    repair(state)
    assert not compare(state, "ipvs").differences
