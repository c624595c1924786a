"""The proxy under test: its configuration, its start inside the node, and when it has synced."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
import yaml
from prometheus_client.parser import text_string_to_metric_families

from kproxy.lab.kubernetes_objects import Manifest
from kproxy.lab.lab import Lab
from kproxy.lab.process import Process
from kproxy.lab.topology import CLUSTER_CIDRS, NODE

HEALTHZ = "127.0.0.1:10256"
METRICS = "127.0.0.1:10249"
LAST_SYNC = "kubeproxy_sync_proxy_rules_last_timestamp_seconds"
POLL_INTERVAL = 0.02
SYNC_PATIENCE = 20.0


class ProxyFailedError(Exception):
    """The proxy ended, or did not sync in time; the message ends with what it wrote."""


def configuration(mode: str, overrides: Manifest | None = None) -> Manifest:
    """A `KubeProxyConfiguration` for the lab's node.

    Args:
        mode: `nftables`, `iptables`, `ipvs` or `userspace`.
        overrides: fields that replace these; a mapping is merged into the mapping it overrides.
    """
    soon = {"minSyncPeriod": "0s", "syncPeriod": "30s"}
    built: Manifest = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": mode,
        "hostnameOverride": NODE.name,
        "clusterCIDR": ",".join(map(str, CLUSTER_CIDRS)),
        # The limits of conntrack are the whole machine's, not a namespace's.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "healthzBindAddress": HEALTHZ,
        "metricsBindAddress": METRICS,
        "nftables": soon,
        "iptables": soon,
        "ipvs": {**soon, "scheduler": "rr"},
    }
    for key, value in (overrides or {}).items():
        base = built.get(key)
        built[key] = {**base, **value} if isinstance(base, dict) and isinstance(value, dict) else value
    return built


def kubeconfig(server: str) -> Manifest:
    """A kubeconfig for an API server that asks for no credentials."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab",
        "clusters": [{"name": "lab", "cluster": {"server": server}}],
        "users": [{"name": "lab", "user": {}}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
    }


class Proxy:
    """A proxy that runs in the lab's node."""

    def __init__(self, process: Process, http: aiohttp.ClientSession) -> None:
        self.process = process
        self._http = http

    async def last_syncs(self) -> list[float]:
        """When each IP family was last synced, in Unix time; empty while the proxy does not say."""
        try:
            async with self._http.get(f"http://{METRICS}/metrics") as response:
                text = await response.text()
        except (aiohttp.ClientError, TimeoutError):
            return []
        return [
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == LAST_SYNC
        ]

    async def synced(self, since: float, which: Callable[[Iterable[float]], float] = max) -> None:
        """Wait for a sync that ended at or after a moment in Unix time.

        Args:
            since: that moment.
            which: `max` if one IP family is enough, `min` if all have to.

        Raises:
            ProxyFailedError: it ended, or has not synced within `SYNC_PATIENCE` seconds.
        """
        if not await self.syncs(since, SYNC_PATIENCE, which):
            raise ProxyFailedError(f"the proxy did not sync within {SYNC_PATIENCE:g} s\n{self.process.output()}")

    async def syncs(self, since: float, patience: float, which: Callable[[Iterable[float]], float] = max) -> bool:
        """Whether there is such a sync within `patience` seconds; for changes that need none.

        Raises:
            ProxyFailedError: the proxy ended.
        """
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if self.process.returncode is not None:
                raise ProxyFailedError(f"the proxy ended with {self.process.returncode}\n{self.process.output()}")
            syncs = await self.last_syncs()
            if syncs and which(syncs) >= since:
                return True
            # Nothing announces a sync that changes nothing, so the metrics have to be asked again.
            await asyncio.sleep(POLL_INTERVAL)
        return False


@asynccontextmanager
async def run_proxy(
    lab: Lab, argv: Sequence[str], settings: Manifest, server: str | None = None, *, wait: bool = True
) -> AsyncIterator[Proxy]:
    """Run a proxy in the node as `<argv> --config FILE -v 2`.

    Args:
        lab: where.
        argv: the command.
        settings: a `KubeProxyConfiguration`.
        server: the URL of the API server it is to read, if it is.
        wait: whether its first sync is waited for.

    Raises:
        ProxyFailedError: it does not come up.
    """
    with TemporaryDirectory(prefix="kproxy-lab-") as folder:
        config = _write_configuration(Path(folder), settings, server)
        started = time.time()
        async with (
            lab.http(NODE.name) as http,
            lab.process(NODE.name, [*argv, "--config", str(config), "-v", "2"]) as process,
        ):
            proxy = Proxy(process, http)
            if wait:
                await proxy.synced(started, which=min)
            yield proxy


def _write_configuration(folder: Path, settings: Manifest, server: str | None) -> Path:
    if server is not None:
        path = folder / "kubeconfig"
        path.write_text(yaml.safe_dump(kubeconfig(server)))
        settings = {**settings, "clientConnection": {"kubeconfig": str(path), "contentType": "application/json"}}
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(settings))
    return config
