"""`kproxy bench cluster`, once its options are read."""

from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import aiohttp
from lightkube import KubeConfig
from lightkube.core.exceptions import ConfigError

from kproxy.bench.local import daemon_metrics
from kproxy.bench.progress import Progress
from kproxy.bench.remote.measurement import Extent, measure, own_address
from kproxy.bench.remote.workspace import Workspace, WorkspaceError
from kproxy.bench.results.noise import NoiseMeter
from kproxy.bench.results.schema import Result
from kproxy.lab.probe import now

CONTENDER = "cluster"


class Options(NamedTuple):
    """What the command line says; see the command's help."""

    kubeconfig: Path | None
    context: str | None
    namespace: str
    yes: bool
    address: str
    metrics_url: str
    extent: Extent


async def run(options: Options, result: Result, progress: Progress) -> None:
    """Measure a cluster into a result.

    Raises:
        WorkspaceError, ClusterError: what cannot be done
    """
    address = options.address or own_address(*_server(options))
    meter, begin = NoiseMeter(), now()
    found = result.run(CONTENDER, await _mode(options.metrics_url), options.extent.services, options.extent.endpoints)
    try:
        async with Workspace.open(options.kubeconfig, options.context, options.namespace, yes=options.yes) as workspace:
            progress.note(f"working in namespace {workspace.namespace}, run {workspace.run}, endpoints at {address}")
            meter.probe()
            try:
                await measure(workspace, address, options.extent, found, progress.doing, lambda: progress.advance(1.0))
            finally:
                progress.doing("cleaning up")
        if options.metrics_url:
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http:
                found.metrics = await daemon_metrics.scrape(http, options.metrics_url)
    finally:
        meter.probe()
        result.noise, result.seconds = meter.result(), now() - begin


def _server(options: Options) -> tuple[str, int]:
    try:
        config = KubeConfig.from_file(options.kubeconfig) if options.kubeconfig else KubeConfig.from_env()
        single = config.get(context_name=options.context)
    except (ConfigError, OSError) as error:
        raise WorkspaceError(f"kubeconfig: {error}") from error
    if single is None:
        raise WorkspaceError("the kubeconfig has no current context: name one with --context")
    parts = urlsplit(single.cluster.server)
    return parts.hostname or "", parts.port or 443


async def _mode(metrics_url: str) -> str:
    """The proxy's own word, where its metrics can be asked."""
    if not metrics_url:
        return "unknown mode"
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as http,
            http.get(metrics_url.removesuffix("/metrics") + "/proxyMode") as response,
        ):
            return (await response.text()).strip()[:20] or "unknown mode"
    except (aiohttp.ClientError, TimeoutError):
        return "unknown mode"
