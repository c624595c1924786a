"""Writes the lab's objects to the embedded API server, which listens inside the node's namespace."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from kproxy.apiserver.http.app import create_app
from kproxy.apiserver.store import Store
from kproxy.lab.kubernetes_objects import Manifest
from kproxy.lab.lab import Lab
from kproxy.lab.topology import NODE

SHUTDOWN = 1.0
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
    listener = lab.namespace(NODE.name).socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    store = Store()
    # A watch whose client has gone is cancelled, not discovered at the next event.
    runner = web.AppRunner(create_app(store), access_log=None, handler_cancellation=True, shutdown_timeout=SHUTDOWN)
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        yield ApiObjects(store, f"http://127.0.0.1:{port}")
    finally:
        await runner.cleanup()
