"""The embedded API server over a store that holds a cluster, inside a namespace."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from kproxy.apiserver import Store, create_app
from kproxy.bench import cluster
from kproxy.bench.cluster import Size
from kproxy.lab.namespaces import Namespace


@asynccontextmanager
async def serve(namespace: Namespace, store: Store) -> AsyncIterator[str]:
    """Serve on a loopback port of a namespace for the length of a block, and give the URL.

    Raises:
        OSError: no socket
    """
    listener = namespace.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 0))
    runner = web.AppRunner(create_app(store), access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        await runner.cleanup()


def fill(store: Store, size: Size, node: str = "node-0") -> None:
    """Put a node and a cluster's Services and slices into a store."""
    store.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}})
    for number in range(size.services):
        store.apply(cluster.service(number, mixed=size.mixed))
        for slice_ in cluster.endpoint_slices(number, size.endpoints):
            store.apply(slice_)
