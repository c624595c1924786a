"""`kproxy status` on a node with a proxy, an API and traffic."""

import json
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kproxy.inspect.status.rates import FlowListener, Names, Rates
from kproxy.lab.process import start
from tests.daemon.node import Node, endpoint_slice, node, service
from tests.inspect.status.commands import command, invoke

pytestmark = pytest.mark.root


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Node]:
    async with Node(tmp_path) as made:
        made.store.apply(node())
        made.store.apply(service())
        made.store.apply(endpoint_slice("web", "192.0.2.1"))
        made.store.apply(service("empty", "10.96.0.99"))
        yield made


async def run_status(here: Node, *arguments: str) -> tuple[int, str]:
    async with start(here.namespace, command("status", *arguments)) as process:
        return await process.wait(), process.output()


async def test_a_node_with_a_proxy(here: Node) -> None:
    async with here.proxy():
        status, text = await run_status(here, "-o", "json")
        report = json.loads(text)
        assert status == 0, text
        assert (report["mode"], report["proxy"], report["running"]) == ("nftables", "kproxy", True)
        assert report["health"]["healthy"] is True
        assert report["objects"]["services"] == 2
        assert report["objects"]["withoutEndpoints"] == ["default/empty"]
        assert {sync["family"] for sync in report["syncs"]} == {"IPv4", "IPv6"}
        assert report["syncs"][0]["age"] < 30
        assert report["kernel"]["nftables elements"] > 0
        _, table = await run_status(here)
        assert "without endpoints: default/empty" in table
        assert "IPv4" in table
    status, text = await run_status(here, "-o", "yaml")
    assert status == 1
    assert "running: false" in text
    assert "mode: nftables" in text  # the rules stay, and tell it


@pytest.mark.parametrize("arguments", [["--config", "/nonexistent"], ["--watch"]])
def test_a_wrong_option_is_one_line(network_namespace: None, arguments: list[str]) -> None:
    status, text = invoke("status", *arguments)
    assert status == 2, text
    assert text.startswith("kproxy status: ")
    assert "Traceback" not in text


async def test_rates_of_services_are_those_of_their_connections(here: Node, tmp_path: Path) -> None:
    async with here.proxy():
        listener = here.namespace.run(lambda: FlowListener(Names.of(None)))
        server = here.namespace.run(lambda: _listen("192.0.2.1", 8080))
        here.run("ip", "route", "add", "10.96.0.0/12", "dev", "lo", "src", "192.0.2.1")
        here.namespace.run(lambda: _connect("10.96.0.10", 80, times=25))
        counted = listener.take()
        listener.close()
        server.close()
    rates = Rates()
    rates.tick(counted, 1.0)
    assert rates.now("10.96.0.10:80/TCP") == 25.0
    assert rates.names() == ["10.96.0.10:80/TCP"]


async def test_the_live_view(here: Node, tmp_path: Path) -> None:
    """Inside the namespace: what the picture holds, and that it follows the traffic."""
    async with here.proxy():
        here.run("ip", "route", "add", "10.96.0.0/12", "dev", "lo", "src", "192.0.2.1")
        server = here.namespace.run(lambda: _listen("192.0.2.1", 8080))
        picture = tmp_path / "live.svg"
        argv = [sys.executable, str(Path(__file__).with_name("watching.py")), here.configuration(), str(picture)]
        async with start(here.namespace, argv) as process:
            assert await process.wait() == 0, process.output()
            assert "rows: default/web:http" in process.output()
        server.close()
    drawn = picture.read_text().replace("&#160;", " ")
    for words in ("kproxy status", "healthy", "default/web:http", "conntrack", "nftables"):
        assert words in drawn


def _listen(address: str, port: int) -> socket.socket:
    sock = socket.socket()
    sock.bind((address, port))
    sock.listen(512)
    return sock


def _connect(address: str, port: int, times: int) -> None:
    for _ in range(times):
        socket.create_connection((address, port), 2).close()
