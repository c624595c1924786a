"""Firewalls that drop pods' packets, or those to NodePorts: made, found, mended by the suggested command, and gone.

Neither ufw nor firewalld runs here: instead of their commands, the rules that those were seen to make are added.
"""

import os
from pathlib import Path

import pytest

from kproxy.inspect.doctor.finding import Finding, Severity
from tests.inspect.doctor.patient import Patient, proxy, run
from tests.inspect.status import stock

pytestmark = pytest.mark.root

PODS = "10.244.0.0/16"
RECORDED = Path(__file__).parent / "firewalls"
"""What these programs have made in a network namespace; and their commands were seen to mend it there."""


def load_firewalld() -> None:
    run("nft", "-f", str(RECORDED / "firewalld.nft"))


async def only(patient: Patient, check: str) -> Finding:
    (finding,) = await patient.findings(check)
    return finding


async def mended(patient: Patient, check: str) -> Finding:
    """Apply what the one finding suggests, and see it gone."""
    finding = await only(patient, check)
    await patient.apply([finding])
    assert not await patient.findings(check)
    return finding


@pytest.mark.parametrize("variant", ["legacy", "nft"])
async def test_policy_of_iptables(patient: Patient, variant: str) -> None:
    run(f"iptables-{variant}", "-P", "FORWARD", "DROP")
    finding = await mended(patient, "forward-policy")
    assert finding.subject == f"iptables-{variant} filter FORWARD (iptables)"
    assert f"it drops packets from NodePorts to pods ({PODS})" in finding.evidence
    assert finding.advice.startswith("Rules added by a command are gone after a restart")


async def test_policy_of_ip6tables(patient: Patient) -> None:
    patient.settings["clusterCIDR"] = f"{PODS},fd00:10:244::/56"
    run("ip6tables-nft", "-P", "FORWARD", "DROP")
    finding = await mended(patient, "forward-policy")
    assert finding.fixes[0] == "ip6tables-nft -I FORWARD -s fd00:10:244::/56 -j ACCEPT"


async def test_a_last_rule_that_rejects(patient: Patient) -> None:
    """As distributions of Red Hat had it."""
    run("iptables-nft", "-A", "FORWARD", "-j", "REJECT")
    finding = await mended(patient, "forward-policy")
    assert "iptables-nft filter FORWARD: -j REJECT --reject-with icmp-port-unreachable" in finding.evidence


async def test_pods_whose_network_is_not_known(patient: Patient) -> None:
    patient.settings["clusterCIDR"] = ""
    run("iptables-nft", "-P", "FORWARD", "DROP")
    finding = await only(patient, "forward-policy")
    assert not finding.fixes
    assert finding.advice.startswith("The pods' networks are not known: set clusterCIDR")
    patient.settings["clusterCIDR"] = PODS
    await mended(patient, "forward-policy")


async def test_a_rule_that_is_not_understood_lowers_the_voice(patient: Patient) -> None:
    run("iptables-nft", "-P", "FORWARD", "DROP")
    run("iptables-nft", "-A", "FORWARD", "-m", "length", "--length", "1:9000", "-j", "ACCEPT")
    finding = await mended(patient, "forward-policy")
    assert finding.severity is Severity.WARNING
    assert any("not understood: iptables-nft filter FORWARD: -m length" in words for words in finding.evidence)


async def test_docker(patient: Patient) -> None:
    chains = ":FORWARD DROP [0:0]\n:DOCKER-USER - [0:0]\n"
    stock.load_rules(f"*filter\n{chains}-A FORWARD -j DOCKER-USER\n-A DOCKER-USER -j RETURN\nCOMMIT\n", "nft")
    finding = await mended(patient, "forward-policy")
    assert "(docker)" in finding.subject
    assert finding.fixes[0] == f"iptables-nft -I DOCKER-USER -s {PODS} -j ACCEPT"


async def test_ufw(patient: Patient) -> None:
    stock.load_rules((RECORDED / "ufw.txt").read_text(), "nft")
    finding = await only(patient, "forward-policy")
    assert (finding.subject, finding.severity) == ("iptables-nft filter FORWARD (ufw)", Severity.CRITICAL)
    assert finding.fixes == (f"ufw route allow from {PODS}", f"ufw route allow to {PODS}")
    for side in ("-s", "-d"):
        run("iptables-nft", "-A", "ufw-user-forward", side, PODS, "-j", "ACCEPT")
    assert not await patient.findings("forward-policy")


async def test_firewalld(patient: Patient) -> None:
    load_firewalld()
    finding = await only(patient, "forward-policy")
    assert finding.subject == "inet firewalld filter_FORWARD (firewalld)"
    assert not any("from NodePorts" in words for words in finding.evidence)  # what is translated passes
    assert finding.fixes == (
        f"firewall-cmd --permanent --zone=trusted --add-source={PODS}",
        "firewall-cmd --reload",
    )
    run("nft", "add table inet firewalld { chain filter_FWD_trusted { accept; }; }")
    run("nft", f"insert rule inet firewalld filter_FORWARD_ZONES ip saddr {PODS} goto filter_FWD_trusted")
    assert not await patient.findings("forward-policy")


async def test_a_table_of_ones_own(patient: Patient) -> None:
    run("nft", "table inet mine { chain forward { type filter hook forward priority 0; policy drop; }; }")
    finding = await mended(patient, "forward-policy")
    assert finding.subject == "inet mine forward (nftables)"
    assert finding.fixes[1] == f"nft insert rule inet mine forward ip daddr {PODS} accept"


async def test_what_a_firewall_accepts_by_a_set_is_no_finding(patient: Patient) -> None:
    pods = f"set pods {{ type ipv4_addr; flags interval; elements = {{ {PODS} }}; }}"
    rules = "ip saddr @pods accept; ip daddr @pods accept;"
    run(
        "nft", f"table inet mine {{ {pods}; chain f {{ type filter hook forward priority 0; policy drop; {rules} }}; }}"
    )
    assert not await patient.findings("forward-policy")


async def test_rules_that_cannot_be_read_are_said(
    patient: Patient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for program in ("iptables", "iptables-nft", "iptables-legacy"):
        path = tmp_path / "broken" / f"{program}-save"
        path.parent.mkdir(exist_ok=True)
        path.write_text("#!/bin/sh\necho out of order >&2\nexit 1\n")
        path.chmod(0o755)
    with monkeypatch.context() as broken:
        broken.setenv("PATH", f"{tmp_path}/broken:{os.environ['PATH']}")
        finding = await only(patient, "forward-policy")
    assert finding.severity is Severity.NOTE
    assert "out of order" in finding.evidence[0]
    assert not await patient.findings("forward-policy")


# ---------------------------------------------------------------------- NodePorts


@pytest.fixture
def node_port(patient: Patient) -> Patient:
    run("ip", "addr", "add", "192.0.2.1/32", "dev", "lo")
    patient.service(type="NodePort", ports=[{"name": "http", "port": 80, "nodePort": 30080}])
    patient.slice("web", "10.244.1.1")
    return patient


async def test_node_ports_before_they_are_translated(node_port: Patient) -> None:
    chain = 'type filter hook prerouting priority -300; policy drop; iif "lo" accept;'
    run("nft", f"table inet mine {{ chain early {{ {chain} }}; }}")
    finding = await mended(node_port, "node-port-firewall")
    assert finding.fixes == ("nft insert rule inet mine early tcp dport 30000-32767 accept",)
    assert "it drops packets to NodePort 30080/TCP" in finding.evidence


@pytest.mark.parametrize("variant", ["legacy", "nft"])
async def test_node_ports_in_iptables_raw_table(node_port: Patient, variant: str) -> None:
    run(f"iptables-{variant}", "-t", "raw", "-A", "PREROUTING", "!", "-i", "lo", "-j", "DROP")
    finding = await mended(node_port, "node-port-firewall")
    command = f"iptables-{variant} -t raw -I PREROUTING -p tcp --dport 30000:32767 -j ACCEPT"
    assert finding.fixes == (command,)


async def test_what_the_node_itself_takes_concerns_ipvs_and_userspace_mode_only(node_port: Patient) -> None:
    run("iptables-nft", "-P", "INPUT", "DROP")
    run("iptables-nft", "-A", "INPUT", "-i", "lo", "-j", "ACCEPT")  # the API server, and the proxy's metrics
    run("iptables-nft", "-A", "INPUT", "-p", "tcp", "--dport", "22", "-j", "ACCEPT")
    async with proxy("nftables"):
        assert not await node_port.findings("node-port-firewall")
    async with proxy("ipvs"):
        finding = await mended(node_port, "node-port-firewall")
    assert finding.fixes == ("iptables-nft -I INPUT -p tcp --dport 30000:32767 -j ACCEPT",)
    async with proxy("userspace"):
        finding = await mended(node_port, "node-port-firewall")
    assert finding.fixes == ("iptables-nft -I INPUT -m conntrack --ctstate DNAT -j ACCEPT",)


async def test_node_ports_and_ufw(node_port: Patient) -> None:
    stock.load_rules((RECORDED / "ufw.txt").read_text(), "nft")
    async with proxy("ipvs"):
        finding = await only(node_port, "node-port-firewall")
        assert (finding.fixes, finding.severity) == (("ufw allow 30000:32767/tcp",), Severity.CRITICAL)
        ports = ("-p", "tcp", "-m", "multiport", "--dports", "30000:32767")
        run("iptables-nft", "-A", "ufw-user-input", *ports, "-j", "ACCEPT")
        assert not await node_port.findings("node-port-firewall")


async def test_node_ports_and_firewalld(node_port: Patient) -> None:
    load_firewalld()
    async with proxy("ipvs"):
        finding = await only(node_port, "node-port-firewall")
        assert finding.fixes == ("firewall-cmd --permanent --add-port=30000-32767/tcp", "firewall-cmd --reload")
        run(
            "nft", "add", "rule", "inet", "firewalld", "filter_IN_public_allow", "tcp", "dport", "30000-32767", "accept"
        )
        assert not await node_port.findings("node-port-firewall")
