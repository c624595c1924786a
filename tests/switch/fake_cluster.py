"""A cluster whose nodes are loopback addresses: a DaemonSet's controller, kubelets, and proxies that answer."""

import asyncio
from pathlib import Path
from typing import Any, Self

from aiohttp import web

from kproxy.apiserver import ApiServer, Store
from kproxy.apiserver.kubeconfig import write_kubeconfig
from kproxy.apiserver.resources import CONFIG_MAPS, PODS
from kproxy.switch.configuration_edit import get
from kproxy.switch.module_pod import LABEL
from kproxy.switch.preflight import modules_for
from tests.switch.kubelet import Kubelet

LABELS = {"k8s-app": "kube-proxy"}
IMAGE = "registry.example/kube-proxy:v1"
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
        self.kubelets = {name: Kubelet(folder / name) for name in self.addresses}
        self.without_images: set[str] = set()
        """Nodes that cannot start a container."""
        self.module_pods: list[dict[str, Any]] = []
        """Those that were made, as their kubelets found them."""
        self.most_module_pods = 0
        """At a time."""
        self.module_pod_made = asyncio.Event()
        self.configuration_then: set[str] = set()
        """The configurations that the cluster had while they ran."""
        self._max_unavailable = max_unavailable
        self._runners: list[web.AppRunner] = []
        self._ports: list[asyncio.Server] = []
        self._number = 0
        self._running: dict[str, asyncio.Task[None]] = {}
        for kubelet in self.kubelets.values():
            kubelet.give_modules(*modules_for("ipvs"))

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
        for container in self._running.values():
            container.cancel()
        await asyncio.gather(self._controller, *self._running.values(), return_exceptions=True)
        for port in self._ports:
            port.close()
        for runner in self._runners:
            await runner.cleanup()
        await self.server.stop()

    def _create(self) -> None:
        meta = {"name": "kube-proxy", "namespace": "kube-system"}
        data = {"config.conf": CONFIG, "kubeconfig.conf": "apiVersion: v1\nkind: Config\n"}
        self.store.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data})
        sidecar = {"name": "metrics", "image": "registry.example/metrics:v1", "command": ["/bin/metrics"]}
        proxy = {"name": "kube-proxy", "image": IMAGE, "command": ["/usr/local/bin/kube-proxy"]}
        pod = {"containers": [sidecar, proxy], "imagePullSecrets": [{"name": "registry"}]}
        self.store.apply(
            {
                "apiVersion": "apps/v1",
                "kind": "DaemonSet",
                "metadata": meta,
                "spec": {
                    "selector": {"matchLabels": LABELS},
                    "template": {"metadata": {"labels": LABELS}, "spec": pod},
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
            self._run_module_pods()
            missing = set(self.addresses) - {str(pod["spec"]["nodeName"]) for pod in self.pods()}
            self.most_unavailable = max(self.most_unavailable, len(missing))
            await asyncio.sleep(_STEP)
            for node in sorted(missing):
                self._start_pod(node)

    def _run_module_pods(self) -> None:
        found = self.pods(LABEL)
        self.most_module_pods = max(self.most_module_pods, len(found))
        for pod in found:
            if (name := pod["metadata"]["name"]) not in self._running:
                self.module_pods.append(pod)
                self.module_pod_made.set()
                self._running[name] = asyncio.create_task(self._run_container(pod))

    async def _run_container(self, pod: dict[str, Any]) -> None:
        self.configuration_then.add(self.configuration())
        if pod["spec"]["nodeName"] in self.without_images:
            waiting = {"reason": "ErrImagePull", "message": "no such host"}
            status = {"phase": "Pending", "containerStatuses": [{"name": "modprobe", "state": {"waiting": waiting}}]}
        else:
            status = await self.kubelets[pod["spec"]["nodeName"]].run(pod)
        if any(each["metadata"]["name"] == pod["metadata"]["name"] for each in self.pods(LABEL)):
            self.store.apply({"apiVersion": "v1", "kind": "Pod", **pod, "status": status})

    def pods(self, label: str = "k8s-app") -> list[dict[str, Any]]:
        """The proxies' pods, or those with another label."""
        found = [pod.decode() for pod in self.store.collection(PODS) if pod.namespace == "kube-system"]
        return [pod for pod in found if label in pod["metadata"].get("labels", {})]

    # ------------------------------------------------------------------ what tests look at

    def config_map(self, name: str = "kube-proxy") -> dict[str, Any]:
        return self.store.get(CONFIG_MAPS, "kube-system", name).decode()

    def configuration(self) -> str:
        return str(self.config_map()["data"]["config.conf"])
