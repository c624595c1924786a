"""Comparing without a cause: what the kernel tells nobody is found, at a bounded cost."""

import asyncio

import pytest

from kproxy.backends.iptables import audit, legacy_watch
from kproxy.backends.iptables.audit import Audit
from kproxy.backends.iptables.legacy_watch import LegacyWatch
from kproxy.backends.iptables.tool import Tool, Variant
from kproxy.services.addresses import Family
from tests.iptables.kernel_state import FAMILIES, backend, kernel_rules, tools_of, tracker_of, written
from tests.iptables.test_changes import some_services
from tests.iptables.test_repair import iptables
from tests.services.builders import slice_of

UNNOTICED = ["-t nat -A KUBE-SERVICES -j RETURN", "-t nat -R KUBE-SERVICES 2 -j RETURN", "-I KUBE-FORWARD -j DROP"]
"""Additions, and an exchange that leaves as many rules as there were."""


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_longer_it_takes_the_more_rarely_it_is_done() -> None:
    clock = Clock()
    budget = Audit(30, clock)
    assert not budget.due()
    for cost, interval in ((0.02, 30), (2.5, 250), (120, 3600)):
        budget.compared(cost, repaired=False)
        clock.now += interval - 1
        assert not budget.due()
        clock.now += 1
        assert budget.due()


def test_weak_causes_count_less_after_a_comparison_in_vain() -> None:
    clock = Clock()
    budget = Audit(30, clock)
    assert budget.worthwhile()
    budget.compared(0.1, repaired=False)
    clock.now += 9
    assert not budget.worthwhile()
    clock.now += 1
    assert budget.worthwhile()
    budget.compared(0.1, repaired=True)
    assert budget.worthwhile()


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if comparing cost nothing."""
    monkeypatch.setattr(audit, "_SHARE", float("inf"))


@pytest.mark.usefixtures("cheap")
async def test_what_nothing_tells_of_is_repaired_by_a_sync(
    tools: dict[Family, Tool], caplog: pytest.LogCaptureFixture
) -> None:
    tracker, running = tracker_of(some_services(10)), backend(tools, audit_seconds=0)
    written(await running.sync_all((), tracker))
    right = kernel_rules(tools)
    for tampering in UNNOTICED:
        iptables(tools[Family.IPV4], *tampering.split())
        outcomes = await running.sync((), tracker)
        assert [outcome.full for outcome in outcomes] == [True, True]
        assert written(outcomes) > 0
        assert kernel_rules(tools) == right, tampering
    assert caplog.text.count("Somebody else changed our rules") == len(UNNOTICED)


@pytest.mark.usefixtures("cheap")
async def test_a_change_does_not_wait_for_it_and_is_no_tampering(
    tools: dict[Family, Tool], caplog: pytest.LogCaptureFixture
) -> None:
    tracker, running = tracker_of(some_services(10)), backend(tools, audit_seconds=0)
    written(await running.sync_all((), tracker))
    tracker.take()
    tracker.upsert(slice_of("s1", "10.9.9.9", ports=(("", 8080),)))
    outcomes = await running.sync(tracker.take().services, tracker)
    assert [(outcome.full, outcome.objects > 0) for outcome in outcomes] == [(True, True), (True, False)]
    assert "10.9.9.9:8080" in str(kernel_rules(tools)[Family.IPV4])
    assert "Somebody else" not in caplog.text


async def test_until_it_is_time_nothing_is_read(tools: dict[Family, Tool], monkeypatch: pytest.MonkeyPatch) -> None:
    tracker, running = tracker_of(some_services(3)), backend(tools)
    written(await running.sync_all((), tracker))
    monkeypatch.setenv("PATH", "/nowhere")
    outcomes = await running.sync((), tracker)
    assert written(outcomes) == 0
    assert not any(outcome.full for outcome in outcomes)


@pytest.mark.usefixtures("network_namespace", "lock_file")
async def test_tables_that_shrink_for_others_reasons_cost_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(legacy_watch, "POLL_SECONDS", 0.01)
    tool, clock, noticed = tools_of(Variant.LEGACY)[Family.IPV4], Clock(), asyncio.Event()
    for _ in range(3):
        iptables(tool, "-A", "INPUT", "-j", "ACCEPT")
    budget = Audit(30, clock)
    watch = LegacyWatch(FAMILIES, noticed.set, budget)
    try:
        iptables(tool, "-D", "INPUT", "1")
        await asyncio.wait_for(noticed.wait(), 5)
        budget.compared(2.0, repaired=False)
        noticed.clear()
        iptables(tool, "-D", "INPUT", "1")
        await asyncio.sleep(0.1)
        assert not noticed.is_set()
        clock.now += 200
        await asyncio.wait_for(noticed.wait(), 5)
    finally:
        watch.close()
