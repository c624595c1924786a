"""An embedded Kubernetes API server for what a service proxy reads: Services, EndpointSlices, Nodes.

`Store` holds the objects and needs no I/O; `create_app` serves one through aiohttp; `ApiServer` puts it on a socket.
"""

from kproxy.apiserver.http.app import create_app
from kproxy.apiserver.server import ApiServer
from kproxy.apiserver.store import Store

__all__ = ["ApiServer", "Store", "create_app"]
