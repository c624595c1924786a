"""When syncs happen."""

import asyncio

from kproxy.daemon.runner import SyncRunner


async def settle() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_requests_at_hand_are_one_sync() -> None:
    syncs: list[int] = []

    async def sync() -> bool:
        syncs.append(1)
        return True

    runner = SyncRunner(sync, min_period=0, sync_period=60)
    for _ in range(5):
        runner.request()
    assert syncs == []
    await settle()
    assert len(syncs) == 1
    runner.request()
    await settle()
    assert len(syncs) == 2
    await runner.close()


async def test_syncs_keep_their_distance() -> None:
    loop = asyncio.get_running_loop()
    times: list[float] = []
    second = asyncio.Event()

    async def sync() -> bool:
        times.append(loop.time())
        if len(times) == 2:
            second.set()
        return True

    runner = SyncRunner(sync, min_period=0.05, sync_period=60)
    runner.request()
    await settle()
    runner.request()
    runner.request()
    await asyncio.wait_for(second.wait(), 5)
    assert times[1] - times[0] >= 0.05
    await runner.close()


async def test_without_requests_it_syncs_now_and_then() -> None:
    count = 0
    third = asyncio.Event()

    async def sync() -> bool:
        nonlocal count
        count += 1
        if count == 3:
            third.set()
        return True

    runner = SyncRunner(sync, min_period=0, sync_period=0.01)
    runner.request()
    await asyncio.wait_for(third.wait(), 5)
    await runner.close()


async def test_a_failed_sync_is_tried_again_later_and_later() -> None:
    loop = asyncio.get_running_loop()
    times: list[float] = []
    worked = asyncio.Event()

    async def sync() -> bool:
        times.append(loop.time())
        if len(times) < 3:
            return False
        worked.set()
        return True

    runner = SyncRunner(sync, min_period=0, sync_period=60)
    runner.request()
    await settle()
    runner.request()  # a request does not shorten the wait
    await asyncio.wait_for(worked.wait(), 5)
    assert times[1] - times[0] >= 0.08
    assert times[2] - times[1] >= 0.16
    await runner.close()


async def test_nothing_runs_after_close() -> None:
    async def sync() -> bool:
        raise AssertionError("it runs")

    runner = SyncRunner(sync, min_period=0, sync_period=60)
    runner.request()
    await runner.close()
    await settle()


async def test_what_is_asked_for_during_a_sync_is_one_sync_after_it() -> None:
    begun, finish = asyncio.Semaphore(0), asyncio.Semaphore(0)
    running = most = 0

    async def sync() -> bool:
        nonlocal running, most
        running += 1
        most = max(most, running)
        begun.release()
        await finish.acquire()
        running -= 1
        return True

    runner = SyncRunner(sync, min_period=0, sync_period=60)
    runner.request()
    await begun.acquire()
    for _ in range(5):
        runner.request()
    finish.release()
    await begun.acquire()
    finish.release()
    await settle()
    assert most == 1
    assert begun.locked(), "a third one ran"
    await runner.close()


async def test_closing_waits_for_the_sync_that_runs_but_not_forever() -> None:
    begun, finish, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def sync() -> bool:
        begun.set()
        try:
            await finish.wait()
        finally:
            ended.set()
        return True

    for patience in (5.0, 0.01):
        runner = SyncRunner(sync, min_period=0, sync_period=60)
        for event in (begun, finish, ended):
            event.clear()
        runner.request()
        await begun.wait()
        if patience > 1:
            asyncio.get_running_loop().call_later(0.01, finish.set)
        await runner.close(patience)
        assert ended.is_set()
