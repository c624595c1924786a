"""Taking over from kube-proxy's nftables mode, and giving back, under traffic: the table has the same name."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.daemon.node import Node
from tests.deploy.served_node import answer, served_node

KUBE_PROXY_START = str(Path(__file__).with_name("kube_proxy_start.nft"))

pytestmark = pytest.mark.root


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Node]:
    async with served_node(tmp_path) as made:
        yield made


@asynccontextmanager
async def traffic(here: Node) -> AsyncIterator[list[bytes]]:
    """One connection to the Service after the other, for the length of the block; its answers."""
    answers: list[bytes] = []

    async def ask() -> None:
        while True:
            answers.append(await answer(here, "10.96.0.10", 80))

    asking = asyncio.create_task(ask())
    try:
        yield answers
        before = len(answers)
        async with asyncio.timeout(5):
            while len(answers) < before + 20 and not asking.done():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        if asking.done():
            asking.result()
    finally:
        asking.cancel()


async def test_it_takes_kube_proxys_table_over_without_a_lost_connection(here: Node) -> None:
    here.run("nft", "--file", KUBE_PROXY_START)
    async with traffic(here) as answers, here.proxy():
        pass
    assert set(answers) == {b"192.0.2.1"}
    assert len(answers) > 20
    assert "default/web/tcp/http" not in here.table()
    assert "map service-endpoints" in here.table()


async def test_kube_proxy_takes_the_table_back_without_a_lost_connection(here: Node) -> None:
    async with here.proxy():
        pass
    async with traffic(here) as answers:
        # kube-proxy runs it in a process that nobody waits for.
        await asyncio.to_thread(here.run, "nft", "--file", KUBE_PROXY_START)
    assert set(answers) == {b"192.0.2.1"}
    assert "vmap @service-ips" in here.table()
    # What it does not know it leaves behind; nothing leads there any more.
    assert "map service-endpoints" in here.table()
    assert "jump cluster-ip\n" not in here.table()
