"""Faults of the node: each is made in a namespace, found, mended by the suggested command, and gone."""

import json
import socket
import struct
import sys
from pathlib import Path

import pytest

from kproxy.inspect.doctor.checks.ipvs import missing_modules
from kproxy.inspect.doctor.finding import Severity
from kproxy.kernel.sysctls import read_sysctl
from tests.inspect.doctor.patient import Patient, run, started
from tests.inspect.status import stock

pytestmark = pytest.mark.root

HAS_IPVS = Path("/proc/net/ip_vs").exists()


async def test_ip_forward(patient: Patient) -> None:
    run("sysctl", "-qw", "net.ipv4.ip_forward=0")
    findings = await patient.findings("ip-forward")
    assert findings[0].fixes == ("sysctl -w net/ipv4/ip_forward=1",)
    await patient.apply(findings)
    assert not await patient.findings("ip-forward")


async def test_conntrack_full(patient: Patient) -> None:
    """The table's limit is the whole machine's, so this one is made up."""
    made_up = {"net/netfilter/nf_conntrack_count": "97", "net/netfilter/nf_conntrack_max": "100"}

    def read(name: str) -> str | None:
        return made_up.get(name) or read_sysctl(name)

    (finding,) = await patient.findings("conntrack-full", read=read)
    assert finding.severity is Severity.CRITICAL
    assert finding.fixes == ("sysctl -w net/netfilter/nf_conntrack_max=200",)
    made_up["net/netfilter/nf_conntrack_max"] = "200"
    assert not await patient.findings("conntrack-full", read=read)


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


@pytest.mark.parametrize("variant", ["legacy", "nft"])
async def test_forward_policy_of_iptables(patient: Patient, variant: str) -> None:
    run(f"iptables-{variant}", "-P", "FORWARD", "DROP")
    (finding,) = await patient.findings("forward-policy")
    assert finding.subject == f"iptables-{variant} FORWARD (iptables)"
    await patient.apply([finding])
    assert not await patient.findings("forward-policy")


async def test_dockers_forward_policy(patient: Patient) -> None:
    chains = ":FORWARD DROP [0:0]\n:DOCKER-USER - [0:0]\n"
    stock.load_rules(f"*filter\n{chains}-A FORWARD -j DOCKER-USER\n-A DOCKER-USER -j RETURN\nCOMMIT\n", "nft")
    (finding,) = await patient.findings("forward-policy")
    assert "(docker)" in finding.subject
    assert finding.fixes[0] == "iptables-nft -I DOCKER-USER -s 10.244.0.0/16 -j ACCEPT"
    await patient.apply([finding])
    assert not await patient.findings("forward-policy")


async def test_ufws_forward_policy_is_mended_with_ufw(patient: Patient) -> None:
    stock.load_rules(
        "*filter\n:FORWARD DROP [0:0]\n:ufw-user-forward - [0:0]\n-A FORWARD -j ufw-user-forward\nCOMMIT\n"
    )
    (finding,) = await patient.findings("forward-policy")
    assert finding.fixes[0] == "ufw route allow from 10.244.0.0/16"
    for side in ("-s", "-d"):  # as ufw does it
        run("iptables-legacy", "-A", "ufw-user-forward", side, "10.244.0.0/16", "-j", "ACCEPT")
    assert not await patient.findings("forward-policy")


@pytest.mark.parametrize(
    ("table", "chain", "program"),
    [
        ("firewalld", "type filter hook forward priority 10; ct state established accept; reject;", "firewalld"),
        ("mine", "type filter hook forward priority 0; policy drop;", "nftables"),
    ],
)
async def test_forward_policy_of_nftables(patient: Patient, table: str, chain: str, program: str) -> None:
    run("nft", f"table inet {table} {{ chain forward {{ {chain} }}; }}")
    (finding,) = await patient.findings("forward-policy")
    assert f"({program})" in finding.subject
    if program == "firewalld":
        assert finding.fixes[0] == "firewall-cmd --permanent --zone=trusted --add-source=10.244.0.0/16"
        for side in ("saddr", "daddr"):  # as firewalld does it, in effect
            run("nft", "insert", "rule", "inet", table, "forward", "ip", side, "10.244.0.0/16", "accept")
    else:
        await patient.apply([finding])
    assert not await patient.findings("forward-policy")


async def test_mtu(patient: Patient) -> None:
    _uplink("192.0.2.1/24")
    run("ip", "link", "add", "vx0", "type", "vxlan", "id", "42", "dstport", "4789")
    run("ip", "link", "set", "vx0", "mtu", "1500", "up")
    run("ip", "link", "add", "cni0", "type", "bridge")
    run("ip", "link", "set", "cni0", "mtu", "1500", "up")
    findings = await patient.findings("mtu")
    assert {finding.subject for finding in findings} == {"interface vx0"}
    await patient.apply(findings)
    findings = await patient.findings("mtu")  # and now the bridge in front of it
    assert [finding.fixes for finding in findings] == [("ip link set cni0 mtu 1450",)]
    await patient.apply(findings)
    assert not await patient.findings("mtu")


def _uplink(address: str) -> None:
    run("ip", "tuntap", "add", "up0", "mode", "tap")
    run("ip", "addr", "add", address, "dev", "up0")
    run("ip", "link", "set", "up0", "up")


async def test_overlapping_networks(patient: Patient) -> None:
    _uplink("10.244.7.9/24")
    (finding,) = await patient.findings("overlapping-networks")
    assert "clusterCIDR" in finding.evidence[0]
    assert finding.fixes == ("ip address del 10.244.7.9/24 dev up0",)
    await patient.apply([finding])
    assert not await patient.findings("overlapping-networks")
    patient.service(ip="10.96.0.10")
    patient.settings["clusterCIDR"] = "10.96.0.0/16"
    (finding,) = await patient.findings("overlapping-networks")
    assert "cluster IP of Service default/web" in "".join(finding.evidence)


async def test_node_port_addresses(patient: Patient) -> None:
    run("ip", "addr", "add", "192.0.2.1/32", "dev", "lo")
    patient.service(type="NodePort")
    patient.slice("web", "10.244.1.1")
    patient.settings["nodePortAddresses"] = ["10.99.0.0/16"]
    (finding,) = await patient.findings("node-port-addresses")
    assert finding.severity is Severity.CRITICAL
    assert "192.0.2.1" in finding.evidence[1]
    patient.settings["nodePortAddresses"] = ["primary"]
    assert not await patient.findings("node-port-addresses")


async def test_node_port_firewall(patient: Patient) -> None:
    patient.service(type="NodePort")
    patient.slice("web", "10.244.1.1")
    chain = 'type filter hook prerouting priority -300; policy drop; iif "lo" accept;'
    run("nft", f"table inet mine {{ chain early {{ {chain} }}; }}")
    (finding,) = await patient.findings("node-port-firewall")
    assert finding.fixes == ("nft insert rule inet mine early tcp dport 30000-32767 accept",)
    await patient.apply([finding])
    assert not await patient.findings("node-port-firewall")


async def test_node_port_taken_by_a_program(patient: Patient) -> None:
    patient.service(type="NodePort", ports=[{"name": "http", "port": 80, "nodePort": 30080}])
    patient.slice("web", "10.244.1.1")
    script = "import socket,time\ns=socket.create_server(('0.0.0.0',30080))\nprint('up',flush=True)\ntime.sleep(60)"
    process = await started([sys.executable, "-c", script])
    (finding,) = await patient.findings("node-port-taken")
    assert f"(process {process.pid}) listens on port 30080/TCP" in finding.evidence[0]
    await patient.apply([finding])
    await process.wait()
    assert not await patient.findings("node-port-taken")


async def test_local_port_range(patient: Patient) -> None:
    patient.service(type="NodePort")
    patient.slice("web", "10.244.1.1")
    run("sysctl", "-qw", "net.ipv4.ip_local_port_range=1024 65000")
    (finding,) = await patient.findings("local-port-range")
    await patient.apply([finding])
    assert read_sysctl("net/ipv4/ip_local_reserved_ports") == "30000-32767"
    assert not await patient.findings("local-port-range")


async def test_iptables_variants(patient: Patient) -> None:
    stock.load_iptables("clusterip", "legacy")
    stock.load_rules("*nat\n:KUBE-MARK-MASQ - [0:0]\n-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000\nCOMMIT\n", "nft")
    (finding,) = await patient.findings("iptables-variants")
    assert finding.severity is Severity.CRITICAL
    assert all("-nft" in fix for fix in finding.fixes)  # the one with fewer
    await patient.apply([finding])
    assert not await patient.findings("iptables-variants")


async def test_missing_ipvs_modules(patient: Patient) -> None:
    patient.settings["mode"] = "ipvs"
    if HAS_IPVS:
        assert not await patient.findings("ipvs-modules")
        assert missing_modules("nosuch") == ["ip_vs_nosuch"]
        return
    (finding,) = await patient.findings("ipvs-modules")
    assert finding.fixes == ("modprobe -a ip_vs ip_vs_rr",)
    patient.settings["mode"] = "nftables"
    assert not await patient.findings("ipvs-modules")
