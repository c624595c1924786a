"""The metrics of this node's proxy, over the length of a run."""

import aiohttp

from kproxy.bench.local import daemon_metrics
from kproxy.bench.local.daemon_metrics import MetricsError
from kproxy.bench.remote.witnesses import UnavailableError, Witness
from kproxy.bench.results.schema import Run


class DaemonMetrics(Witness):
    """How long syncs took by the proxy's own account. Syncs for others' changes are among them."""

    subject = "metrics of this node's proxy"

    def __init__(self, run: Run, url: str) -> None:
        super().__init__(run)
        self._url = url
        self._before: dict[str, float] = {}

    async def before(self) -> None:
        await self._scrape()

    async def changing(self) -> None:
        self._before = await self._scrape()

    async def changed(self, changes: int) -> None:
        mean = daemon_metrics.mean_sync(self._before, await self._scrape())
        if mean is None:
            self._run.miss("sync after a change: the proxy's metrics count no sync in the meantime")
        else:
            self._run.add("sync_duration", [mean])

    async def finished(self) -> None:
        self._run.metrics = await self._scrape()

    async def _scrape(self) -> dict[str, float]:
        try:
            async with aiohttp.ClientSession() as http:
                found = await daemon_metrics.scrape(http, self._url)
        except MetricsError as error:
            raise UnavailableError(f"{error}; name their address with --metrics-url") from error
        if not found:
            raise UnavailableError(f"{self._url} has none of a kube-proxy's")
        return found
