"""What is remembered has an end, and what is repeated has a pace."""

import asyncio

import pytest

from kproxy.backends.nftables.backend import NftablesBackend
from kproxy.backends.nftables.ruleset import RulesetOptions
from kproxy.daemon import repair_pace
from kproxy.daemon.repair_pace import RepairPace
from kproxy.services import tracker as tracking
from kproxy.services.addresses import Family
from kproxy.services.objects import Service
from kproxy.services.tracker import ServiceTracker
from kproxy.sources.delivery import Delivery
from kproxy.sources.wire import BadObject
from tests.services.builders import service, slice_of

TRIGGER = "endpoints.kubernetes.io/last-change-trigger-time"


async def test_a_first_repair_is_at_once_and_others_wait_for_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repair_pace, "_SHORTEST", 0.1)
    loop = asyncio.get_running_loop()
    begun: list[float] = []
    pace = RepairPace(lambda: begun.append(loop.time()))
    pace.tampered()
    assert len(begun) == 1
    for _ in range(100):
        pace.tampered()
    assert len(begun) == 1
    await asyncio.sleep(0.15)
    assert len(begun) == 2
    assert begun[1] - begun[0] >= 0.09
    pace.compared(0.03)
    await asyncio.sleep(0.15)
    pace.tampered()
    assert len(begun) == 3
    pace.tampered()
    await asyncio.sleep(0.15)
    assert len(begun) == 3, "at a cost of 30 ms, only after 300 ms"
    pace.close()
    await asyncio.sleep(0.2)
    assert len(begun) == 3


def test_a_bad_object_that_a_relist_no_longer_has_is_forgotten() -> None:
    delivery = Delivery(Service, ServiceTracker("here"))
    bad = BadObject("default", "odd", "1", "odd indeed")
    for expected in (1, 1):
        delivery.begin_snapshot()
        delivery.take(bad)
        delivery.end_snapshot()
        assert delivery.bad_objects == expected
    delivery.begin_snapshot()
    delivery.end_snapshot()
    delivery.take(bad)
    assert delivery.bad_objects == 2


def test_times_of_changes_do_not_pile_up_before_a_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "MOST_TRIGGERED", 5)
    tracker = ServiceTracker("here")
    tracker.upsert(service())
    for number in range(20):
        stamp = {TRIGGER: f"2026-01-01T00:00:{number:02}Z"}
        tracker.upsert(slice_of("web", f"10.244.1.{number}", annotations=stamp))
    assert len(tracker.take().triggered) == 5


@pytest.mark.usefixtures("network_namespace")
async def test_timeouts_of_affinity_that_nobody_has_any_more_go() -> None:
    backend = NftablesBackend((Family.IPV4,), RulesetOptions())
    tracker = ServiceTracker("here")
    tracker.upsert(slice_of("web", "10.244.1.1"))
    await backend.sync_all((), tracker)
    sets = set()
    for seconds in range(1, 101):
        sticky = {"clientIP": {"timeoutSeconds": seconds}}
        tracker.upsert(service(sessionAffinity="ClientIP", sessionAffinityConfig=sticky))
        outcomes = await backend.sync(tracker.take().services, tracker)
        assert not any(outcome.refused for outcome in outcomes)
        sets.add(sum("sticky-services-" in name for name in backend.object_counts()[Family.IPV4]))
    assert max(sets) < 50
    [again] = await backend.sync_all((), tracker)
    assert again.objects <= 33, "the unused that were kept"
    backend.close()
