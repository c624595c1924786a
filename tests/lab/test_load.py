import asyncio

import pytest

from kproxy.lab.lab import Lab
from kproxy.lab.load import Load, quantile
from kproxy.lab.probe import Result, now

from .nft import INPUT, load_table, run_nft

POD = "10.244.1.10"


@pytest.mark.root
async def test_failures_are_recorded_with_their_time(lab: Lab) -> None:
    async with Load(lab, "ext", "TCP", POD, 8080, 200) as load:
        await asyncio.sleep(0.2)
        broken = now()
        load_table(lab.namespace("pod-a"), "ip", (INPUT, "tcp dport 8080 reject"))
        rejecting = now()
        await asyncio.sleep(0.2)
        run_nft(lab.namespace("pod-a"), "delete table ip lab")
        mended = now()
        await asyncio.sleep(0.2)
    assert load.failures
    assert {request.outcome.result for request in load.failures} == {Result.REJECTED}
    assert all(broken <= request.finished and request.started <= mended for request in load.failures)
    assert load.answers(until=broken).keys() == {"pod-a"}
    assert not load.answers(since=rejecting, until=mended - 0.05)
    assert load.answers(since=mended).keys() == {"pod-a"}


@pytest.mark.root
async def test_the_rate_holds_while_nobody_answers(lab: Lab) -> None:
    lab.patience = 0.3
    load_table(lab.namespace("pod-a"), "ip", (INPUT, "tcp dport 8080 drop"))
    async with Load(lab, "ext", "TCP", POD, 8080, 100) as load:
        await asyncio.sleep(0.5)
    assert 40 <= len(load.requests) <= 60
    assert {request.outcome.result for request in load.requests} == {Result.TIMEOUT}
    assert min(request.latency for request in load.requests) >= 0.3


@pytest.mark.root
async def test_an_error_in_the_block_ends_the_load(lab: Lab) -> None:
    with pytest.raises(ZeroDivisionError):
        async with Load(lab, "ext", "TCP", POD, 8080, 100):
            _ = 1 / 0
    assert len(asyncio.all_tasks()) == 1


def test_quantiles() -> None:
    assert quantile([], 0.5) == 0.0
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert quantile([3.0, 1.0, 2.0], 1.0) == 3.0
