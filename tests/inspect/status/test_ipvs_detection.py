"""IPVS mode in a real kernel (tests/vm has one where this machine's has no IPVS)."""

import subprocess

import pytest

from kproxy.inspect.detection.detect import detect
from kproxy.inspect.doctor.rules import rules_hold
from kproxy.services.addresses import Family, parse_address
from kproxy.services.model import Endpoint, ServiceName, ServicePort
from kproxy.switch.leftovers import remove_leftovers

pytestmark = [
    pytest.mark.root,
    pytest.mark.usefixtures("network_namespace"),
    pytest.mark.ipvs,
]


def run(command: str) -> None:
    subprocess.run(command.split(), check=True)


def load() -> None:
    """What a kube-proxy in IPVS mode leaves."""
    for command in (
        "ip link add kube-ipvs0 type dummy",
        "ip addr add 10.96.0.10/32 dev kube-ipvs0",
        "ipvsadm -A -t 10.96.0.10:80 -s rr",
        "ipvsadm -a -t 10.96.0.10:80 -r 10.244.1.1:8080 -m",
    ):
        run(command)


def port(*endpoints: str) -> ServicePort:
    packed = [parse_address(text) for text in ("10.96.0.10", *endpoints)]
    addresses = [address for address in packed if address is not None]
    chosen = tuple(Endpoint(address, 8080, local=True) for address in addresses[1:])
    return ServicePort(
        service=ServiceName("default", "web"),
        port_name="http",
        family=Family.IPV4,
        protocol="TCP",
        port=80,
        cluster_ip=addresses[0],
        cluster_endpoints=chosen,
        has_endpoints=bool(chosen),
    )


async def test_virtual_servers_tell_the_mode() -> None:
    load()
    found = await detect()
    assert found.mode == "ipvs"
    assert found.footprints[0].objects == {"service addresses": 1, "virtual servers": 1}
    assert "interface kube-ipvs0 with 1 addresses" in found.evidence[0]
    assert await remove_leftovers("nftables", {"ipvs"}) == ["1 virtual servers", "interface kube-ipvs0"]
    assert (await detect()).mode is None


async def test_somebody_elses_virtual_servers_are_no_mode() -> None:
    run("ipvsadm -A -t 192.0.2.9:80 -s rr")
    assert (await detect()).mode is None


def test_a_service_is_found_with_its_endpoints() -> None:
    load()
    held = rules_hold("ipvs", port("10.244.1.1"))
    assert held is not None
    assert held.present, held.detail
    lacking = rules_hold("ipvs", port("10.244.1.1", "10.244.1.2"))
    assert lacking is not None
    assert lacking.detail == "IPVS lacks 1 of 2 endpoints: 10.244.1.2"
