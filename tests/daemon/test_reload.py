"""A configuration file that changes while the proxy runs."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from kproxy.lab.process import Process
from tests.daemon.node import Node, endpoint_slice, node, service

pytestmark = pytest.mark.root


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Node]:
    async with Node(tmp_path) as made:
        made.store.apply(node())
        made.store.apply(service(type="NodePort", ports=[{"name": "http", "port": 80, "nodePort": 30080}]))
        made.store.apply(endpoint_slice("web", "10.244.1.1"))
        yield made


async def reload(here: Node, process: Process, **fields: Any) -> None:
    """Change the file, and wait until that is done."""
    before = process.output().count("Reloaded: ")
    here.configuration(**fields)
    await here.eventually(lambda: process.output().count("Reloaded: ") > before, process)


async def test_servers_move_and_the_kernel_is_left_alone(here: Node) -> None:
    async with here.proxy() as process:
        generation = here.nft.generation()
        await reload(here, process, healthzBindAddress="127.0.0.1:20256", metricsBindAddress="127.0.0.1:20249")
        assert (await here.get("/livez", 20256))[0] == 200
        assert (await here.get("/proxyMode", 20249)) == (200, "nftables")
        assert here.nft.generation() == generation


async def test_addresses_of_node_ports_change_and_nothing_else(here: Node) -> None:
    here.run("ip", "addr", "add", "192.0.2.77/32", "dev", "lo")
    async with here.proxy(nodePortAddresses=["192.0.2.1/32"]) as process:
        before = here.table()
        await reload(here, process, nodePortAddresses=["192.0.2.77/32"])
        await here.eventually(lambda: "192.0.2.77" in here.table())
        assert here.table().replace("192.0.2.77", "192.0.2.1") == before
        here.store.apply(endpoint_slice("web", "10.244.1.9"))
        await here.eventually(lambda: "10.244.1.9" in here.table())


async def test_another_mode_takes_over_in_place(here: Node) -> None:
    async with here.proxy() as process:
        await reload(here, process, mode="iptables")
        await here.eventually(lambda: "KUBE-SEP-" in here.run("iptables-save", "-t", "nat"))
        await here.eventually(lambda: "No such file" in here.table())
        assert await here.get("/proxyMode") == (200, "iptables")
        await reload(here, process, mode="nftables")
        await here.eventually(lambda: "10.244.1.1" in here.table())
        await here.eventually(lambda: "KUBE" not in here.run("iptables-save"))


async def test_a_file_that_cannot_be_used_changes_nothing(here: Node) -> None:
    async with here.proxy() as process:
        path = here.folder / "config.yaml"
        path.write_text(path.read_text().replace("healthzBindAddress", "healthzBindAdress"))
        await here.eventually(lambda: "healthzBindAdress" in process.output(), process)
        here.store.apply(endpoint_slice("web", "10.244.1.9"))
        await here.eventually(lambda: "10.244.1.9" in here.table())
        assert (await here.get("/livez", 10256))[0] == 200


async def test_what_cannot_be_reloaded_ends_the_process_and_leaves_the_rules(here: Node) -> None:
    async with here.proxy() as process:
        before = here.table()
        here.configuration(hostnameOverride="elsewhere")
        async with asyncio.timeout(15):
            assert await process.wait() == 0
        assert "hostnameOverride" in process.output()
    assert here.table() == before
