"""One Service, from its DNS name to its pods: every stretch of the way can be the one that is broken."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import cast

import pytest

from kproxy.backends.nftables.backend import NftablesBackend
from kproxy.backends.nftables.ruleset import RulesetOptions
from kproxy.inspect.doctor.dns import resolve
from kproxy.inspect.doctor.walk import Result, Step, walk
from kproxy.services.addresses import Family, parse_address
from kproxy.services.model import ServiceName
from tests.inspect.doctor.patient import Patient, proxy, run

pytestmark = pytest.mark.root

WEB = ServiceName("default", "web")
NAME = "web.default.svc.cluster.local"


class NameServer(asyncio.DatagramProtocol):
    """Answers A questions from a table, and NXDOMAIN to the rest."""

    def __init__(self, table: Mapping[str, str]) -> None:
        self.table = table

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, peer: tuple[str, int]) -> None:
        end = data.index(b"\0", 12)
        labels, offset = [], 12
        while offset < end:
            labels.append(data[offset + 1 : offset + 1 + data[offset]].decode())
            offset += 1 + data[offset]
        address = self.table.get(".".join(labels))
        question = data[12 : end + 5]
        record = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 30, 4) + socket.inet_aton(address) if address else b""
        head = data[:2] + struct.pack(">HHHHH", 0x8180 if address else 0x8183, 1, bool(address), 0, 0)
        self.transport.sendto(head + question + record, peer)


@asynccontextmanager
async def name_server(address: str, **table: str) -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: NameServer(table), local_addr=(address, 53))
    try:
        yield
    finally:
        transport.close()


@asynccontextmanager
async def programmed(patient: Patient) -> AsyncIterator[None]:
    """The rules of the node's Services in the kernel, and a way to their addresses."""
    run("ip", "addr", "add", "192.0.2.1/32", "dev", "lo")
    run("ip", "route", "add", "10.96.0.0/12", "dev", "lo", "src", "192.0.2.1")
    view = await patient.view()
    assert view.desired
    backend = NftablesBackend((Family.IPV4,), RulesetOptions())
    await backend.sync_all((), view.desired.tracker)
    try:
        yield
    finally:
        backend.close()


async def steps(patient: Patient, name: ServiceName = WEB) -> dict[str, Step]:
    view = await patient.view()
    found = await asyncio.to_thread(walk, view, name)
    return {step.step.partition(" (")[0]: step for step in found.steps}


def _cluster_dns(patient: Patient, pod: str) -> None:
    metadata = {"name": "kube-dns", "namespace": "kube-system"}
    ports = [{"name": "dns", "port": 53, "protocol": "UDP"}]
    spec = {"clusterIP": "10.96.0.53", "ports": ports}
    labels = {"kubernetes.io/service-name": "kube-dns"}
    patient.store.apply({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
    patient.store.apply(
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {**metadata, "labels": labels},
            "addressType": "IPv4",
            "ports": ports,
            "endpoints": [{"addresses": [pod]}],
        }
    )


async def test_the_whole_way(patient: Patient) -> None:
    patient.service()
    patient.slice("web", "192.0.2.1")
    _cluster_dns(patient, "192.0.2.1")
    async with programmed(patient), name_server("192.0.2.1", **{NAME: "10.96.0.10"}):
        server = await asyncio.start_server(lambda _, writer: writer.close(), "192.0.2.1", 8080)
        found = await steps(patient)
        server.close()
    assert {step.result for step in found.values()} == {Result.OK}, found
    assert list(found) == [
        "Service",
        f"DNS {NAME}",
        "endpoints of 10.96.0.10:80/TCP",
        "rules for 10.96.0.10:80/TCP",
        "connect to endpoint 192.0.2.1:8080",
        "connect through 10.96.0.10:80/TCP",
    ]
    assert "all 1 endpoints" in found["rules for 10.96.0.10:80/TCP"].detail


async def test_each_broken_stretch(patient: Patient) -> None:
    patient.service()
    patient.slice("web", "192.0.2.1")
    async with programmed(patient):
        found = await steps(patient)
        assert found["connect to endpoint 192.0.2.1:8080"].detail == "Connection refused"
        assert found["connect through 10.96.0.10:80/TCP"].result is Result.FAILED
        assert found[f"DNS {NAME}"].result is Result.SKIPPED
        patient.slice("web", "192.0.2.1", "192.0.2.77")
        rules = (await steps(patient))["rules for 10.96.0.10:80/TCP"]
        assert (rules.result, rules.detail) == (
            Result.FAILED,
            "table ip kube-proxy lacks 1 of 2 endpoints: 192.0.2.77",
        )
        patient.slice("web", "192.0.2.1", ready=False)
        found = await steps(patient)
        assert found["endpoints of 10.96.0.10:80/TCP"].detail == "none is ready: connections are refused"
    assert (await steps(patient, ServiceName("default", "nosuch")))["Service"].result is Result.FAILED


async def test_rules_that_are_missing_are_repaired_by_the_suggested_command(patient: Patient) -> None:
    patient.service()
    patient.slice("web", "192.0.2.1")
    run("ip", "addr", "add", "192.0.2.1/32", "dev", "lo")
    kubeconfig = {"clientConnection": {"kubeconfig": str(patient.where().config).replace("config.yaml", "kubeconfig")}}
    async with proxy("nftables", runtime="process_open_fds 9\n", configuration=kubeconfig):
        rules = (await steps(patient))["rules for 10.96.0.10:80/TCP"]
        assert rules.result is Result.FAILED
        assert rules.fixes == ("kproxy diff --repair",)
        await patient.command(rules.fixes[0])
        assert (await steps(patient))["rules for 10.96.0.10:80/TCP"].result is Result.OK


async def test_rules_of_a_stock_proxy_are_its_own_to_repair(patient: Patient) -> None:
    patient.service()
    patient.slice("web", "192.0.2.1")
    async with proxy("nftables"):
        rules = (await steps(patient))["rules for 10.96.0.10:80/TCP"]
    assert (rules.result, rules.fixes) == (Result.FAILED, ())
    assert rules.advice.startswith("Restart the proxy by what has installed it here")


async def test_names_that_are_not_known_and_servers_that_do_not_answer(patient: Patient) -> None:
    async with name_server("127.0.0.1", **{NAME: "10.96.0.99"}):
        known = await asyncio.to_thread(resolve, "127.0.0.1", NAME, Family.IPV4)
        unknown = await asyncio.to_thread(resolve, "127.0.0.1", "x.default.svc.cluster.local", Family.IPV4)
    assert known.addresses == (parse_address("10.96.0.99"),)
    assert unknown.problem == "NXDOMAIN"
    assert resolve("127.0.0.1", NAME, Family.IPV4, port=54).problem.endswith("Connection refused")
    assert resolve("127.0.0.1", "a..b", Family.IPV4).problem == "'a..b' is no domain name"
