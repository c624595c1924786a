"""Runs a scenario: a proxy in the node, its objects in the API or a folder, and requests from everywhere."""

import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, Protocol

from kproxy.lab.api_objects import serve_api
from kproxy.lab.health_checks import health_differences
from kproxy.lab.kubernetes_objects import Manifest
from kproxy.lab.lab import Lab
from kproxy.lab.manifest_folder import ManifestFolder
from kproxy.lab.observation import Difference, Observer, render
from kproxy.lab.proxy import Proxy, configuration, run_proxy
from kproxy.lab.rejections import tcp6_rejections_arrive
from kproxy.lab.scenario import Key, Phase, load_scenario
from kproxy.lab.topology import NODE, Interface
from kproxy.lab.wiring import set_address

Source = Literal["api", "manifests"]
SCENARIOS = Path(__file__).parent / "scenarios"
_BIN = Path(sys.executable).parent
DEFAULT_PROXY: dict[Source, list[str]] = {
    "api": [str(_BIN / "kube-proxy")],
    "manifests": [str(_BIN / "kproxy"), "run"],
}
"""The proxy of this environment, for each source."""

MOST_ROUNDS = 5
"""Rounds of requests after which a proxy that keeps syncing is taken at its word."""

ADDRESS_PATIENCE = 1.0
"""Seconds for a proxy to sync after the node's addresses changed, which not every configuration calls for."""


class Objects(Protocol):
    """Where a proxy learns of Services: `ApiObjects` or `ManifestFolder`."""

    def apply(self, manifest: Manifest) -> None:
        """Create or replace an object."""

    def delete(self, manifest: Manifest) -> None:
        """Delete an object."""


@dataclass(frozen=True)
class PhaseReport:
    """The rows of one phase that did not hold, of how many."""

    name: str
    rows: int
    differences: list[Difference]
    health: list[str]
    """The same of health check node ports, in words."""

    @property
    def wrong(self) -> int:
        return len(self.differences) + len(self.health)

    def __str__(self) -> str:
        table = [render(self.differences)] if self.differences else []
        return "\n".join([f"{self.name}:", *table, *self.health])


@dataclass(frozen=True)
class Report:
    scenario: str
    phases: list[PhaseReport]

    @property
    def passed(self) -> bool:
        return not any(phase.wrong for phase in self.phases)

    def __str__(self) -> str:
        rows = sum(phase.rows for phase in self.phases)
        wrong = sum(phase.wrong for phase in self.phases)
        told = [str(phase) for phase in self.phases if phase.wrong]
        return "\n".join([f"{self.scenario}: {rows - wrong} of {rows} rows hold", *told])


async def run_scenario(path: Path, proxy: Sequence[str], mode: str, source: Source = "api") -> Report:
    """Run a scenario from its first object to its last step, in a lab of its own.

    Args:
        path: the scenario's file; those of the project are in `SCENARIOS`.
        proxy: the proxy's command, to which `--config FILE -v 2` is added, and before it, for the manifests
            source, `--manifests DIR`.
        mode: the proxy mode.
        source: where the proxy reads its objects.

    Raises:
        LabUnavailableError: no right to build the lab.
        ScenarioError: the file is no scenario.
        ProxyFailedError: the proxy ends, or does not sync.
        ApiError: the scenario has an object that the API does not accept.
    """
    scenario = load_scenario(path, mode)
    async with Lab.open() as lab, _play(lab, source, proxy, mode) as play:
        observer = Observer(lab, tcp6_rejections=await tcp6_rejections_arrive(lab))
        phases = []
        for phase in scenario.phases:
            running = await play.bring_about(phase)
            phases.append(await _settle(lab, observer, running, phase))
        return Report(scenario.name, phases)


class _Play:
    """A cluster and its proxy, moved from phase to phase."""

    def __init__(
        self, lab: Lab, objects: Objects, start: Callable[[Phase], AbstractAsyncContextManager[Proxy]]
    ) -> None:
        self._lab, self._objects, self._start = lab, objects, start
        self._phase: Phase | None = None
        self._proxy: Proxy | None = None
        self._running = AsyncExitStack()

    async def bring_about(self, phase: Phase) -> Proxy:
        """Write what differs from the phase before, and wait for the proxy to sync, restarted if it has to be."""
        before, self._phase = self._phase, phase
        changed = time.time()
        readdressed = self._readdress(before.addresses if before else {}, phase.addresses)
        if self._proxy is None or before is None or before.config != phase.config:
            await self._running.aclose()
            self._write(before.manifests if before else {}, phase.manifests)
            self._proxy = await self._running.enter_async_context(self._start(phase))
        elif self._write(before.manifests, phase.manifests):
            await self._proxy.synced(changed)
        elif readdressed:
            await self._proxy.syncs(changed, ADDRESS_PATIENCE)
        return self._proxy

    def _write(self, present: Mapping[Key, Manifest], wanted: Mapping[Key, Manifest]) -> bool:
        """Returns whether anything differed."""
        changed = {key: manifest for key, manifest in wanted.items() if present.get(key) != manifest}
        gone = [manifest for key, manifest in present.items() if key not in wanted]
        # The spec of a Node, its podCIDRs, is for life: one that has another was registered anew.
        renewed = [key for key in changed if key[0] == "Node" and key in present]
        for key in renewed:
            if present[key]["spec"] != changed[key]["spec"]:
                self._objects.delete(present[key])
        for manifest in changed.values():
            self._objects.apply(manifest)
        for manifest in gone:
            self._objects.delete(manifest)
        return bool(changed or gone)

    def _readdress(self, present: Mapping[Interface, str], wanted: Mapping[Interface, str]) -> bool:
        node = self._lab.namespace(NODE.name)
        for address, link in present.items() - wanted.items():
            set_address(node, address, link, present=False)
        for address, link in wanted.items() - present.items():
            set_address(node, address, link, present=True)
        return present != wanted

    async def aclose(self) -> None:
        await self._running.aclose()


@asynccontextmanager
async def _play(lab: Lab, source: Source, argv: Sequence[str], mode: str) -> AsyncIterator[_Play]:
    async with AsyncExitStack() as stack:
        objects: Objects
        server = None
        if source == "manifests":
            folder = stack.enter_context(TemporaryDirectory(prefix="kproxy-manifests-"))
            objects = ManifestFolder(Path(folder))
            argv = [*argv, "--manifests", folder]
        else:
            objects = api = await stack.enter_async_context(serve_api(lab))
            server = api.server
        play = _Play(lab, objects, lambda phase: run_proxy(lab, argv, configuration(mode, {**phase.config}), server))
        stack.push_async_callback(play.aclose)
        yield play


async def _settle(lab: Lab, observer: Observer, proxy: Proxy, phase: Phase) -> PhaseReport:
    """What remains different once the proxy is done with what changed.

    A sync may cover only the first of several changes, so everything is asked again if something differs and
    another sync has ended since it was first asked.
    """
    rows = len(phase.expect) + len(phase.health)
    for _ in range(MOST_ROUNDS):
        before = await proxy.last_syncs()
        differences = await observer.differences(phase.expect)
        report = PhaseReport(phase.name, rows, differences, await health_differences(lab, phase.health))
        if not report.wrong or await proxy.last_syncs() == before:
            break
    return report
