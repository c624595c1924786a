"""A node for the daemon's tests: a namespace with an API server in it, and the proxy as a process."""

import asyncio
import json
import socket
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import aiohttp
from aiohttp import web

from kproxy.apiserver import Store, create_app
from kproxy.kernel.nftnl.transaction import NftSocket
from kproxy.lab.namespaces import Namespace
from kproxy.lab.process import Process, start

BIN = Path(__file__).parents[2] / ".venv" / "bin"
PATIENCE = 15.0


class Node:
    """Runs commands and proxies in a namespace of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store()
        self.namespace = Namespace("daemon")
        self.run("ip", "link", "set", "lo", "up")
        self.run("ip", "addr", "add", "192.0.2.1/32", "dev", "lo")
        self.nft = self.namespace.run(NftSocket)
        self._runner: web.AppRunner | None = None
        self._port = 0

    async def __aenter__(self) -> Self:
        await self.start_api()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop_api()
        self.nft.close()
        self.namespace.close()

    async def start_api(self) -> None:
        """Serve the store, on the same port each time."""
        listener = self.namespace.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self._port))
        self._port = listener.getsockname()[1]
        app = create_app(self.store)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.SockSite(self._runner, listener).start()

    async def stop_api(self) -> None:
        if self._runner:
            await self._runner.cleanup()
            self._runner = None

    @property
    def port(self) -> int:
        """Of the API server."""
        return self._port

    def run(self, *argv: str, check: bool = True) -> str:
        """Run a command in the namespace; returns what it prints."""
        done = self.namespace.run(lambda: subprocess.run(argv, capture_output=True, text=True, check=False))
        assert not check or done.returncode == 0, f"{argv}: {done.stderr}"
        return done.stdout + done.stderr

    def table(self, family: str = "ip") -> str:
        return self.run("nft", "list", "table", family, "kube-proxy", check=False)

    def configuration(self, **fields: Any) -> str:
        """A configuration file that reaches the API; `fields` replace or add to it."""
        kubeconfig = self.folder / "kubeconfig"
        kubeconfig.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "test",
                    "clusters": [{"name": "test", "cluster": {"server": f"http://127.0.0.1:{self._port}"}}],
                    "contexts": [{"name": "test", "context": {"cluster": "test", "user": ""}}],
                    "users": [],
                }
            )
        )
        made = {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "hostnameOverride": "here",
            "clusterCIDR": "10.244.0.0/16",
            "clientConnection": {"kubeconfig": str(kubeconfig)},
            "healthzBindAddress": "127.0.0.1:10256",
            "conntrack": {"maxPerCore": 0},
            **fields,
        }
        path = self.folder / "config.yaml"
        path.write_text(json.dumps(made))
        return str(path)

    @asynccontextmanager
    async def proxy(self, *arguments: str, **fields: Any) -> AsyncIterator[Process]:
        """Run `kube-proxy` until the block ends, and see it synced at its beginning."""
        argv = [str(BIN / "kube-proxy"), "--config", self.configuration(**fields), "-v=2", *arguments]
        async with start(self.namespace, argv) as process:
            await self.eventually(lambda: "Compared IPv6" in process.output(), process)
            yield process

    async def eventually(self, holds: Callable[[], object], process: Process | None = None) -> None:
        """Wait until something holds in the kernel or the log, which tell nobody when it does."""
        async with asyncio.timeout(PATIENCE):
            while not holds():
                assert process is None or process.returncode is None, process.output()
                await asyncio.sleep(0.02)

    async def get(self, path: str, port: int = 10249, host: str = "127.0.0.1") -> tuple[int, str]:
        """GET from the proxy, inside the namespace; returns status and body."""

        def factory(info: aiohttp.AddrInfoType) -> socket.socket:
            return self.namespace.socket(socket.AF_INET, socket.SOCK_STREAM)

        connector = aiohttp.TCPConnector(socket_factory=factory)
        url = f"http://{host}:{port}{path}"
        async with aiohttp.ClientSession(connector=connector) as session, session.get(url) as answer:
            return answer.status, await answer.text()


def service(name: str = "web", ip: str = "10.96.0.10", **spec: Any) -> dict[str, Any]:
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"clusterIP": ip, "clusterIPs": [ip], "ports": ports, **spec},
    }


def endpoint_slice(name: str, *addresses: str, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{name}-1",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": name},
            **metadata,
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080}],
        "endpoints": [{"addresses": [address], "nodeName": "here"} for address in addresses],
    }


def node(name: str = "here", **spec: Any) -> dict[str, Any]:
    addresses = [{"type": "InternalIP", "address": "192.0.2.1"}]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name},
        "spec": spec,
        "status": {"addresses": addresses},
    }
