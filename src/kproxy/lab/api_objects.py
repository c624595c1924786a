"""Writes the lab's objects to the embedded API server, which listens inside the node's namespace."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from kproxy.apiserver.http.app import create_app
from kproxy.apiserver.store import Store
from kproxy.lab.kubernetes_objects import Manifest
from kproxy.lab.lab import Lab
from kproxy.lab.namespaces import Namespace
from kproxy.lab.topology import NODE

_SHUTDOWN = 1.0
"""Seconds that requests have to end when the server is taken down."""


class ApiObjects:
    """Sees to it that objects are in the API, or are not. Methods raise the API's own `ApiError`."""

    def __init__(self, store: Store, server: str) -> None:
        self.server = server
        """The API server's URL, as reached from the node."""
        self._store = store

    def apply(self, manifest: Manifest) -> None:
        """Create or replace an object."""
        self._store.apply(manifest)

    def delete(self, manifest: Manifest) -> None:
        """Delete an object."""
        metadata = manifest["metadata"]
        self._store.delete(manifest["kind"], metadata["name"], metadata.get("namespace", ""))


@asynccontextmanager
async def serve_api(lab: Lab) -> AsyncIterator[ApiObjects]:
    """Serve an empty API on a loopback port of the node, for the length of a block."""
    store = Store()
    async with serve_app(lab.namespace(NODE.name), create_app(store)) as url:
        yield ApiObjects(store, url)


@asynccontextmanager
async def serve_app(namespace: Namespace, app: web.Application) -> AsyncIterator[str]:
    """Serve on a loopback port of a namespace for the length of a block, and give the URL.

    Raises:
        OSError: no socket
    """
    listener = namespace.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 0))
    # A watch whose client has gone is cancelled, not discovered at the next event.
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=_SHUTDOWN)
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        await runner.cleanup()
