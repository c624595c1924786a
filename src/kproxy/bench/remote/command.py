"""`kproxy bench cluster`, once its options are read."""

from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from lightkube import KubeConfig
from lightkube.core.exceptions import ConfigError

from kproxy.bench.progress import Progress
from kproxy.bench.remote.daemon import DaemonMetrics
from kproxy.bench.remote.measurement import Extent, endpoint_servers, measure, own_address, until_gone
from kproxy.bench.remote.node import KernelMemoryGrowth, KernelObjects, ProxyUsage
from kproxy.bench.remote.proxy_pods import ProxyPods
from kproxy.bench.remote.witnesses import Witnesses
from kproxy.bench.remote.workspace import Workspace, WorkspaceError
from kproxy.bench.results.noise import NoiseMeter
from kproxy.bench.results.schema import Result, Run
from kproxy.inspect.detection.detect import Detection, detect
from kproxy.inspect.detection.endpoint import DEFAULT_METRICS
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
    daemon_set: str
    extent: Extent


async def run(options: Options, result: Result, progress: Progress) -> None:
    """Measure a cluster into a result.

    Raises:
        WorkspaceError, ClusterError: what cannot be done
    """
    address = options.address or own_address(*_server(options))
    meter, begin = NoiseMeter(), now()
    progress.doing("looking for the proxy")
    detection = await detect(urlsplit(options.metrics_url).netloc or DEFAULT_METRICS)
    extent = options.extent
    found = result.run(CONTENDER, detection.mode or "unknown mode", extent.services, extent.endpoints)
    try:
        async with Workspace.open(options.kubeconfig, options.context, options.namespace, yes=options.yes) as workspace:
            progress.note(f"working in namespace {workspace.namespace}, run {workspace.run}, endpoints at {address}")
            try:
                for number in range(extent.rounds):
                    meter.probe()
                    await _round(options, number, address, workspace, found, detection, progress)
            finally:
                progress.doing("cleaning up")
    finally:
        meter.probe()
        result.noise, result.seconds = meter.result(), now() - begin


async def _round(
    options: Options,
    number: int,
    address: str,
    workspace: Workspace,
    run: Run,
    detection: Detection,
    progress: Progress,
) -> None:
    """Services come, are measured, and go."""
    extent = options.extent

    def doing(what: str) -> None:
        progress.doing(f"round {number + 1} of {extent.rounds}, {what}")

    seen_by = (
        ProxyUsage(run, detection),
        KernelMemoryGrowth(run, detection),
        KernelObjects(run, detection),
        DaemonMetrics(run, options.metrics_url),
        ProxyPods(run, workspace.client, options.daemon_set),
    )
    witnesses = Witnesses(run, seen_by, doing)
    async with endpoint_servers(address) as servers:
        services = await measure(workspace, servers, extent, witnesses, run, doing, lambda: progress.advance(1.0))
        doing("waiting until the Services are gone")
        await workspace.clean_up(delete_namespace=False)
        await until_gone(services, extent.patience)


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
