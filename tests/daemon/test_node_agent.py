"""What surrounds the data plane, as an operator meets it: a process, a real kernel, a real API."""

import asyncio
import json
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from kproxy.lab.process import Process, start
from tests.daemon.node import BIN, Node, endpoint_slice, node, service

pytestmark = pytest.mark.root

LISTS = "/apis/events.k8s.io/v1/namespaces/default/events"


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Node]:
    async with Node(tmp_path) as made:
        made.store.apply(node())
        made.store.apply(service())
        made.store.apply(endpoint_slice("web", "10.244.1.1"))
        yield made


async def events(here: Node) -> list[dict[str, Any]]:
    _, body = await here.get(LISTS, here.port)
    found: list[dict[str, Any]] = json.loads(body)["items"]
    return found


async def event(here: Node, reason: str) -> dict[str, Any]:
    """Wait for an event with a reason."""
    async with asyncio.timeout(10):
        while True:
            for found in await events(here):
                if found["reason"] == reason:
                    return found
            await asyncio.sleep(0.02)


async def ended(process: Process) -> int:
    async with asyncio.timeout(10):
        return await process.wait()


async def test_a_start_is_told_to_the_api(here: Node) -> None:
    async with here.proxy():
        found = await event(here, "Starting")
        assert found["type"] == "Normal"
        assert found["regarding"] == {"apiVersion": "v1", "kind": "Node", "name": "here", "uid": "here"}


async def test_a_busy_health_port_is_told_and_taken_when_free(here: Node) -> None:
    with here.namespace.socket(socket.AF_INET, socket.SOCK_STREAM) as busy:
        busy.bind(("127.0.0.1", 10256))
        busy.listen()
        async with here.proxy() as process:
            found = await event(here, "FailedToStartProxierHealthcheck")
            assert found["note"] == "cannot listen on 127.0.0.1:10256: Address already in use"
            busy.close()
            await here.eventually(lambda: "Listening on 127.0.0.1:10256 now" in process.output(), process)
            assert (await here.get("/healthz", 10256))[0] == 200


async def test_with_hard_fail_it_ends(here: Node) -> None:
    with here.namespace.socket(socket.AF_INET, socket.SOCK_STREAM) as busy:
        busy.bind(("127.0.0.1", 10256))
        busy.listen()
        argv = [str(BIN / "kube-proxy"), "--config", here.configuration(bindAddressHardFail=True)]
        async with start(here.namespace, argv) as process:
            assert await ended(process) == 1
            assert "cannot listen on 127.0.0.1:10256" in process.output()


async def test_a_second_one_does_not_start(here: Node) -> None:
    async with here.proxy() as first:
        argv = [str(BIN / "kube-proxy"), "--config", here.configuration()]
        async with start(here.namespace, argv) as second:
            assert await ended(second) == 1
            assert f"a proxy already serves this node: process {first.pid}" in second.output()
        assert first.returncode is None


async def test_a_takeover_leaves_the_kernel_as_it_is(here: Node) -> None:
    async with here.proxy() as first:
        generation = here.nft.generation()
        async with here.proxy("--takeover") as second:
            assert await ended(first) == 0
            assert second.returncode is None
            assert here.nft.generation() == generation
            here.store.apply(endpoint_slice("web", "10.244.1.9"))
            await here.eventually(lambda: "10.244.1.9" in here.table(), second)


async def test_init_only_sets_what_takes_privileges_and_writes_no_rules(here: Node) -> None:
    close_wait = "net.netfilter.nf_conntrack_tcp_timeout_close_wait"
    assert here.run("sysctl", "-n", close_wait).strip() == "60"
    argv = [str(BIN / "kube-proxy"), "--config", here.configuration(mode="iptables"), "--init-only"]
    said = here.run(*argv)
    assert "tcp_timeout_close_wait raised from 60 to 3600" in said
    assert here.run("sysctl", "-n", close_wait).strip() == "3600"
    assert here.run("sysctl", "-n", "net.ipv4.conf.all.route_localnet").strip() == "1"
    assert "KUBE-SERVICES" not in here.run("iptables-save")


async def test_limits_that_cannot_be_raised_are_told_and_no_reason_to_end(here: Node) -> None:
    most = int(here.run("sysctl", "-n", "net.netfilter.nf_conntrack_max")) + 1
    async with here.proxy(conntrack={"maxPerCore": 1, "min": most}) as process:
        found = await event(here, "FailedToSetConntrackLimits")
        assert f"sysctl -w net.netfilter.nf_conntrack_max={most}" in found["note"]
        assert process.returncode is None


async def test_the_service_manager_is_told(here: Node, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.setblocking(False)
        manager.bind(str(tmp_path / "notify"))
        loop = asyncio.get_running_loop()
        argv = [str(BIN / "kube-proxy"), "--config", here.configuration()]
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"}
        async with asyncio.timeout(15), start(here.namespace, argv, environment) as process:
            told: list[str] = []
            while told.count("WATCHDOG=1") < 5 or not any(line.startswith("READY=1") for line in told):
                told.append((await loop.sock_recv(manager, 4096)).decode())
            process.send_signal(signal.SIGTERM)
            while (await loop.sock_recv(manager, 4096)) != b"STOPPING=1":
                pass
            assert await process.wait() == 0
    assert "READY=1\nSTATUS=nftables mode" in told


async def test_profiling_is_there_when_it_is_asked_for(here: Node) -> None:
    async with here.proxy():
        assert (await here.get("/debug/pprof/"))[0] == 404
    async with here.proxy(enableProfiling=True):
        assert (await here.get("/debug/pprof/"))[0] == 200
        status, text = await here.get("/debug/pprof/goroutine")
        assert status == 200
        assert "task service health" in text
