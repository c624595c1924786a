"""A node to be examined: a network namespace with an API server in it, and faults made by the test."""

import asyncio
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from kproxy.apiserver import ApiServer, Store
from kproxy.apiserver.resources import SERVICES
from kproxy.config.dump import CONFIGZ_NAME
from kproxy.inspect.desired import Where
from kproxy.inspect.doctor.checks.registry import CHECKS
from kproxy.inspect.doctor.examination import examine
from kproxy.inspect.doctor.finding import Finding
from kproxy.inspect.doctor.view import NodeView, look

NODE = "here"
_PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
"""With the programs of this project."""
_ETC = ("etc/sysctl.d", "etc/modules-load.d", "etc/alternatives", "var/lib/dpkg/alternatives")


class Patient:
    """The test's thread is in the node's namespace, and so is everything it starts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store()
        self.server = ApiServer(self.store)
        self.settings: dict[str, Any] = {"mode": "nftables", "clusterCIDR": "10.244.0.0/16"}

    def where(self) -> Where:
        """What the command's options would say."""
        kubeconfig = self.folder / "kubeconfig"
        cluster = {"name": "c", "cluster": {"server": self.server.url}}
        context = {"name": "c", "context": {"cluster": "c", "user": ""}}
        kubeconfig.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "c",
                    "clusters": [cluster],
                    "contexts": [context],
                    "users": [],
                }
            )
        )
        config = self.folder / "config.yaml"
        config.write_text(
            json.dumps(
                {
                    "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
                    "kind": "KubeProxyConfiguration",
                    "hostnameOverride": NODE,
                    "clientConnection": {"kubeconfig": str(kubeconfig)},
                    **self.settings,
                }
            )
        )
        return Where(config=config)

    async def view(self, **changes: Any) -> NodeView:
        return (await look(self.where()))._replace(**changes)

    async def findings(self, name: str, **changes: Any) -> list[Finding]:
        """What one check finds now."""
        (check,) = [check for check in CHECKS if check.name == name]
        examination = await examine(await self.view(**changes), [check])
        assert not examination.unanswered, examination.unanswered
        assert not examination.skipped
        return list(examination.findings)

    async def apply(self, findings: Iterable[Finding]) -> None:
        """Carry out the commands that findings suggest, word for word, as a shell would."""
        for fix in (fix for finding in findings for fix in finding.fixes):
            await self.command(fix)

    async def command(self, line: str) -> str:
        """Run a command line on the node, whose files under /etc are its own; returns what it printed."""
        argv = shlex.split(line)
        if shutil.which(argv[0], path=_PATH) is None:
            pytest.skip(f"{argv[0]} is not installed")
        for path in _ETC:
            if not (self.folder / path).exists():
                shutil.copytree(f"/{path}", self.folder / path, symlinks=True)
        binds = [f"mount --bind {self.folder}/{path} /{path}" for path in _ETC]
        script = " && ".join([*binds, 'exec "$@"'])
        self.where()  # writes the kubeconfig
        environment = {**os.environ, "PATH": _PATH, "KUBECONFIG": str(self.folder / "kubeconfig")}
        process = await asyncio.create_subprocess_exec(
            *("unshare", "--mount", "sh", "-c", script, "sh", *argv),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
        )
        out, error = await process.communicate()
        assert process.returncode == 0, f"{line}: {error.decode()}{out.decode()}"
        return out.decode()

    def written(self, path: str) -> list[str]:
        """The lines of a file under the node's /etc."""
        return (self.folder / path).read_text().splitlines()

    def service(self, name: str = "web", ip: str = "10.96.0.10", **spec: Any) -> dict[str, Any]:
        """Create or replace a Service."""
        ports = [{"name": "http", "port": 80, "targetPort": 8080}]
        return self.store.apply(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": name, "namespace": "default"},
                "spec": {"clusterIP": ip, "clusterIPs": [ip], "ports": ports, **spec},
                **({"status": spec.pop("status")} if "status" in spec else {}),
            }
        )

    def old_service(self, **spec: Any) -> None:
        """As an API server has stored it that did not yet refuse such Services."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.store._strategies[SERVICES.key], "validate", lambda *_: [])
            self.service(**spec)

    def slice(self, name: str, *addresses: str, node: str = NODE, ready: bool = True, port: str = "http") -> None:
        labels = {"kubernetes.io/service-name": name}
        self.store.apply(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "name": f"{name}-1",
                    "namespace": "default",
                    "labels": labels,
                },
                "addressType": "IPv4",
                "ports": [{"name": port, "port": 8080}],
                "endpoints": [
                    {"addresses": [address], "nodeName": node, "conditions": {"ready": ready}} for address in addresses
                ],
            }
        )

    def pod(
        self, name: str, *, ready: bool = True, port: int = 8080, namespace: str = "default", **labels: str
    ) -> None:
        """A pod with labels; in a keyword's name, `_` stands for `-`."""
        named = {key.replace("_", "-"): value for key, value in labels.items()}
        container = {"name": "c", "ports": [{"containerPort": port, "name": "web"}]}
        condition = {"type": "Ready", "status": "True" if ready else "False", "message": "" if ready else "no answer"}
        self.store.apply(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "namespace": namespace, "labels": named},
                "spec": {
                    "nodeName": NODE,
                    "containers": [container],
                },
                "status": {"phase": "Running", "podIP": "10.244.1.1", "conditions": [condition]},
            }
        )

    def node(self, *addresses: str) -> None:
        told = [{"type": "InternalIP", "address": address} for address in addresses]
        self.store.apply(
            {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}, "spec": {}, "status": {"addresses": told}}
        )

    def daemon_set(self, **node_selector: str) -> None:
        """The stock kube-proxy's."""
        labels = {"k8s-app": "kube-proxy"}
        spec = {"nodeSelector": node_selector, "containers": []}
        self.store.apply(
            {
                "apiVersion": "apps/v1",
                "kind": "DaemonSet",
                "metadata": {"name": "kube-proxy", "namespace": "kube-system"},
                "spec": {
                    "selector": {"matchLabels": labels},
                    "template": {"metadata": {"labels": labels}, "spec": spec},
                },
                "status": {"desiredNumberScheduled": 4, "numberReady": 3},
            }
        )


def run(*argv: str, check: bool = True) -> str:
    """Run a command in the namespace."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, f"{argv}: {done.stderr}"
    return done.stdout


@asynccontextmanager
async def proxy(
    mode: str,
    metrics: str = "",
    healthz: int = 200,
    runtime: str = "go_goroutines 9\n",
    configuration: dict[str, Any] | None = None,
) -> AsyncIterator[None]:
    """Something that answers as a proxy in a mode does; the stock one, by its runtime's metric."""
    app = web.Application()

    def add(path: str, text: str, status: int = 200) -> None:
        async def answer(_: web.Request) -> web.Response:
            return web.Response(text=text, status=status)

        app.router.add_get(path, answer)

    add("/proxyMode", mode)
    add("/configz", json.dumps({CONFIGZ_NAME: {"mode": mode, **(configuration or {})}}))
    add("/metrics", f"{runtime}{metrics}")
    add("/healthz", "{}", healthz)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    for port in (10249, 10256):
        await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield
    finally:
        await runner.cleanup()


async def started(argv: list[str]) -> asyncio.subprocess.Process:
    """A process that has printed its first line."""
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    assert process.stdout
    await process.stdout.readline()
    return process


def encoded(findings: list[Finding]) -> str:
    return msgspec.json.encode(findings).decode()
