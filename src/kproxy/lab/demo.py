"""The demo: a node comes up, Services are served from everywhere, and change while traffic flows.

Everything it prints was measured in this run. A change's time is from its write to the API until the kernel
announced the transaction that carries it. The exit status is 0 if every request was answered as it should be.
"""

import argparse
import asyncio
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack

from rich.console import Console

from kproxy.lab import demo_plan, narration
from kproxy.lab.api_objects import ApiObjects, serve_api
from kproxy.lab.commits import CommitMonitor
from kproxy.lab.demo_plan import STREAMS, VISITS, Change, Measured, Visit
from kproxy.lab.kubernetes_objects import Manifest, nodes
from kproxy.lab.lab import Lab
from kproxy.lab.load import Load
from kproxy.lab.privileges import LabUnavailableError, obtain
from kproxy.lab.probe import Sample, now
from kproxy.lab.proxy import ProxyFailedError, configuration, run_proxy
from kproxy.lab.runner import DEFAULT_PROXY
from kproxy.lab.topology import NODE, VANTAGE_POINTS

TRIES = 200
RATE = 60.0
HOLD = 1.0
"""Seconds of traffic before and after each change."""
COMMIT_PATIENCE = 5.0
QUIET = 0.1


class Demo:
    """One run; `passed` says whether everything so far was as it should be."""

    def __init__(self, console: Console, proxy: Sequence[str]) -> None:
        self._console = console
        self._proxy = proxy
        self.passed = True

    async def run(self) -> None:
        """Play it from start to end.

        Raises:
            LabUnavailableError: the lab cannot be built here.
            ProxyFailedError: the proxy ends, or programs nothing.
        """
        began = time.monotonic()
        async with AsyncExitStack() as stack:
            lab = await stack.enter_async_context(Lab.open())
            narration.built(self._console, len(VANTAGE_POINTS), time.monotonic() - began)
            api = await stack.enter_async_context(serve_api(lab))
            for manifest in nodes():
                api.apply(manifest)
            started = time.monotonic()
            settings = configuration("nftables")
            proxy = await stack.enter_async_context(run_proxy(lab, self._proxy, settings, api.server))
            narration.synced(self._console, self._proxy, proxy.process.pid, time.monotonic() - started)
            monitor = stack.enter_context(CommitMonitor(lab.namespace(NODE.name)))
            await self._create_services(api, monitor)
            visits = await self._visit(lab)
            loads, changes = await self._change_under_load(lab, api, monitor)
        narration.summary(self._console, visits, loads, changes, time.monotonic() - began)

    async def _create_services(self, api: ApiObjects, monitor: CommitMonitor) -> None:
        narration.heading(self._console, "Services are created")
        for title, service, slices in demo_plan.creations():
            # Slices alone program nothing, so the Service's write is the one that counts.
            for manifest in slices:
                api.apply(manifest)
            seconds, commits = await self._commit(api, monitor, [service])
            narration.created(self._console, title, seconds, commits)

    async def _commit(
        self, api: ApiObjects, monitor: CommitMonitor, manifests: Sequence[Manifest]
    ) -> tuple[float, int]:
        """Write objects; returns the seconds until the last commit they led to, and the number of commits."""
        written = now()
        for manifest in manifests:
            api.apply(manifest)
        try:
            burst = await monitor.burst_since(written, COMMIT_PATIENCE, QUIET)
        except TimeoutError:
            raise ProxyFailedError(f"nothing reached the kernel within {COMMIT_PATIENCE:g} s of an API write") from None
        return burst[-1].at - written, len(burst)

    async def _visit(self, lab: Lab) -> list[tuple[Visit, Sample]]:
        narration.heading(self._console, f"Everyone visits: {TRIES} requests each, every one a new connection")
        results = []
        for visit in VISITS:
            sample = await lab.sample(visit.client, visit.transport, visit.address, visit.port, TRIES)
            results.append((visit, sample))
            self.passed = narration.visited(self._console, visit, sample) and self.passed
        return results

    async def _change_under_load(
        self, lab: Lab, api: ApiObjects, monitor: CommitMonitor
    ) -> tuple[list[Load], list[Measured]]:
        narration.heading(self._console, f"Endpoints come and go under {RATE * len(STREAMS):g} requests a second")
        measured = []
        async with AsyncExitStack() as stack:
            loads = [
                await stack.enter_async_context(Load(lab, each.client, each.transport, each.address, each.port, RATE))
                for each in STREAMS
            ]
            await asyncio.sleep(HOLD)
            for change in demo_plan.changes():
                measured.append(await self._apply_under_load(api, monitor, loads, change))
                narration.changed(self._console, measured[-1])
        # Requests still under way when a change was judged are counted here, with all others.
        self.passed = self.passed and all(each.passed for each in measured) and not any(load.failures for load in loads)
        return loads, measured

    async def _apply_under_load(
        self, api: ApiObjects, monitor: CommitMonitor, loads: Sequence[Load], change: Change
    ) -> Measured:
        written = now()
        seconds, commits = await self._commit(api, monitor, change.manifests)
        await asyncio.sleep(HOLD)
        concerned = [load for load in loads if (load.address, load.port) in change.addresses]
        after = [load.answers(since=written + seconds) for load in concerned]
        answered = {pod for counts in after for pod in counts}
        recent = [request for load in loads for request in load.requests if request.started >= written]
        return Measured(
            change=change,
            seconds=seconds,
            commits=commits,
            requests=len(recent),
            failures=sum(request.outcome.pod is None for request in recent),
            strays=sum(number for counts in after for pod, number in counts.items() if pod not in change.pods),
            missing=change.pods - answered,
        )


async def play(console: Console, proxy: Sequence[str]) -> int:
    """Run the demo and report how it ended; returns the exit status.

    SIGINT, SIGTERM and SIGHUP end it early, with everything taken down.
    """
    demo = Demo(console, proxy)
    running = asyncio.create_task(demo.run())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, running.cancel)
    try:
        await running
    except asyncio.CancelledError:
        narration.interrupted(console)
        return 130
    except (LabUnavailableError, ProxyFailedError, OSError) as error:
        narration.failed(console, str(error))
        return 1
    return 0 if demo.passed else 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo from a command line; returns the exit status."""
    default = shlex.join(DEFAULT_PROXY["api"])
    parser = argparse.ArgumentParser(prog="kproxy demo", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--proxy", default=default, help="the proxy's command (default: %(default)s)")
    arguments = parser.parse_args(argv)
    console = Console(highlight=False, soft_wrap=True)
    try:
        narration.privileged(console, obtain())
    except LabUnavailableError as error:
        narration.failed(console, str(error))
        return 1
    return asyncio.run(play(console, shlex.split(arguments.proxy)))


if __name__ == "__main__":
    sys.exit(main())
