"""Runs scenarios: `python -m kproxy.lab [--mode nftables] [--source api] [FILE ...]`."""

import argparse
import asyncio
import shlex
import sys
from pathlib import Path
from typing import get_args

from kproxy.lab.privileges import LabUnavailableError, obtain
from kproxy.lab.proxy import ProxyFailedError
from kproxy.lab.runner import DEFAULT_PROXY, SCENARIOS, Source, run_scenario
from kproxy.lab.scenario import ScenarioError


async def _run(files: list[Path], proxy: list[str], mode: str, source: Source) -> bool:
    passed = True
    for file in files:
        report = await run_scenario(file, proxy, mode, source)
        print(report, flush=True)
        passed = passed and report.passed
    return passed


def main() -> int:
    """Run the scenarios named on the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m kproxy.lab", description="Run scenarios in network namespaces.")
    parser.add_argument("scenario", nargs="*", type=Path, help="files (default: all of the project's)")
    parser.add_argument("--mode", default="nftables", help="proxy mode (default: %(default)s)")
    parser.add_argument("--source", choices=get_args(Source), default="api", help="where the proxy reads objects")
    parser.add_argument("--proxy", type=shlex.split, help="the proxy's command; --config FILE -v 2 is appended")
    arguments = parser.parse_args()
    proxy = arguments.proxy or DEFAULT_PROXY[arguments.source]
    try:
        obtain()
        passed = asyncio.run(
            _run(arguments.scenario or sorted(SCENARIOS.glob("*.yaml")), proxy, arguments.mode, arguments.source)
        )
    except (LabUnavailableError, ScenarioError, ProxyFailedError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
