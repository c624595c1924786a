"""What `render` prints is what `nft` prints of the kernel's table."""

import re
import subprocess
from pathlib import Path

import pytest

from kproxy.backends.nftables.delta import Delta
from kproxy.backends.nftables.desired import DesiredTable
from kproxy.backends.nftables.render import render
from kproxy.backends.nftables.ruleset import RulesetOptions
from kproxy.backends.nftables.statements import IP
from kproxy.services.addresses import Family, parse_address
from kproxy.services.local_traffic import LocalTraffic
from kproxy.services.objects import KubeObject
from tests.coroutines import to_end
from tests.nftables.kernel_state import FAMILIES, POD_NETWORKS
from tests.services.builders import endpoint, service, slice_of, tracker_of

NODE_IPS = {address for text in ("192.0.2.1", "2001:db8::a") if (address := parse_address(text))}


def objects() -> list[KubeObject]:
    """Something for every set and map, in both families."""
    made: list[KubeObject] = []
    for number, (internal, external) in enumerate([("Cluster", "Cluster"), ("Local", "Local"), ("Cluster", "Local")]):
        for populated in (True, False):
            name = f"s{number}{populated:d}"
            made.append(
                service(
                    name,
                    type="LoadBalancer",
                    clusterIPs=[f"10.96.{populated:d}.{number + 1}", f"fd00:10:96::{populated:d}{number + 1}"],
                    internalTrafficPolicy=internal,
                    externalTrafficPolicy=external,
                    externalIPs=[f"203.0.113.{10 * populated + number}", f"2001:db8::{populated:d}{number}"],
                    ingress=[{"ip": f"198.51.100.{10 * populated + number}"}],
                    loadBalancerSourceRanges=["10.0.0.0/8", "192.168.77.100/32", "172.16.0.0/12"],
                    ports=[{"name": "http", "port": 80, "nodePort": 30000 + 10 * populated + number}],
                )
            )
            if populated:
                v4 = [endpoint(f"10.244.0.{i}", nodeName="here") for i in range(1, 3 + number)]
                made.append(slice_of(name, *v4, endpoint("10.244.1.1", nodeName="there")))
                v6 = endpoint("fd00:10:244::1", nodeName="there" if number == 1 else "here")
                made.append(slice_of(name, v6, name=f"{name}-v6", family="IPv6"))
    for number, seconds in enumerate((10, 10800, 86399)):
        affinity = {"clientIP": {"timeoutSeconds": seconds}}
        made.append(
            service(
                f"sticky{number}",
                type="NodePort",
                clusterIPs=[f"10.96.7.{number + 1}", f"fd00:10:96::7{number + 1}"],
                externalTrafficPolicy="Local" if number else "Cluster",
                ports=[{"name": "http", "port": 80, "nodePort": 30700 + number}],
                sessionAffinity="ClientIP",
                sessionAffinityConfig=affinity,
            )
        )
        made.append(slice_of(f"sticky{number}", endpoint("10.244.0.1", nodeName="here"), "10.244.1.1"))
    for number, algorithm in enumerate(["round-robin", "source-hash", "destination-hash", "weighted"]):
        ports = [{"name": "http", "port": 80, "nodePort": 30800 + number}]
        how = {"kproxy/balancing": algorithm, "kproxy/weights": "node=3"}
        ips = [f"10.96.8.{number + 1}", f"fd00:10:96::8{number + 1}"]
        made.append(service(f"by-{algorithm}", clusterIPs=ips, type="NodePort", ports=ports, annotations=how))
        made.append(slice_of(f"by-{algorithm}", endpoint("10.244.0.1", nodeName="here"), "10.244.1.1"))
        six = slice_of(f"by-{algorithm}", "fd00:10:244::1", "fd00:10:244::2", name=f"by-{algorithm}-v6", family="IPv6")
        made.append(six)
    made.append(service("udp", clusterIP="10.96.5.5", ports=[{"name": "http", "port": 53, "protocol": "UDP"}]))
    made.append(service("sctp", clusterIP="10.96.5.6", ports=[{"name": "http", "port": 99, "protocol": "SCTP"}]))
    return made


def normalised(text: str) -> list[str]:
    """Lines without indentation; a set's elements one a line, sorted, for the kernel has them in hash order."""
    lines = []
    # nft 1.1 has names for these priorities, nft 1.0 numbers.
    text = text.replace("output priority dstnat - 10;", "output priority -110;").replace(
        "output priority dstnat;", "output priority -100;"
    )
    for line in re.sub(r",\n\s*", ", ", text).splitlines():
        line = line.strip()
        if line.startswith("elements = {"):
            lines += sorted(line.removeprefix("elements = {").removesuffix("}").strip().split(", "))
        elif line:
            lines.append(line)
    return lines


@pytest.fixture(scope="module", params=["installed", "1.1"])
def nft(request: pytest.FixtureRequest) -> list[str]:
    """The command of the installed nft, or of a newer one; fetched before the test leaves this namespace."""
    if request.param == "installed":
        return ["nft"]
    project = Path(__file__).parents[2]
    fetch = [str(project / "scripts" / "fetch-newer-nft"), str(project / ".cache" / "nft")]
    command = subprocess.run(fetch, check=True, capture_output=True, text=True).stdout.split()
    assert " v1.1." in subprocess.run([*command, "--version"], check=True, capture_output=True, text=True).stdout
    return command


@pytest.mark.parametrize(
    "local",
    [None, LocalTraffic(interface="cni0"), LocalTraffic(interface_prefix="veth"), LocalTraffic()],
    ids=["network", "interface", "interface-prefix", "no-way-to-tell"],
)
@pytest.mark.parametrize("masquerade_all", [False, True])
@pytest.mark.usefixtures("network_namespace")
def test_render_prints_what_nft_lists(local: LocalTraffic | None, masquerade_all: bool, nft: list[str]) -> None:
    from kproxy.backends.nftables.backend import NftablesBackend

    tracker = tracker_of(objects())
    backend = NftablesBackend(FAMILIES, RulesetOptions(masquerade_all=masquerade_all))
    how = POD_NETWORKS if local is None else dict.fromkeys(Family, local)
    backend.set_local_traffic(how)
    backend.set_node_port_addresses(NODE_IPS)
    assert not [outcome.refused for outcome in to_end(backend.sync_all((), tracker)) if outcome.refused]
    for family in FAMILIES:
        table = DesiredTable(family)
        for name in tracker.names():
            table.put(name, tracker.ports(name, family), None)
        table.put_node_port_ips({a for a in NODE_IPS if len(a) == family.length}, Delta())
        rendered = "\n".join(render(table, RulesetOptions(how[family], masquerade_all)))
        command = [*nft, "list", "table", IP[family], "kube-proxy"]
        listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        assert normalised(rendered) == normalised(listed)
        assert rendered.count("elements = {") >= (19 if family is Family.IPV4 else 14)
