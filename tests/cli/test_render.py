"""`kproxy render`: the rules of each mode, printed for whoever is asked."""

import subprocess
import sys
from pathlib import Path

import pytest

from kproxy.backends.iptables.tool import Variant
from kproxy.kernel.processes import run as run_program
from kproxy.services.addresses import Family
from kproxy.services.objects import KubeObject
from tests.iptables.kernel_state import POD_NETWORKS, backend, kernel_rules, tools_of, tracker_of, written
from tests.services.builders import service, slice_of

KPROXY = str(Path(sys.executable).parent / "kproxy")
MANIFEST = """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec:
  type: NodePort
  clusterIP: 10.96.0.10
  ports: [{name: http, port: 80, nodePort: 30080}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: default, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints: [{addresses: [10.244.1.10]}, {addresses: [10.244.1.11]}]
"""
OBJECTS: list[KubeObject] = [
    service("web", type="NodePort", ports=[{"name": "http", "port": 80, "nodePort": 30080}]),
    slice_of("web", "10.244.1.10", "10.244.1.11"),
]


def render(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [KPROXY, "render", "--manifests", str(folder), *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def manifests(tmp_path: Path) -> Path:
    folder = tmp_path / "manifests"
    folder.mkdir()
    (folder / "web.yaml").write_text(MANIFEST)
    return folder


def split(text: str) -> dict[Family, bytes]:
    ipv4, ipv6 = text.split("# ip6tables-restore --noflush\n")
    return {Family.IPV4: ipv4.removeprefix("# iptables-restore --noflush\n").encode(), Family.IPV6: ipv6.encode()}


@pytest.mark.usefixtures("network_namespace")
@pytest.mark.parametrize("masquerade_all", [False, True])
async def test_iptables_rules_are_those_that_a_proxy_writes(
    masquerade_all: bool, manifests: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XTABLES_LOCKFILE", str(tmp_path / "xtables.lock"))
    arguments = ["--mode", "iptables", "--cluster-cidr", "10.244.0.0/16,fd00:10:244::/48"]
    shown = render(manifests, *arguments, *(["--masquerade-all"] if masquerade_all else []))
    assert shown.returncode == 0, shown.stderr
    tools = tools_of(Variant.LEGACY)
    running = backend(tools, masquerade_all=masquerade_all)
    assert POD_NETWORKS.keys() == tools.keys()
    written(await running.sync_all((), tracker_of(OBJECTS)))
    wanted = kernel_rules(tools)
    for family, text in split(shown.stdout).items():
        program = "iptables" if family is Family.IPV4 else "ip6tables"
        for table in ("nat", "filter", "mangle"):
            await run_program([f"{program}-legacy", "-t", table, "-F"], time_limit=10)
            await run_program([f"{program}-legacy", "-t", table, "-X"], time_limit=10)
        await run_program([f"{program}-legacy-restore", "--noflush"], text, time_limit=10)
    assert kernel_rules(tools) == wanted


def test_node_ports_answer_on_the_addresses_that_are_given(manifests: Path) -> None:
    everywhere = render(manifests, "--mode", "iptables").stdout
    assert "--dst-type LOCAL -j KUBE-NODEPORTS" in split(everywhere)[Family.IPV4].decode()
    given = render(manifests, "--mode", "iptables", "--node-port-addresses", "192.0.2.1, 192.0.2.2").stdout
    ipv4 = split(given)[Family.IPV4].decode()
    assert "--dst-type LOCAL -j KUBE-NODEPORTS" not in ipv4
    assert "-A KUBE-SERVICES -d 192.0.2.2/32 " in ipv4


def test_ipvs_is_what_its_tools_read(manifests: Path) -> None:
    arguments = ["--mode", "ipvs", "--cluster-cidr", "10.244.0.0/16", "--node-port-addresses", "192.0.2.1"]
    shown = render(manifests, *arguments)
    assert shown.returncode == 0, shown.stderr
    ipv4, _, ipv6 = shown.stdout.partition("# ip6tables-restore --noflush\n")[0].rpartition("# ipvsadm-restore\n")
    for line in (
        "-A -t 10.96.0.10:80 -s rr",
        "-a -t 10.96.0.10:80 -r 10.244.1.10:8080 -m -w 1",
        "-A -t 192.0.2.1:30080 -s rr",
        "-a -t 192.0.2.1:30080 -r 10.244.1.11:8080 -m -w 1",
        "address add 10.96.0.10/32 dev kube-ipvs0",
        "create KUBE-CLUSTER-IP hash:ip,port family inet",
        "add KUBE-CLUSTER-IP 10.96.0.10,tcp:80",
        "create KUBE-NODE-PORT-TCP bitmap:port range 0-65535",
        "add KUBE-NODE-PORT-TCP 30080",
        ":KUBE-MARK-MASQ - [0:0]",
    ):
        assert f"{line}\n" in ipv4
    assert "create KUBE-6-CLUSTER-IP hash:ip,port family inet6\n" in ipv6
    assert "\nadd " not in ipv6


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--mode", "userland"], "--mode userland: only nftables, iptables, ipvs can be rendered\n"),
        (["--node-port-addresses", "192.0.2.1,eth0"], "--node-port-addresses: eth0 is not an IP address\n"),
    ],
)
def test_what_cannot_be_is_one_line(arguments: list[str], complaint: str, manifests: Path) -> None:
    shown = render(manifests, *arguments)
    assert (shown.returncode, shown.stdout, shown.stderr) == (2, "", complaint)
