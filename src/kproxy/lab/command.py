"""Runs scenarios one after the other and prints what came of them."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import msgspec

from kproxy.apiserver.errors import ApiError
from kproxy.lab.privileges import LabUnavailableError, obtain
from kproxy.lab.proxy import ProxyFailedError
from kproxy.lab.runner import DEFAULT_PROXY, SCENARIOS, Source, run_scenario
from kproxy.lab.scenario import ScenarioError, load_scenario


def list_scenarios() -> str:
    """The project's scenarios and what they are about, a line each."""
    scenarios = [load_scenario(file, "nftables") for file in _all()]
    width = max(len(scenario.name) for scenario in scenarios)
    return "\n".join(f"{scenario.name:{width}}  {scenario.about}" for scenario in scenarios)


def play(scenarios: Sequence[str], mode: str, source: str, proxy: Sequence[str]) -> int:
    """Run scenarios and print a report of each.

    Args:
        scenarios: files, or names of the project's own; none: all of those.
        mode: the proxy mode.
        source: where the proxy reads objects; see `Source`.
        proxy: its command; empty: this environment's own.

    Returns:
        The exit status: 0 if every row holds, 1 if not, 2 if a scenario could not be run.
    """
    try:
        kind = msgspec.convert(source, Source)
    except msgspec.ValidationError:
        print(f"no such source: {source} (there are {' and '.join(get_args(Source))})", file=sys.stderr)
        return 2
    try:
        obtain()
        passed = asyncio.run(_run([_file(name) for name in scenarios] or _all(), proxy, mode, kind))
    except (LabUnavailableError, ScenarioError, ProxyFailedError, ApiError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0 if passed else 1


async def _run(files: Sequence[Path], proxy: Sequence[str], mode: str, source: Source) -> bool:
    passed = True
    for file in files:
        report = await run_scenario(file, proxy or DEFAULT_PROXY[source], mode, source)
        print(report, flush=True)
        passed = passed and report.passed
    return passed


def _file(name: str) -> Path:
    own = SCENARIOS / f"{name}.yaml"
    return own if own.is_file() else Path(name)


def _all() -> list[Path]:
    return sorted(SCENARIOS.glob("*.yaml"))
