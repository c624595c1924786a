"""The lab's node with a proxy that is started again whenever it ends, as systemd or a kubelet would."""

import asyncio
import json
import os
import re
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

import yaml

from kproxy.lab.api_objects import ApiObjects, serve_api
from kproxy.lab.kubernetes_objects import ServiceDefinition, endpoint_slices, nodes, service
from kproxy.lab.lab import Lab
from kproxy.lab.process import Process
from kproxy.lab.proxy import configuration, kubeconfig
from kproxy.lab.topology import NODE
from tests.daemon.node import BIN
from tests.inspect.status.commands import command

CLUSTER_IP = "10.96.0.10"
NODE_PORT = 30080
PATIENCE = 120.0
"""Seconds; in an emulated machine a proxy may take a minute to start."""
_CHANGING = re.compile(r"^#.*\n|\[\d+:\d+\]", re.MULTILINE)
"""Dates and counters."""
_SUPERVISOR = "while :; do {proxy} --config {config} & echo $! > {pid}; wait $!; done"
WEB = ServiceDefinition(
    spec={
        "type": "NodePort",
        "clusterIP": CLUSTER_IP,
        "ports": [{"name": "http", "port": 80, "targetPort": 8080, "nodePort": NODE_PORT}],
    },
    slices=[["pod-a", "pod-b", "pod-c"]],
)


class SupervisedNode:
    def __init__(self, lab: Lab, api: ApiObjects, folder: Path, supervisor: Process) -> None:
        self.lab, self.api, self.folder, self.supervisor = lab, api, folder, supervisor
        self.config = folder / "config.yaml"

    @classmethod
    @asynccontextmanager
    async def run(cls, lab: Lab, folder: Path, mode: str, proxy: str = "") -> AsyncIterator[Self]:
        async with serve_api(lab) as api:
            for manifest in (*nodes(), service("web", WEB), *endpoint_slices("web", WEB)):
                api.apply(manifest)
            path = folder / "kubeconfig"
            path.write_text(json.dumps(kubeconfig(api.server)))
            settings = configuration(mode, {"clientConnection": {"kubeconfig": str(path)}})
            config = folder / "config.yaml"
            config.write_text("# written by hand\n" + yaml.safe_dump(settings))
            script = _SUPERVISOR.format(proxy=proxy or BIN / "kube-proxy", config=config, pid=folder / "pid")
            async with lab.process(NODE.name, ["sh", "-c", script]) as supervisor:
                made = cls(lab, api, folder, supervisor)
                try:
                    try:
                        await made.in_mode(mode)
                    except TimeoutError:
                        raise AssertionError(supervisor.output()) from None
                    yield made
                finally:
                    made.kill()

    def kill(self) -> None:
        """End the supervisor before the proxy, which it would start again."""
        self.supervisor.send_signal(signal.SIGKILL)
        pid = self.folder / "pid"
        if pid.exists():
            try:
                os.kill(int(pid.read_text()), signal.SIGKILL)
            except ProcessLookupError:
                return

    @property
    def restart_command(self) -> str:
        return f"sh -c 'kill $(cat {self.folder / 'pid'})'"

    async def in_mode(self, mode: str) -> None:
        """Wait until the proxy serves in a mode."""
        async with asyncio.timeout(PATIENCE), self.lab.http(NODE.name) as http:
            while True:
                try:
                    async with (
                        http.get("http://127.0.0.1:10256/healthz") as health,
                        http.get("http://127.0.0.1:10249/proxyMode") as said,
                    ):
                        if health.status == 200 and await said.text() == mode:
                            return
                except OSError:
                    pass
                await asyncio.sleep(0.05)

    async def switch(self, *arguments: str, restart: str = "") -> tuple[int, str]:
        """Run `kproxy switch --node` on the node; returns exit status and output."""
        argv = command(
            *("switch", "--node", "--config", str(self.config), "--restart-command", restart or self.restart_command),
            *("--yes", *arguments),
        )
        async with self.lab.process(NODE.name, argv) as process:
            return await process.wait(), process.output()

    def on_node(self, *argv: str) -> None:
        """Run a command on the node."""
        self.lab.namespace(NODE.name).run(lambda: subprocess.run(argv, check=True))

    def tables(self) -> str:
        """What is in the kernel of each mode."""

        def read() -> str:
            commands = (["nft", "list", "tables"], ["iptables-legacy-save"], ["iptables-nft-save"])
            printed = (subprocess.run(c, capture_output=True, text=True, check=False).stdout for c in commands)
            return _CHANGING.sub("", "".join(printed))

        return self.lab.namespace(NODE.name).run(read)
