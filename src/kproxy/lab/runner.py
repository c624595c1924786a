"""Runs a scenario: a proxy in the node, its objects in the API or a folder, and requests from everywhere."""

import sys
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, Protocol

from kproxy.lab.api_objects import serve_api
from kproxy.lab.kubernetes_objects import Manifest, endpoint_slices, nodes, service
from kproxy.lab.lab import Lab
from kproxy.lab.manifest_folder import ManifestFolder
from kproxy.lab.observation import Difference, Observer, render
from kproxy.lab.proxy import Proxy, configuration, run_proxy
from kproxy.lab.rejections import tcp6_rejections_arrive
from kproxy.lab.scenario import Phase, Scenario, load_scenario

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

Key = tuple[str, str]


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


@dataclass(frozen=True)
class Report:
    scenario: str
    phases: list[PhaseReport]

    @property
    def passed(self) -> bool:
        return not any(phase.differences for phase in self.phases)

    def __str__(self) -> str:
        rows = sum(phase.rows for phase in self.phases)
        wrong = sum(len(phase.differences) for phase in self.phases)
        tables = [f"{phase.name}:\n{render(phase.differences)}" for phase in self.phases if phase.differences]
        return "\n".join([f"{self.scenario}: {rows - wrong} of {rows} rows hold", *tables])


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
    async with Lab.open() as lab, _run(lab, scenario, proxy, mode, source) as (objects, running, present):
        observer = Observer(lab, tcp6_rejections=await tcp6_rejections_arrive(lab))
        phases = []
        for phase in scenario.phases:
            wanted = _manifests(phase)
            changed = time.time()
            if _bring_about(objects, present, wanted):
                await running.synced(changed)
            present = wanted
            phases.append(PhaseReport(phase.name, len(phase.expect), await _settle(observer, running, phase)))
        return Report(scenario.name, phases)


@asynccontextmanager
async def _run(
    lab: Lab, scenario: Scenario, argv: Sequence[str], mode: str, source: Source
) -> AsyncIterator[tuple[Objects, Proxy, dict[Key, Manifest]]]:
    """Start a proxy that finds the first phase's objects when it starts."""
    first = _manifests(scenario.phases[0])
    settings = configuration(mode, dict(scenario.config))
    if source == "manifests":
        with TemporaryDirectory(prefix="kproxy-manifests-") as folder:
            manifests = ManifestFolder(Path(folder))
            _apply_all(manifests, first.values())
            async with run_proxy(lab, [*argv, "--manifests", folder], settings) as proxy:
                yield manifests, proxy, first
    else:
        async with serve_api(lab) as api:
            _apply_all(api, first.values())
            async with run_proxy(lab, argv, settings, api.server) as proxy:
                yield api, proxy, first


async def _settle(observer: Observer, proxy: Proxy, phase: Phase) -> list[Difference]:
    """The differences that remain once the proxy is done with what changed.

    A sync may cover only the first of several changes, so rows that differ are asked again if another sync has
    ended since they were first asked.
    """
    differences: list[Difference] = []
    for _ in range(MOST_ROUNDS):
        before = await proxy.last_syncs()
        differences = await observer.differences(phase.expect)
        if not differences or await proxy.last_syncs() == before:
            break
    return differences


def _manifests(phase: Phase) -> dict[Key, Manifest]:
    objects = nodes()
    for name, definition in phase.services.items():
        objects += [service(name, definition), *endpoint_slices(name, definition)]
    return {(each["kind"], each["metadata"]["name"]): each for each in objects}


def _apply_all(objects: Objects, manifests: Iterable[Manifest]) -> None:
    for manifest in manifests:
        objects.apply(manifest)


def _bring_about(objects: Objects, present: dict[Key, Manifest], wanted: dict[Key, Manifest]) -> bool:
    """Write what differs; returns whether anything did."""
    changed = [manifest for key, manifest in wanted.items() if present.get(key) != manifest]
    gone = [manifest for key, manifest in present.items() if key not in wanted]
    _apply_all(objects, changed)
    for manifest in gone:
        objects.delete(manifest)
    return bool(changed or gone)
