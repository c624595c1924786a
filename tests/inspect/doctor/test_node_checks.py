"""Faults of the node: each is made in a namespace, found, mended by the suggested command, and gone."""

import json
import socket
import struct

import pytest

from kproxy.inspect.doctor.checks import ipvs
from kproxy.inspect.doctor.finding import Severity
from kproxy.kernel.sysctls import read_sysctl
from tests.inspect.doctor.patient import Patient, run
from tests.inspect.status import stock

pytestmark = pytest.mark.root


async def test_ip_forward(patient: Patient) -> None:
    run("sysctl", "-qw", "net.ipv4.ip_forward=0")
    findings = await patient.findings("ip-forward")
    assert findings[0].fixes[0] == "sysctl -w net/ipv4/ip_forward=1"
    await patient.apply(findings)
    assert not await patient.findings("ip-forward")
    assert patient.written("etc/sysctl.d/kproxy-doctor.conf") == ["net/ipv4/ip_forward = 1"]


async def test_ip_forward_of_ipv6(patient: Patient) -> None:
    both = ["10.96.0.10", "fd00:10:96::10"]
    patient.service(ipFamilyPolicy="RequireDualStack", ipFamilies=["IPv4", "IPv6"], clusterIPs=both)
    run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=0")
    (finding,) = await patient.findings("ip-forward")
    assert finding.subject == "node here, IPv6"
    await patient.apply([finding])
    assert not await patient.findings("ip-forward")


async def test_rp_filter(patient: Patient) -> None:
    for command in (
        "ip link add v0 type veth peer name v1",
        "ip addr add 10.9.9.1/24 dev v0",
        "ip link set v0 up",
        "ip link set v1 up",
        "sysctl -qw net.ipv4.conf.v0.rp_filter=1 net.ipv4.conf.all.rp_filter=0",
    ):
        run(*command.split())
    assert not await patient.findings("rp-filter")  # strict, but nothing was dropped
    _spoof("v1", "v0", source="203.0.113.9", destination="10.9.9.1")
    (finding,) = await patient.findings("rp-filter")
    assert "v0" in finding.subject
    assert any("IPReversePathFilter" in words for words in finding.evidence)
    await patient.apply([finding])
    assert not await patient.findings("rp-filter")
    assert patient.written("etc/sysctl.d/kproxy-doctor.conf") == ["net/ipv4/conf/all/rp_filter = 2"]


def _spoof(sender: str, receiver: str, *, source: str, destination: str) -> None:
    """Send one packet with an address that the node has no way back to."""
    mac = bytes.fromhex(json.loads(run("ip", "-j", "link", "show", receiver))[0]["address"].replace(":", ""))
    header = struct.pack(
        ">BBHHHBBH4s4s", 0x45, 0, 28, 1, 0, 64, 17, 0, socket.inet_aton(source), socket.inet_aton(destination)
    )
    total = sum(struct.unpack(">10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    header = header[:10] + struct.pack(">H", ~(total + (total >> 16)) & 0xFFFF) + header[12:]
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((sender, 0))
        sock.send(mac + bytes(6) + b"\x08\x00" + header + struct.pack(">HHHH", 9, 9, 8, 0))


async def test_bridge_netfilter(patient: Patient) -> None:
    if read_sysctl("net/bridge/bridge-nf-call-iptables") is None:
        pytest.skip("this kernel has no br_netfilter")
    for command in (
        "ip link add cni0 type bridge",
        "ip addr add 10.244.1.254/24 dev cni0",
        "ip link add v0 type veth peer name v1",
        "ip link set v0 master cni0 up",
        "ip link set cni0 up",
        "sysctl -qw net.bridge.bridge-nf-call-iptables=0",
    ):
        run(*command.split())
    findings = await patient.findings("bridge-nf-call")
    assert "cni0" in findings[0].subject
    await patient.apply(findings)
    assert not await patient.findings("bridge-nf-call")
    assert patient.written("etc/sysctl.d/kproxy-doctor.conf") == ["net/bridge/bridge-nf-call-iptables = 1"]


async def test_mtu(patient: Patient) -> None:
    _uplink("192.0.2.1/24")
    run("ip", "link", "add", "vx0", "type", "vxlan", "id", "42", "dstport", "4789")
    run("ip", "link", "set", "vx0", "mtu", "1500", "up")
    run("ip", "link", "add", "cni0", "type", "bridge")
    run("ip", "link", "set", "cni0", "mtu", "1500", "up")
    findings = await patient.findings("mtu")
    assert {finding.subject for finding in findings} == {"interface vx0"}
    await patient.apply(findings)
    (finding,) = await patient.findings("mtu")  # and now the bridge in front of it
    assert finding.fixes == ("ip link set cni0 mtu 1450",)
    assert finding.advice.startswith("Set MTU 1450 in the network plugin's configuration, too")
    await patient.apply([finding])
    assert not await patient.findings("mtu")


async def test_mtu_of_many_pods_is_one_finding(patient: Patient) -> None:
    _uplink("192.0.2.1/24")
    run("ip", "link", "set", "up0", "mtu", "1400")
    for number in range(10):
        run("ip", "link", "add", f"veth{number}", "type", "veth", "peer", "name", f"pod{number}")
        run("ip", "link", "set", f"veth{number}", "up")
    (finding,) = await patient.findings("mtu")
    assert finding.subject.endswith("and 2 more")
    assert finding.evidence == ("MTU 1500", "up0 takes 1400 bytes")
    await patient.apply([finding])
    assert not await patient.findings("mtu")


def _uplink(address: str) -> None:
    run("ip", "tuntap", "add", "up0", "mode", "tap")
    run("ip", "addr", "add", address, "dev", "up0")
    run("ip", "link", "set", "up0", "up")


async def test_an_interface_that_overlaps_with_pods(patient: Patient) -> None:
    _uplink("10.244.7.9/24")
    (finding,) = await patient.findings("overlapping-networks")
    assert "clusterCIDR" in finding.evidence[0]
    assert finding.fixes == ("ip address del 10.244.7.9/24 dev up0",)
    assert "10.244.7.9" in await patient.command(finding.look[0])
    await patient.apply([finding])
    assert not await patient.findings("overlapping-networks")


async def test_the_nodes_own_address_is_not_taken_away(patient: Patient) -> None:
    _uplink("10.244.7.9/24")
    patient.node("10.244.7.9")
    (finding,) = await patient.findings("overlapping-networks")
    assert not finding.fixes
    assert finding.advice == "It is the node's own address: the pods' or Services' network has to change."
    patient.settings["clusterCIDR"] = "10.200.0.0/16"
    assert not await patient.findings("overlapping-networks")


async def test_pods_that_overlap_with_services(patient: Patient) -> None:
    patient.service(ip="10.96.0.10")
    patient.settings["clusterCIDR"] = "10.96.0.0/16"
    (finding,) = await patient.findings("overlapping-networks")
    assert "cluster IP of Service default/web" in "".join(finding.evidence)
    assert not finding.fixes
    assert finding.advice.startswith("One of them has to be chosen anew")
    await patient.command(finding.look[0])
    patient.settings["clusterCIDR"] = "10.244.0.0/16"
    assert not await patient.findings("overlapping-networks")


CANARY = "*mangle\n:KUBE-KUBELET-CANARY - [0:0]\nCOMMIT\n"
MARK = "*nat\n:KUBE-MARK-MASQ - [0:0]\n-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000\nCOMMIT\n"
OTHERS = "*filter\n:INPUT DROP [7:9]\n-A INPUT -i lo -j ACCEPT\nCOMMIT\n"


async def test_a_proxys_rules_in_both_variants_of_iptables(patient: Patient) -> None:
    stock.load_rules(CANARY + MARK + OTHERS, "nft")
    stock.load_iptables("clusterip", "legacy")  # more rules, but the kubelet is with the other
    stock.load_rules(OTHERS, "legacy")
    (finding,) = await patient.findings("iptables-variants")
    assert finding.severity is Severity.CRITICAL
    assert all("legacy" in fix for fix in finding.fixes)
    for look in finding.look:
        assert "KUBE-" in await patient.command(look)
    await patient.apply([finding])
    kept = run("iptables-legacy-save")
    assert ":INPUT DROP" in kept
    assert "-A INPUT -i lo -j ACCEPT" in kept
    assert "KUBE-MARK-MASQ" in run("iptables-nft-save")
    (finding,) = await patient.findings("iptables-variants")  # others' rules are still there
    assert finding.severity is Severity.WARNING


async def test_others_use_the_other_variant_of_iptables(patient: Patient) -> None:
    stock.load_rules(MARK, "legacy")
    stock.load_rules(OTHERS, "nft")
    (finding,) = await patient.findings("iptables-variants")
    assert finding.severity is Severity.WARNING
    assert finding.fixes[0].startswith("update-alternatives --set iptables /")
    assert finding.advice.startswith("Then restart the programs whose rules the others are")
    assert "legacy" not in await patient.command("iptables --version")
    await patient.apply([finding])
    assert "legacy" in await patient.command("iptables --version")
    for what in (("-F",), ("-P", "INPUT", "ACCEPT")):  # the next boot
        run("iptables-nft", *what)
    await patient.command("iptables -A INPUT -i lo -j ACCEPT")  # and those programs start again
    assert not await patient.findings("iptables-variants")


async def test_conntrack_limits_that_are_not_known(patient: Patient) -> None:
    assert not await patient.findings("conntrack-full", read=lambda _: None)


async def test_missing_ipvs_modules_concern_ipvs_mode_only(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ipvs, "missing_modules", lambda scheduler: ["ip_vs", f"ip_vs_{scheduler}"])
    patient.settings["mode"] = "ipvs"
    (finding,) = await patient.findings("ipvs-modules")
    assert "ip_vs, ip_vs_rr" in finding.evidence[0]
    patient.settings["mode"] = "nftables"
    assert not await patient.findings("ipvs-modules")
