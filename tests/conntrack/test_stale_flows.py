"""Passes over the kernel's table, with senders that keep their ports."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from kproxy.kernel.conntrack.table import ConntrackTable
from kproxy.lab.lab import Lab
from kproxy.node.stale_flows import FlowReconciliation, StaleFlows
from kproxy.services.addresses import Family
from kproxy.services.flows import Flow
from kproxy.services.objects import EndpointSlice, Service
from tests.lab.nft import PREROUTING, load_table

from .entries import SCTP, TCP, Entry, destinations, insert, packed
from .served import DNS_PORT, Served, dns, pods

pytestmark = pytest.mark.root

BOTH = (Family.IPV4, Family.IPV6)
POD_A, POD_B = ("10.244.1.10", 5353), ("10.244.1.11", 5353)
VIP, VIP6, NODE = "10.96.0.10", "fd00:10:96::a", "192.168.77.2"


class Bench:
    """What is served, and the passes made so far."""

    def __init__(self) -> None:
        self.served = Served()
        self.passes: list[FlowReconciliation] = []
        self.stale_flows = StaleFlows(BOTH, on_pass=self.passes.append)
        self.stale_flows.set_node_port_addresses([packed(NODE)])

    async def sync(self, *objects: Service | EndpointSlice) -> int:
        """Put objects, as if the rules had them now; returns the number of flows deleted."""
        for obj in objects:
            self.served.upsert(obj)
        self.stale_flows.changed(self.served.changes(), self.served)
        before = len(self.passes)
        self.stale_flows.reconcile()
        await self.stale_flows.idle()
        return sum(done.deleted for done in self.passes[before:])


@pytest.fixture
async def bench(network_namespace: None) -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    await made.stale_flows.close()


async def test_a_change_without_udp_looks_at_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def look(*arguments: object, **more: object) -> Iterator[Flow]:
        raise AssertionError

    monkeypatch.setattr(ConntrackTable, "flows", look)
    tcp = [{**DNS_PORT, "protocol": "TCP"}]
    assert await bench.sync(dns(ports=tcp), pods(POD_A[0])) == 0
    assert bench.passes == []


async def test_one_pass_for_any_number_of_changes(bench: Bench) -> None:
    names = [f"s{i}" for i in range(50)]
    services = [dns(name, clusterIP=f"10.96.1.{i}") for i, name in enumerate(names)]
    await bench.sync(*services, *(pods(POD_A[0], POD_B[0], service=name) for name in names))
    insert(Entry(("10.0.0.1", 2000 + i), (f"10.96.1.{i}", 53), POD_A) for i in range(50))
    insert(Entry(("10.0.0.1", 3000 + i), (f"10.96.1.{i}", 53), POD_B) for i in range(50))
    bench.passes.clear()
    assert await bench.sync(*(pods(POD_B[0], service=name) for name in names)) == 50
    assert [done.family for done in bench.passes] == [Family.IPV4]
    assert set(destinations().values()) == {1}


async def test_sctp_goes_and_tcp_stays(bench: Bench) -> None:
    ports = [{"name": p.lower(), "port": 53, "protocol": p} for p in ("UDP", "TCP", "SCTP")]
    await bench.sync(dns(ports=ports))
    insert(Entry(("10.0.0.1", 2000 + p), (VIP, 53), POD_A, p) for p in (TCP, SCTP))
    bench.stale_flows.recheck()
    assert await bench.sync() == 1
    assert destinations("-p", "sctp") == {}
    assert destinations("-p", "tcp") == {(VIP, 53): 1}


async def test_twenty_thousand_flows_of_one_endpoint(bench: Bench) -> None:
    await bench.sync(dns(), pods(POD_A[0], POD_B[0]))
    sources = [(f"10.1.{i >> 8}.{i & 255}", 1024 + i) for i in range(20_000)]
    insert(Entry(source, (VIP, 53), (POD_A, POD_B)[i % 2]) for i, source in enumerate(sources))
    assert await bench.sync(pods(POD_B[0])) == 10_000
    assert destinations() == {(VIP, 53): 10_000}


async def test_the_loop_goes_on_and_changes_meanwhile_get_a_pass_of_their_own(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking, go_on = threading.Event(), threading.Event()
    flows: Callable[..., Iterator[Flow]] = ConntrackTable.flows

    def slow(*arguments: object, **more: object) -> Iterator[Flow]:
        looking.set()
        assert go_on.wait(5)
        return flows(*arguments, **more)

    await bench.sync(dns(), dns("more", clusterIP="10.96.0.11"), pods(POD_A[0]), pods(POD_A[0], service="more"))
    insert(Entry(("10.0.0.1", 2000 + i), (address, 53), POD_A) for i, address in enumerate((VIP, "10.96.0.11")))
    monkeypatch.setattr(ConntrackTable, "flows", slow)
    first = asyncio.create_task(bench.sync(pods(POD_B[0])))
    await asyncio.to_thread(looking.wait, 5)
    second = asyncio.create_task(bench.sync(pods(POD_B[0], service="more")))
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(first, second)
    assert [done.deleted for done in bench.passes[-2:]] == [1, 1]
    assert destinations() == {}


async def test_a_pass_that_fails_is_told_once_and_made_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.sync(dns(), pods(POD_A[0]))
    insert([Entry(("10.0.0.1", 2000), (VIP, 53), POD_A)])
    with monkeypatch.context() as patch:

        def fail(*arguments: object, **more: object) -> Iterator[Flow]:
            raise PermissionError(1, "Operation not permitted")

        patch.setattr(ConntrackTable, "flows", fail)
        assert await bench.sync(pods(POD_B[0])) == 0
        assert await bench.sync() == 0
    assert [r.levelno for r in caplog.records] == [logging.ERROR]
    assert "Operation not permitted" in caplog.text
    with caplog.at_level(logging.INFO):
        assert await bench.sync() == 1
    assert "again" in caplog.records[-1].message
    assert destinations() == {}


# ------------------------------------------------------------------ with traffic


class Node:
    """The lab's node, with hand-made rules in a proxy's place."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.bench = lab.namespace("node").run(Bench)
        self.table = lab.namespace("node")

    def lead(self, *rules: str) -> None:
        load_table(self.table, "inet", (PREROUTING, "; ".join(rules)))


@pytest.fixture
async def lab_node() -> AsyncIterator[Node]:
    async with Lab.open(patience=0.3) as lab:
        node = Node(lab)
        yield node
        await node.bench.stale_flows.close()


async def test_a_sender_moves_to_an_endpoint_that_is_there(lab_node: Node) -> None:
    """Both families and a node port, with a TCP connection beside, which stays."""
    lab, bench = lab_node.lab, lab_node.bench

    def lead(last: str) -> None:
        four, six = f"10.244.1.1{0 if last == 'a' else 1}", f"[fd00:10:244:1::{last}]"
        lab_node.lead(
            f"ip daddr {VIP} udp dport 53 dnat ip to {four}:5353",
            f"ip6 daddr {VIP6} udp dport 53 dnat ip6 to {six}:5353",
            f"ip daddr {NODE} udp dport 30053 dnat ip to {four}:5353",
            f"ip daddr {VIP} tcp dport 53 dnat ip to {four}:8080",
        )

    ports = [{**DNS_PORT, "nodePort": 30053}, {"name": "tcp", "port": 53, "protocol": "TCP"}]
    service = dns(type="NodePort", clusterIPs=[VIP, VIP6], ports=ports)
    six: dict[str, Any] = {"name": "dns-6", "family": "IPv6"}
    lead("a")
    both = pods("10.244.1.10", "10.244.1.11"), pods("fd00:10:244:1::a", "fd00:10:244:1::b", **six)
    assert await bench.sync(service, *both) == 0
    with (
        lab.flow("ext", "UDP", VIP, 53) as to_vip,
        lab.flow("ext", "UDP", VIP6, 53) as to_vip6,
        lab.flow("ext", "UDP", NODE, 30053) as to_node_port,
        lab.flow("ext", "TCP", VIP, 53) as connection,
    ):
        flows = (to_vip, to_vip6, to_node_port, connection)
        assert [(await flow.ask()).pod for flow in flows] == ["pod-a"] * 4
        lead("b")
        assert [(await flow.ask()).pod for flow in flows] == ["pod-a"] * 4
        assert await bench.sync(pods("10.244.1.11"), pods("fd00:10:244:1::b", **six)) == 3
        assert [(await flow.ask()).pod for flow in flows] == ["pod-b"] * 3 + ["pod-a"]
    assert {done.family for done in bench.passes} == set(BOTH)


async def test_a_sender_that_came_before_the_service_reaches_it(lab_node: Node) -> None:
    lab, bench = lab_node.lab, lab_node.bench
    lab_node.lead("ct state new counter")  # any use of ct turns connection tracking on
    with lab.flow("ext", "UDP", VIP, 53) as flow:
        assert (await flow.ask()).pod is None
        lab_node.lead(f"ip daddr {VIP} udp dport 53 dnat ip to 10.244.1.10:5353")
        assert (await flow.ask()).pod is None
        assert await bench.sync(dns(), pods("10.244.1.10")) == 1
        assert (await flow.ask()).pod == "pod-a"
