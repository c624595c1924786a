"""The backend and a kernel with IPVS: what it programs, mends, leaves alone and takes back."""

import asyncio
import subprocess

import pytest

from kproxy.backends.ipvs.cleanup import cleanup
from kproxy.backends.ipvs.readback import INTERFACE
from kproxy.backends.ipvs.sets import SetName
from kproxy.kernel.ipset.elements import ip_port_ip
from kproxy.kernel.ipvs.protocol import ServerSettings
from kproxy.services.addresses import Family, parse_network
from kproxy.services.model import ServiceName
from kproxy.services.objects import Service
from kproxy.services.tracker import ServiceTracker
from tests.ipvs.kernel.running import put, started
from tests.ipvs.kernel_state import at, backend, contents, ip, tcp, tracker_of
from tests.services.builders import endpoint, service, slice_of

NODE = [ip("192.168.0.1"), ip("fd00:77::1")]
KEY = tcp("10.96.0.10", 80)
VIP = ip("198.51.100.1")
RR = ServerSettings("rr")

pytestmark = pytest.mark.usefixtures("ipvs_namespace")


def run(*arguments: str) -> str:
    return subprocess.run(arguments, check=True, capture_output=True, text=True).stdout


def web() -> ServiceTracker:
    return tracker_of(
        [
            service(
                "web",
                type="LoadBalancer",
                clusterIPs=["10.96.0.10", "fd00:10:96::10"],
                ports=[{"name": "http", "port": 80, "nodePort": 30080}],
                ingress=[{"ip": "198.51.100.1"}],
                loadBalancerSourceRanges=["10.0.0.0/8"],
            ),
            slice_of("web", endpoint("10.244.0.1", nodeName="here"), "10.244.1.1"),
            slice_of("web", "fd00:10:244::1", name="web-6", family="IPv6"),
        ]
    )


def rules() -> str:
    return "".join(
        line + "\n"
        for program in ("iptables-save", "ip6tables-save")
        for line in run(program).splitlines()
        if line.startswith(("-A", "*"))
    )


async def test_start_restart_tampering_and_cleanup() -> None:
    tracker = web()
    first = await started(tracker, NODE)
    expected, written = contents(), rules()
    assert expected.servers[KEY] == (RR, {at("10.244.0.1", 8080): 1, at("10.244.1.1", 8080): 1})
    assert expected.servers[tcp("fd00:77::1", 30080)] == (RR, {at("fd00:10:244::1", 8080): 1})
    assert expected.addresses == {ip("10.96.0.10"), ip("198.51.100.1"), ip("fd00:10:96::10")}
    assert not await first._drifted()
    assert {table: count.total for table, count in first.rule_counts()[Family.IPV4].items()} == {
        table: sum(rule_line.startswith("-A") for rule_line in run("iptables-save", "-t", table).splitlines())
        for table in ("nat", "filter")
    }
    first.close()

    # A restart changes nothing that is right.
    run("ipvsadm", "-A", "-t", "192.0.2.1:80", "-s", "rr")
    again = backend()
    again.set_node_port_addresses(NODE)
    outcomes = await again.sync_all((), tracker)
    assert [(o.objects, o.bytes, o.refused) for o in outcomes] == [(0, 0, ())] * 2
    assert rules() == written

    # What somebody else breaks is noticed, and mended.
    run("ipvsadm", "-D", "-t", "10.96.0.10:80")
    run("ipvsadm", "-e", "-t", "198.51.100.1:80", "-r", "10.244.0.1:8080", "-m", "-w", "5")
    run("ipvsadm", "-a", "-t", "198.51.100.1:80", "-r", "10.244.9.9:8080", "-m")
    run("ip", "address", "del", "198.51.100.1/32", "dev", INTERFACE)
    run("ipset", "flush", "KUBE-CLUSTER-IP")
    run("iptables", "-t", "nat", "-D", "PREROUTING", "1")
    run("iptables", "-F", "KUBE-IPVS-FILTER")
    assert await again._drifted()
    await again.sync_all((), tracker)
    assert rules() == written
    mended = contents()
    foreign = mended.servers.pop(tcp("192.0.2.1", 80))
    assert foreign == (RR, {})
    assert mended == expected
    run("ip", "link", "del", INTERFACE)
    assert await again._drifted()
    await again.sync_all((), tracker)
    assert contents().addresses == expected.addresses
    again.close()

    # Cleanup leaves what is not ours.
    run("ipset", "create", "other", "hash:ip")
    assert await cleanup()
    assert run("ipvsadm-save", "-n") == "-A -t 192.0.2.1:80 -s rr\n"
    assert run("ipset", "save", "-o", "save").startswith("create other ")
    assert "KUBE" not in rules()
    assert INTERFACE not in run("ip", "link")
    assert await cleanup() == []


async def test_one_change_is_one_message() -> None:
    tracker = web()
    made = await started(tracker, NODE)
    await put(made, tracker, service("other", clusterIP="10.96.0.11"), slice_of("other", "10.244.1.1"))
    v4, v6 = await put(made, tracker, slice_of("other", "10.244.1.1", "10.244.1.2"))
    assert (v4.objects, v6.objects) == (1, 0)
    assert v4.bytes == 16 + 4 + 48 + 64  # the headers of netlink and generic netlink, and the two attributes
    v4, _ = await put(made, tracker, slice_of("other", "10.244.1.2"))
    assert (v4.objects, v4.bytes) == (1, 132)
    made.close()


async def test_node_addresses_that_come_and_go() -> None:
    tracker = web()
    made = await started(tracker, NODE)
    made.set_node_port_addresses([ip("192.168.0.2")])
    await made.sync((), tracker)
    ports = {key.address for key in contents().servers if key.port == 30080}
    assert ports == {ip("192.168.0.2")}
    made.close()


async def test_the_nodes_own_address_is_admitted_when_it_becomes_known() -> None:
    tracker = web()
    made = await started(tracker, NODE)
    assert contents().elements[Family.IPV4, SetName.SOURCE_IP] == set()
    made.set_node_ips([ip("10.1.2.3")])
    await made.sync((), tracker)
    assert contents().elements[Family.IPV4, SetName.SOURCE_IP] == {ip_port_ip(VIP, 6, 80, VIP)}
    made.close()


async def test_a_restart_finds_the_node_ports_of_the_last_process() -> None:
    tracker = web()
    (await started(tracker, NODE)).close()
    tracker.delete(Service, "default", "web")
    again = backend()
    again.set_node_port_addresses(NODE)
    await again.sync_all((), tracker)
    assert contents().servers == {}
    again.close()


async def test_excluded_networks_are_not_touched() -> None:
    tracker = web()
    (await started(tracker, NODE)).close()
    tracker.delete(Service, "default", "web")
    network = parse_network("10.96.0.0/16")
    assert network
    again = await started(tracker, NODE, excluded=(network,))
    assert set(contents().servers) == {KEY}
    again.close()
    await cleanup((network,))
    assert set(contents().servers) == {KEY}


async def test_what_the_kernel_refuses_does_not_stop_anything_else() -> None:
    tracker = web()
    made = await started(tracker, NODE)
    tracker.upsert(service("poison", clusterIP="10.96.0.66"))
    tracker.upsert(slice_of("poison", "224.0.0.5", "10.244.1.7"))
    tracker.upsert(service("fine", clusterIP="10.96.0.11"))
    tracker.upsert(slice_of("fine", "10.244.1.8"))
    for sync in (made.sync, made.sync_all):
        [refused] = (await sync(tracker.take().services, tracker))[0].refused
        assert refused.service == ServiceName("default", "poison")
        assert "real server 224.0.0.5:8080 of virtual server TCP 10.96.0.66:80" in refused.reason
    found = contents().servers
    assert found[tcp("10.96.0.66", 80)] == (RR, {at("10.244.1.7", 8080): 1})
    assert found[tcp("10.96.0.11", 80)] == (RR, {at("10.244.1.8", 8080): 1})
    assert not await made._drifted()  # nobody else has done it
    made.close()


async def test_another_schedulers_and_affinitys_servers_are_changed_in_place() -> None:
    tracker = web()
    (await started(tracker, NODE)).close()
    affinity = {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}}
    tracker.upsert(service("web", **affinity))
    again = await started(tracker, NODE, scheduler="wlc")
    assert contents().servers[KEY][0] == ServerSettings("wlc", 1, 60)
    again.close()


async def test_what_somebody_else_deletes_is_noticed() -> None:
    tampered = asyncio.Event()
    made = await started(web(), NODE, audit_seconds=0.1)
    made.watch(tampered.set)
    run("ipvsadm", "-D", "-t", "10.96.0.10:80")
    await asyncio.wait_for(tampered.wait(), 30)
    made.close()


async def test_what_has_drained_is_deleted_without_a_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kproxy.backends.ipvs.backend._DRAIN_SECONDS", 0.1)
    tracker = web()
    made = await started(tracker, NODE)
    made.watch(lambda: None)
    await put(made, tracker, slice_of("web", endpoint("10.244.0.1", nodeName="here")))
    assert at("10.244.1.1", 8080) in contents(draining=True).servers[KEY][1]
    async with asyncio.timeout(30):
        while len(made._programmers[Family.IPV4].draining):  # noqa: ASYNC110 - the kernel sends no event
            await asyncio.sleep(0.05)
    assert contents(draining=True).servers[KEY][1] == {at("10.244.0.1", 8080): 1}
    made.close()
