"""Two proxies on one node: real processes in a network namespace of their own."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from kproxy.kernel import instance_lock
from kproxy.lab.namespaces import Namespace
from kproxy.lab.process import Process, start

pytestmark = pytest.mark.root

ROOT = Path(__file__).parents[2]


class Node:
    """A namespace in which proxies start."""

    def __init__(self, namespace: Namespace, processes: AsyncExitStack) -> None:
        self.namespace = namespace
        self._processes = processes

    async def start(
        self,
        description: str,
        *,
        take_over: bool = False,
        seconds_to_end: float = 0.0,
        patience: float = 10.0,
        wrapper: tuple[str, ...] = (),
    ) -> Process:
        how = "--takeover" if take_over else "--alone"
        argv = [*wrapper, sys.executable, "-m", "tests.node.instance", how, description]
        argv += [str(seconds_to_end), str(patience)]
        environment = {"PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"}
        return await self._processes.enter_async_context(start(self.namespace, argv, environment))

    async def holder(self, description: str = "first", **options: float) -> Process:
        process = await self.start(description, **options)  # type: ignore[arg-type]
        await until(lambda: "holding" in process.output(), process)
        return process


async def until(holds: Callable[[], bool], process: Process) -> None:
    async with asyncio.timeout(10):
        while not holds():
            assert process.returncode is None, process.output()
            await asyncio.sleep(0.01)


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    with Namespace("instances") as namespace:
        async with AsyncExitStack() as processes:
            yield Node(namespace, processes)


async def test_a_second_one_is_refused_and_told_who_is_there(node: Node) -> None:
    first = await node.holder("kproxy 1.2, mode nftables")
    second = await node.start("second")
    assert await second.wait() == 1
    assert second.output() == (
        f"refused: a proxy already serves this node: process {first.pid} (kproxy 1.2, mode nftables); "
        "stop it first, or start with --takeover to replace it\n"
    )
    assert first.returncode is None
    assert "ending" not in first.output()


async def test_another_namespace_is_another_node(node: Node) -> None:
    await node.holder()
    with Namespace("other") as other:
        async with start(other, [sys.executable, "-m", "tests.node.instance", "--alone", "x", "0", "1"]) as process:
            await until(lambda: "holding" in process.output(), process)


async def test_the_kernel_gives_the_lock_back_after_sigkill(node: Node) -> None:
    first = await node.holder()
    first.send_signal(signal.SIGKILL)
    await first.wait()
    await node.holder("second")


async def test_a_takeover_waits_for_the_others_end(node: Node) -> None:
    first = await node.holder(seconds_to_end=0.3)
    second = await node.start("second", take_over=True)
    await until(lambda: "ending" in first.output(), second)
    assert "holding" not in second.output()
    assert await first.wait() == 0
    await until(lambda: "holding" in second.output(), second)
    assert f"Another instance takes over (process {second.pid})" in first.output()


async def test_a_takeover_of_nothing_is_a_start(node: Node) -> None:
    second = await node.start("second", take_over=True)
    await until(lambda: "holding" in second.output(), second)


async def test_one_that_does_not_end_in_time_is_named(node: Node) -> None:
    first = await node.holder(seconds_to_end=30)
    second = await node.start("second", take_over=True, patience=0.3)
    assert await second.wait() == 1
    assert f"did not end within 0.3 s: process {first.pid} (first); end it with SIGTERM" in second.output()
    first.send_signal(signal.SIGKILL)


async def test_one_that_hangs_is_named(node: Node) -> None:
    first = await node.holder()
    first.send_signal(signal.SIGSTOP)
    second = await node.start("second", take_over=True, patience=0.3)
    assert await second.wait() == 1
    assert f"did not end within 0.3 s: process {first.pid}; end it" in second.output()
    first.send_signal(signal.SIGKILL)


READING = "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"
"""A checkout may be in a folder that only root reads."""
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *READING, "--")


async def test_whoever_may_not_administer_the_network_can_neither_end_a_proxy_nor_keep_one_away(node: Node) -> None:
    first = await node.holder()
    intruder = await node.start("second", take_over=True, wrapper=NOBODY)
    assert await intruder.wait() == 1
    assert f"will not end for this user: process {first.pid} (first)" in intruder.output()
    assert "of user 65534, asked this proxy to end, and may not" in first.output()
    assert "ending" not in first.output()
    first.send_signal(signal.SIGKILL)
    await first.wait()
    squatter = await node.start("squatter", wrapper=NOBODY)
    await until(lambda: "holding" in squatter.output(), squatter)
    proxy = await node.holder("proxy")
    assert "of user 65534, pretends to be a proxy; going on without the lock" in proxy.output()


def refusal(answer: bytes | None) -> str:
    """What `acquire` says when somebody has the lock who gives an answer; None: who gives none."""
    with socket.socket(socket.AF_UNIX) as listening, ThreadPoolExecutor(1) as thread:
        listening.bind(instance_lock._ADDRESS)
        listening.listen()

        def reply() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(100)
                connection.send(answer or b"")

        if answer is not None:
            thread.submit(reply)
        with pytest.raises(instance_lock.AlreadyRunningError) as caught:
            instance_lock.acquire("me")
        return str(caught.value)


@pytest.mark.usefixtures("network_namespace")
def test_what_a_holder_says_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instance_lock, "_ANSWER_TIMEOUT", 0.2)
    for answer in (None, b"", b"garbage", b"[]", b'{"pid": "x"}', b"\xff\xfe"):
        assert f"node: process {os.getpid()}; stop it" in refusal(answer)
    assert f"({'x' * 200});" in refusal(b'{"description": "' + b"x" * 3000 + b'"}')
