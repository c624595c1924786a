"""A node under load: a lab whose Service is asked all the time, and what the asking met."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from kproxy.kernel.nftnl.transaction import NftSocket
from kproxy.lab.api_objects import ApiObjects, serve_api
from kproxy.lab.kubernetes_objects import Manifest, ServiceDefinition, endpoint_slices, nodes, service
from kproxy.lab.lab import Lab
from kproxy.lab.load import Load, quantile
from kproxy.lab.probe import Outcome, Result
from kproxy.lab.proxy import Proxy, configuration, run_proxy
from kproxy.lab.topology import EXTERNAL, NODE

KUBE_PROXY = [str(Path(sys.executable).with_name("kube-proxy"))]
CLUSTER_IP = "10.96.0.10"
NODE_PORT = 30080
_CLIENT, _PATIENCE = "pod-x", 10.0
_TICK = 0.02


class ServedLab:
    """A lab with a Service of four pods, and the proxies that serve it one after the other."""

    def __init__(self, lab: Lab, api: ApiObjects) -> None:
        self.lab, self.api = lab, api

    def apply(self, *pods: str) -> None:
        """Have these pods behind the Service."""
        ports = [{"name": "http", "port": 80, "targetPort": 8080, "nodePort": NODE_PORT}]
        spec = {"type": "NodePort", "clusterIP": CLUSTER_IP, "clusterIPs": [CLUSTER_IP], "ports": ports}
        definition = ServiceDefinition(spec, [list(pods)])
        for manifest in (service("web", definition), *endpoint_slices("web", definition)):
            self.api.apply(manifest)

    def proxy(self, mode: str, *arguments: str, **overrides: Any) -> AbstractAsyncContextManager[Proxy]:
        """Run a proxy in the node until the block ends, and see it synced at its beginning."""
        return run_proxy(self.lab, [*KUBE_PROXY, *arguments], configuration(mode, overrides), self.api.server)

    def run(self, *argv: str, where: str = NODE.name) -> str:
        """Run a command in a namespace; returns what it prints."""
        done = self.lab.namespace(where).run(lambda: subprocess.run(argv, capture_output=True, text=True, check=False))
        return done.stdout + done.stderr

    def modes(self) -> set[str]:
        """The modes that have rules in the kernel, `iptables` with its variant."""
        found = {"nftables"} if "table ip kube-proxy" in self.run("nft", "list", "tables", "ip") else set()
        for variant in ("legacy", "nft"):
            if variant == "legacy" and not self._has_legacy_tables():
                continue
            if "KUBE-SERVICES" in self.run(f"iptables-{variant}-save", "-t", "nat"):
                found.add(f"iptables-{variant}")
        return found

    def has(self, mode: str) -> bool:
        """Whether this mode has rules in the kernel, and no other has."""
        return self.modes() == {mode}

    def generation(self) -> int:
        """The number of the node's nf_tables rule-set, which every commit counts up."""
        return self.lab.namespace(NODE.name).run(_generation)

    def prefer(self, variant: str) -> None:
        """Leave the hint by which a kubelet tells its variant of iptables, and remove that of the other one."""
        other = {"legacy": "nft", "nft": "legacy"}[variant]
        self.run(f"iptables-{other}", "-t", "mangle", "-X", "KUBE-IPTABLES-HINT")
        self.run(f"iptables-{variant}", "-t", "mangle", "-N", "KUBE-IPTABLES-HINT")

    async def eventually(self, holds: Callable[[], object], proxy: Proxy) -> None:
        """Wait until something holds in the kernel or the log, which tell nobody when it does."""
        async with asyncio.timeout(30):
            while not holds():
                assert proxy.process.returncode is None, proxy.process.output()
                await asyncio.sleep(_TICK)

    def _has_legacy_tables(self) -> bool:
        names = self.lab.namespace(NODE.name).run(lambda: Path("/proc/thread-self/net/ip_tables_names").read_text())
        return "nat" in names


@asynccontextmanager
async def served_lab() -> AsyncIterator[ServedLab]:
    """Build a lab with an API in it, whose Service has two pods on the node and two elsewhere."""
    async with Lab.open(patience=_PATIENCE) as lab, serve_api(lab) as api:
        for manifest in nodes():
            api.apply(manifest)
        made = ServedLab(lab, api)
        made.apply("pod-a", "pod-b", "pod-c", "pod-d")
        yield made


def _generation() -> int:
    nft = NftSocket()
    try:
        return nft.generation()
    finally:
        nft.close()


def reconfigure(proxy: Proxy, mode: str, overrides: Manifest | None = None) -> None:
    """Change the configuration file of a proxy that runs."""
    file = Path(proxy.process.argv[proxy.process.argv.index("--config") + 1])
    reach = {"kubeconfig": str(file.with_name("kubeconfig")), "contentType": "application/json"}
    file.write_text(json.dumps(configuration(mode, {**(overrides or {}), "clientConnection": reach})))


class Traffic:
    """New connections at a fixed rate from a pod and from outside, and one connection that stays.

    Connections that fail are one thing; the other is the kernel's count of SYNs sent again, which shows a packet
    that was lost even where the next one got through.
    """

    def __init__(self, served: ServedLab, rate: float = 100) -> None:
        lab = served.lab
        self._lab = lab
        self._loads = (
            Load(lab, _CLIENT, "TCP", CLUSTER_IP, 80, rate / 2),
            Load(lab, EXTERNAL.name, "TCP", str(NODE.address.v4.ip), NODE_PORT, rate / 2),
        )
        self._flow = lab.flow(_CLIENT, "TCP", CLUSTER_IP, 80)
        self.answers: list[Outcome] = []
        """On the connection that stays."""
        self._connected = asyncio.Event()
        self.resent = 0
        """SYNs that had to be sent again."""

    @asynccontextmanager
    async def flowing(self) -> AsyncIterator[None]:
        """Ask for the length of a block."""
        before = self._syn_retransmissions()
        async with AsyncExitStack() as stack:
            stack.callback(self._flow.close)
            for load in self._loads:
                await stack.enter_async_context(load)
            asking = asyncio.create_task(self._keep_asking())
            try:
                await self._connected.wait()
                yield
            finally:
                asking.cancel()
                await asyncio.wait([asking])
        self.resent = self._syn_retransmissions() - before

    async def _keep_asking(self) -> None:
        while True:
            self.answers.append(await self._flow.ask())
            self._connected.set()
            await asyncio.sleep(_TICK)

    @property
    def requests(self) -> int:
        return sum(len(load.requests) for load in self._loads)

    def check(self) -> None:
        """Assert that nobody noticed anything."""
        failures = [(load.client, request) for load in self._loads for request in load.failures]
        assert not failures, f"{len(failures)} failed, such as {failures[:3]}"
        assert not self.resent, f"{self.resent} SYNs were sent again"
        assert self.requests > 10, self.requests
        assert {answer.result for answer in self.answers} == {Result.OK}, self.answers
        assert len({answer.pod for answer in self.answers}) == 1, self.answers

    def __str__(self) -> str:
        latencies = [request.latency * 1000 for load in self._loads for request in load.requests]
        failed = sum(len(load.failures) for load in self._loads)
        return (
            f"{self.requests} connections, {failed} failed, {self.resent} SYNs sent again, "
            f"median {quantile(latencies, 0.5):.1f} ms, slowest {max(latencies, default=0):.0f} ms; "
            f"{len(self.answers)} requests on the connection that stays"
        )

    def _syn_retransmissions(self) -> int:
        return sum(self._netstat(where, "TCPSynRetrans") for where in (_CLIENT, EXTERNAL.name))

    def _netstat(self, where: str, counter: str) -> int:
        text = self._lab.namespace(where).run(lambda: Path("/proc/thread-self/net/netstat").read_text())
        names, values = (line.split() for line in text.splitlines()[:2])
        return int(values[names.index(counter)])


def report(words: str) -> None:
    """Say what was measured, to be seen with `pytest -s`."""
    if os.environ.get("PYTEST_CURRENT_TEST"):
        print(f"\n  {words}", end="")
