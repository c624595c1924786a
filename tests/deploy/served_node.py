"""A node on which a Service's traffic can be seen to arrive."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from tests.daemon.node import Node, endpoint_slice, node, service

ENDPOINTS = ("192.0.2.1", "192.0.2.2")


@asynccontextmanager
async def served_node(folder: Path) -> AsyncIterator[Node]:
    """A node with two servers, the first of which is the endpoint of a Service."""
    async with Node(folder) as made:
        made.run("ip", "route", "add", "10.96.0.0/16", "dev", "lo", "src", "192.0.2.1")
        made.store.apply(node())
        made.store.apply(service())
        made.store.apply(endpoint_slice("web", ENDPOINTS[0]))
        async with AsyncExitStack() as servers:
            for address in ENDPOINTS:
                made.run("ip", "addr", "replace", f"{address}/32", "dev", "lo")
                listener = made.namespace.socket(socket.AF_INET, socket.SOCK_STREAM)
                listener.bind((address, 8080))
                greet = partial(say, address.encode())
                await servers.enter_async_context(await asyncio.start_server(greet, sock=listener))
            yield made


async def say(words: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(words)
    writer.close()
    await writer.wait_closed()


async def answer(here: Node, address: str, port: int) -> bytes:
    """What a server says."""
    client = here.namespace.socket(socket.AF_INET, socket.SOCK_STREAM)
    client.setblocking(False)
    async with asyncio.timeout(10):
        await asyncio.get_running_loop().sock_connect(client, (address, port))
        reader, writer = await asyncio.open_connection(sock=client)
        received = await reader.read()
    writer.close()
    return received
