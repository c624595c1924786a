"""A cluster whose nodes are loopback addresses: a DaemonSet's controller, kubelets, and proxies that answer."""

import asyncio
from pathlib import Path
from typing import Any, Self

from aiohttp import web

from kproxy.apiserver import ApiServer, Store
from kproxy.apiserver.kubeconfig import write_kubeconfig
from kproxy.apiserver.resources import CONFIG_MAPS, PODS
from kproxy.switch.configuration_edit import get

LABELS = {"k8s-app": "kube-proxy"}
NODE_PORT = 30080
CONFIG = """\
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
# kept through a switch
metricsBindAddress: 0.0.0.0:10249
mode: iptables
"""
_STEP = 0.02


class FakeCluster:
    """Nodes `n1`, `n2` … at 127.0.0.1, 127.0.0.2 …; each pod takes its mode from the ConfigMap when it starts."""

    def __init__(self, folder: Path, nodes: int, *, max_unavailable: int | str = 1) -> None:
        self.store = Store()
        self.server = ApiServer(self.store)
        self.kubeconfig = folder / "kubeconfig"
        self.addresses = {f"n{number}": f"127.0.0.{number}" for number in range(1, nodes + 1)}
        self.modes: dict[str, str] = {}
        """What each node's proxy runs in."""
        self.broken: set[tuple[str, str]] = set()
        """Nodes and modes in which they do not get healthy."""
        self.most_unavailable = 0
        self._max_unavailable = max_unavailable
        self._runners: list[web.AppRunner] = []
        self._ports: list[asyncio.Server] = []
        self._number = 0

    async def __aenter__(self) -> Self:
        await self.server.start()
        write_kubeconfig(self.kubeconfig, self.server.url)
        self._create()
        for name, address in self.addresses.items():
            await self._serve(name, address)
            self._start_pod(name)
        self._controller = asyncio.create_task(self._control())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._controller.cancel()
        for port in self._ports:
            port.close()
        for runner in self._runners:
            await runner.cleanup()
        await self.server.stop()

    def _create(self) -> None:
        meta = {"name": "kube-proxy", "namespace": "kube-system"}
        data = {"config.conf": CONFIG, "kubeconfig.conf": "apiVersion: v1\nkind: Config\n"}
        self.store.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data})
        self.store.apply(
            {
                "apiVersion": "apps/v1",
                "kind": "DaemonSet",
                "metadata": meta,
                "spec": {
                    "selector": {"matchLabels": LABELS},
                    "template": {"metadata": {"labels": LABELS}, "spec": {"containers": []}},
                    "updateStrategy": {
                        "type": "RollingUpdate",
                        "rollingUpdate": {"maxUnavailable": self._max_unavailable},
                    },
                },
            }
        )
        ports = [{"name": "http", "port": 80, "nodePort": NODE_PORT}]
        service = {"name": "web", "namespace": "default"}
        self.store.apply(
            {"apiVersion": "v1", "kind": "Service", "metadata": service, "spec": {"type": "NodePort", "ports": ports}}
        )
        for name, address in self.addresses.items():
            status = {
                "addresses": [{"type": "InternalIP", "address": address}],
                "nodeInfo": dict.fromkeys(
                    (
                        "architecture",
                        "bootID",
                        "containerRuntimeVersion",
                        "kubeProxyVersion",
                        "kubeletVersion",
                        "machineID",
                        "operatingSystem",
                        "osImage",
                        "systemUUID",
                    ),
                    "x",
                )
                | {"kernelVersion": "6.1.0"},
            }
            self.store.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": status})

    async def _serve(self, name: str, address: str) -> None:
        """The node's proxy, seen from outside."""
        app = web.Application()

        async def healthz(_: web.Request) -> web.Response:
            return web.Response(status=503 if (name, self.modes[name]) in self.broken else 200)

        async def mode(_: web.Request) -> web.Response:
            return web.Response(text=self.modes[name])

        app.router.add_get("/healthz", healthz)
        app.router.add_get("/proxyMode", mode)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        self._runners.append(runner)
        for port in (10249, 10256):
            await web.TCPSite(runner, address, port).start()
        self._ports.append(await asyncio.start_server(lambda _, writer: writer.close(), address, NODE_PORT))

    # ------------------------------------------------------------------ what kubelets and controllers do

    def _start_pod(self, node: str) -> None:
        self._number += 1
        self.modes[node] = get(self.configuration(), ["mode"])
        self.store.apply(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": f"kube-proxy-{self._number}", "namespace": "kube-system", "labels": LABELS},
                "spec": {"nodeName": node, "containers": [{"name": "kube-proxy"}]},
                "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
            }
        )

    async def _control(self) -> None:
        while True:
            missing = set(self.addresses) - {str(pod["spec"]["nodeName"]) for pod in self.pods()}
            self.most_unavailable = max(self.most_unavailable, len(missing))
            await asyncio.sleep(_STEP)
            for node in sorted(missing):
                self._start_pod(node)

    def pods(self) -> list[dict[str, Any]]:
        return [pod.decode() for pod in self.store.collection(PODS) if pod.namespace == "kube-system"]

    # ------------------------------------------------------------------ what tests look at

    def config_map(self, name: str = "kube-proxy") -> dict[str, Any]:
        return self.store.get(CONFIG_MAPS, "kube-system", name).decode()

    def configuration(self) -> str:
        return str(self.config_map()["data"]["config.conf"])
