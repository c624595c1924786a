"""Real packets: redirected by either program's rules, answered by the right pods."""

import sys
from pathlib import Path

import pytest

from kproxy.lab import runner
from kproxy.lab.runner import DEFAULT_PROXY, SCENARIOS, run_scenario
from tests.userspace import scenarios

pytestmark = pytest.mark.root

WITHOUT_NFTABLES = [sys.executable, "-m", "tests.userspace.without_nftables"]


@pytest.fixture(autouse=True)
def as_userspace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "load_scenario", scenarios.load)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))


@pytest.mark.parametrize("name", ["dualstack", "loadbalancer"])
async def test_nftables(name: str) -> None:
    report = await run_scenario(SCENARIOS / f"{name}.yaml", DEFAULT_PROXY["api"], "userspace")
    assert report.passed, str(report)


async def test_iptables_where_there_is_no_nftables() -> None:
    report = await run_scenario(SCENARIOS / "nodeport.yaml", WITHOUT_NFTABLES, "userspace")
    assert report.passed, str(report)
