"""One round of one contender: start it on a cluster that is there, and measure until it is stopped."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from kproxy.apiserver import Store
from kproxy.bench import cluster
from kproxy.bench.cluster import Size
from kproxy.bench.local import daemon_metrics, load_programs
from kproxy.bench.local.churning import churning
from kproxy.bench.local.contenders import Contender, Mode, settings
from kproxy.bench.local.daemon_metrics import MetricsError
from kproxy.bench.local.effort import Effort
from kproxy.bench.local.kernel_state import count_objects, kernel_memory, settled_memory
from kproxy.bench.local.load_programs import LoadError
from kproxy.bench.local.testbed import CLIENT, ENDPOINT_PORT, ENDPOINTS, THROUGHPUT_PORT, Testbed
from kproxy.bench.local.usage import AT_REST, Usage, at_rest
from kproxy.bench.results.schema import Run
from kproxy.kernel.processes import ProcessError, run_blocking
from kproxy.lab.commits import CommitMonitor
from kproxy.lab.namespaces import Namespace
from kproxy.lab.probe import now
from kproxy.lab.proxy import Proxy, run_proxy
from kproxy.lab.topology import NODE

_WARM_UP: Final = 2
_FEWEST_CHANGES: Final = 3
_OFFSETS = itertools.count(1 << 16)
"""Each changed endpoint has an address that none had before."""
_REST_SECONDS: Final = 60.0


class MeasurementError(Exception):
    """The contender does not do what there is to measure; the message says what it did, on one line."""


def extra_services(store: Store, size: Size) -> None:
    """Put in two Services of one endpoint beside the cluster's: one whose endpoint changes, and iperf3's."""
    for number in (size.services, size.services + 1):
        store.apply(cluster.service(number))
    _exchange(store, size.services)
    iperf = cluster.endpoint_slices(size.services + 1, 1)[0]
    iperf["ports"][0]["port"] = THROUGHPUT_PORT
    store.apply(iperf)


async def measure(
    contender: Contender, mode: Mode, size: Size, store: Store, effort: Effort, run: Run, told: Callable[[str], None]
) -> None:
    """Measure a round and add it to a run.

    Args:
        contender: the proxy
        mode: its mode
        size: the cluster in the store
        store: what the API server serves, with `extra_services`
        effort: how much to measure
        run: where samples go; what was measured before an error stays
        told: called with what is being measured, for people

    Raises:
        LabUnavailableError: the testbed cannot be built
        MeasurementError: the contender did not sync, or lost a change
        ProxyFailedError: the contender ended
    """
    async with AsyncExitStack() as stack:
        told("wiring")
        testbed = await stack.enter_async_context(Testbed.open(store))
        before = await settled_memory()
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="kproxy-bench-")))
        if mode.variant:
            _hint(testbed.node, mode.variant)
        told("start")
        argv = contender.argv(mode, folder)
        started = now()
        proxy = await stack.enter_async_context(
            run_proxy(testbed.lab, argv, settings(mode), testbed.server, wait=False)
        )
        round_ = _Round(testbed, proxy, size, store, effort, run, told)
        await round_.start(started)
        await round_.rest()
        after = kernel_memory()
        run.add("kernel_memory", [float(after.total - before.total)])
        run.add("kernel_slab", [float(after.slab - before.slab)])
        await round_.idle()
        await round_.connections()
        await round_.updates(mode)
        await round_.updates_under_churn()
        await round_.load()
        await round_.finish(mode)


class _Round:
    def __init__(
        self,
        testbed: Testbed,
        proxy: Proxy,
        size: Size,
        store: Store,
        effort: Effort,
        run: Run,
        told: Callable[[str], None],
    ) -> None:
        self._testbed, self._proxy, self._size, self._store = testbed, proxy, size, store
        self._effort, self._run, self._told = effort, run, told
        self._pid = proxy.process.pid
        last = size.services - 1
        self._services = [testbed.service(number) for number in (0, last // 2, last)]

    async def start(self, started: float) -> None:
        probes = [*self._services, self._testbed.service(self._size.services)]
        reaching = asyncio.create_task(self._testbed.prober.reach(probes, self._effort.patience))
        ending = asyncio.create_task(self._proxy.process.wait())
        try:
            await asyncio.wait([reaching, ending], return_when=asyncio.FIRST_COMPLETED)
            reached = reaching.result() if reaching.done() else None
        finally:
            reaching.cancel()
            ending.cancel()
        if reached is None:
            status = self._proxy.process.returncode
            problem = f"did not sync within {self._effort.patience:g} s" if status is None else f"ended with {status}"
            said = " ".join(self._proxy.process.output().split())[-300:]
            raise MeasurementError(f"{problem}: {said}")
        self._run.add("start_to_synced", [reached - started])
        self._run.add("cpu_start", [Usage.of(self._pid).cpu])

    async def rest(self) -> None:
        """Wait until the proxy has nothing more to do, by its CPU and by its own account.

        A proxy may wait for the kernel in the midst of a sync, as for a module's file.
        """
        self._told("coming to rest")
        deadline = now() + _REST_SECONDS
        while True:
            busy = await at_rest(self._pid, deadline - now())
            metrics = await self._metrics()
            synced = daemon_metrics.first_sync(metrics)
            if synced is not None or not metrics or now() > deadline:
                break
        self._run.add("full_sync", [] if synced is None else [synced])
        if busy > AT_REST:
            self._run.miss(f"not at rest {_REST_SECONDS:g} s after its start: {busy:.0%} of a core")
        if metrics and synced is None:
            self._run.miss(f"full sync: the daemon accounts for none {_REST_SECONDS:g} s after its start")

    async def idle(self) -> None:
        self._told("idle")
        begin, at = Usage.of(self._pid), now()
        self._run.add("resident", [float(begin.resident)])
        await asyncio.sleep(self._effort.idle_seconds)
        self._run.add("cpu_idle", [(Usage.of(self._pid).cpu - begin.cpu) / (now() - at)])

    async def connections(self) -> None:
        self._told("connections")
        targets = [self._testbed.direct(0), *self._services]
        effort = self._effort
        await self._testbed.prober.connect(targets, 20, 2.0)
        found = await self._testbed.prober.connect(targets, effort.connections, effort.connection_seconds)
        for name, seconds in zip(("direct", "first", "middle", "last"), found.seconds, strict=True):
            self._run.add(f"connect_{name}", seconds)
        if found.failed:
            self._run.miss(f"{found.failed} of {effort.connections * len(targets)} connections failed")

    async def updates(self, mode: Mode) -> None:
        self._told("changes")
        kernel: list[float] = []
        seconds: list[float] = []
        cpu: list[float] = []
        with _monitored(self._testbed.node, mode) as monitor:
            for number in self._numbers(self._effort.changes):
                begin = Usage.of(self._pid).cpu
                written, latency = await self._change()
                if monitor is not None and number >= _WARM_UP:
                    (commit, *_) = await monitor.burst_since(written, self._effort.patience, 0.002)
                    # Its notice may be read later than a connection, in another process, sees what it tells.
                    kernel.append(min(commit.at - written, latency))
                if number >= _WARM_UP:
                    seconds.append(latency)
                    cpu.append(Usage.of(self._pid).cpu - begin)
        self._run.add("update_connection", seconds)
        self._run.add("update_kernel", kernel)
        # One change may be less than what the kernel's accounting of programs that have ended can tell.
        self._run.add("cpu_change", [sum(cpu) / len(cpu)] if cpu else [])

    async def updates_under_churn(self) -> None:
        self._told("churn")
        rate = self._effort.churn_rate
        if self._size.services < 2 or not rate:
            return
        async with churning(self._store, self._size, rate, _OFFSETS):
            found = [(await self._change())[1] for _ in self._numbers(self._effort.churn_changes)]
        self._run.add("update_under_churn", found[_WARM_UP:])

    async def load(self) -> None:
        testbed, seconds = self._testbed, self._effort.load_seconds
        if not seconds:
            return
        self._told("wrk")
        client, server = (partial(testbed.lab.process, where) for where in (CLIENT, ENDPOINTS))
        requests = load_programs.requests_per_second
        await self._load("requests_direct", lambda: requests(client, testbed.direct(0), seconds))
        await self._load("requests", lambda: requests(client, self._services[-1], seconds))
        self._told("iperf3")
        listener = ("", THROUGHPUT_PORT)
        direct = (cluster.pod_address(self._size.services + 1), THROUGHPUT_PORT)
        service = testbed.service(self._size.services + 1)
        bits = load_programs.bits_per_second
        await self._load("throughput_direct", lambda: bits(client, server, direct, listener, seconds))
        await self._load("throughput", lambda: bits(client, server, service, listener, seconds))

    async def finish(self, mode: Mode) -> None:
        self._told("counting")
        self._run.add("resident_peak", [float(Usage.of(self._pid).peak)])
        self._run.metrics = await self._metrics()
        try:
            objects = await asyncio.to_thread(self._testbed.node.run, partial(count_objects, mode))
        except OSError as error:
            self._run.miss(f"kernel objects cannot be counted: {error}")
        else:
            self._run.add("kernel_objects", [float(objects)])

    async def _metrics(self) -> dict[str, float]:
        """The daemon's own; empty, with a remark, when it does not answer."""
        try:
            async with self._testbed.lab.http(NODE.name) as http:
                return await daemon_metrics.scrape(http)
        except MetricsError as error:
            self._run.miss(f"the daemon's metrics: {error}")
            return {}

    async def _load(self, name: str, measured: Callable[[], Awaitable[float]]) -> None:
        try:
            self._run.add(name, [await measured()])
        except LoadError as error:
            self._run.miss(str(error))

    async def _change(self) -> tuple[float, float]:
        """Exchange the endpoint; gives when it was written, and how long it took for a connection to see it."""
        number = self._size.services
        endpoint = cluster.changed_address(offset := next(_OFFSETS)), ENDPOINT_PORT
        target = self._testbed.service(number)
        awaited = asyncio.create_task(self._testbed.prober.await_endpoint(target, endpoint, self._effort.patience))
        await asyncio.sleep(0.005)  # the prober tries already
        written = now()
        _exchange(self._store, number, offset)
        seen = await awaited
        if seen is None:
            raise MeasurementError(f"a change was not seen within {self._effort.patience:g} s")
        return written, seen - written

    def _numbers(self, count: int) -> Iterator[int]:
        """Count changes, the warm-up first, until there are enough or it has taken long enough."""
        deadline = now() + self._effort.change_seconds
        for number in range(_WARM_UP + count):
            if number >= _WARM_UP + _FEWEST_CHANGES and now() > deadline:
                return
            yield number


@contextmanager
def _monitored(namespace: Namespace, mode: Mode) -> Iterator[CommitMonitor | None]:
    """Listen to the kernel's notices of commits, in the modes that have any."""
    if mode in (Mode.NFTABLES, Mode.IPTABLES_NFT):
        with CommitMonitor(namespace) as monitor:
            yield monitor
    else:
        yield None


def _exchange(store: Store, number: int, offset: int | None = None) -> None:
    """Give a Service one endpoint, with an address that none had."""
    store.apply(cluster.endpoint_slices(number, 1, offset=next(_OFFSETS) if offset is None else offset)[0])


def _hint(namespace: Namespace, variant: str) -> None:
    """Mark the node as one that uses a variant of iptables, as a kubelet does (kubernetes/enhancements, KEP-3178).

    Raises:
        MeasurementError: the variant does not work here
    """
    argv = [f"iptables-{variant}", "-t", "mangle", "-N", "KUBE-IPTABLES-HINT"]
    try:
        namespace.run(lambda: run_blocking(argv, time_limit=10))
    except ProcessError as error:
        raise MeasurementError(str(error)) from error
