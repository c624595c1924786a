"""What the service manager is told, through a real socket."""

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from kproxy.kernel.sd_notify import ServiceManager
from kproxy.node import service_state
from kproxy.node.service_state import ServiceState


class Manager:
    """The service manager's end of the socket."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.settimeout(5)

    def told(self) -> list[str]:
        """The next notification's lines."""
        return self.socket.recv(4096).decode().splitlines()

    async def told_later(self) -> list[str]:
        self.socket.setblocking(False)
        async with asyncio.timeout(5):
            received = await asyncio.get_running_loop().sock_recv(self.socket, 4096)
        return received.decode().splitlines()

    def silent(self) -> bool:
        self.socket.setblocking(False)
        try:
            self.socket.recv(4096)
        except BlockingIOError:
            return True
        return False


@pytest.fixture(params=["a path", "an abstract name"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    named = request.param == "a path"
    made = Manager(str(tmp_path / "notify") if named else f"@kproxy-test-{os.getpid()}-{time.monotonic_ns()}")
    yield made
    made.socket.close()


def test_the_environment_is_read_once_and_not_passed_on() -> None:
    environment = {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid()), "HOME": "/"}
    assert ServiceManager.from_environment(environment).watchdog == 3.0
    assert environment == {"HOME": "/"}


@pytest.mark.parametrize(
    "environment",
    [
        {"NOTIFY_SOCKET": "@x"},
        {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "0"},
        {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "-1"},
        {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "soon"},
        {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"},
        {"WATCHDOG_USEC": "1000000"},
    ],
)
def test_no_watchdog(environment: dict[str, str]) -> None:
    assert ServiceManager.from_environment(environment).watchdog is None


def test_the_service_is_ready_with_its_first_sync(manager: Manager) -> None:
    state = ServiceState(ServiceManager(manager.address), lambda: True, lambda: "3\nServices")
    state.synced()
    assert manager.told() == ["READY=1", "STATUS=3 Services"]
    state.synced()
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    state.reloading()
    reloading, stamp = manager.told()
    assert reloading == "RELOADING=1"
    assert before <= int(stamp.removeprefix("MONOTONIC_USEC=")) <= before + 5_000_000
    state.synced()
    assert manager.told() == ["READY=1", "STATUS=3 Services"]
    state.stopping()
    assert manager.told() == ["STOPPING=1"]


async def test_the_watchdog_hears_of_a_proxy_that_works_and_of_no_other(
    manager: Manager, caplog: pytest.LogCaptureFixture
) -> None:
    works = True
    state = ServiceState(ServiceManager(manager.address, watchdog=0.04), lambda: works, lambda: "")
    running = asyncio.create_task(state.run())
    begin = time.monotonic()
    for _ in range(4):
        assert await manager.told_later() == ["WATCHDOG=1"]
    assert time.monotonic() - begin >= 3 * 0.02
    works = False
    await asyncio.sleep(0.03)
    while not manager.silent():
        pass
    await asyncio.sleep(0.1)
    assert manager.silent()
    assert caplog.text.count("Changes wait for too long") == 1
    works = True
    assert await manager.told_later() == ["WATCHDOG=1"]
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_the_status_follows_what_there_is(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_state, "_STATUS_PERIOD", 0.005)
    status = "waiting"
    state = ServiceState(ServiceManager(manager.address), lambda: True, lambda: status)
    running = asyncio.create_task(state.run())
    await asyncio.sleep(0.02)
    assert manager.silent()
    state.synced()
    assert await manager.told_later() == ["READY=1", "STATUS=waiting"]
    await asyncio.sleep(0.02)
    assert manager.silent()
    status = "4 Services"
    assert await manager.told_later() == ["STATUS=4 Services"]
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_without_a_manager_nothing_happens() -> None:
    state = ServiceState(ServiceManager.from_environment({}), lambda: True, lambda: "")
    state.synced()
    state.reloading()
    state.stopping()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(state.run(), 0.01)


def test_a_manager_that_has_gone_is_told_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    state = ServiceState(ServiceManager(str(tmp_path / "nobody")), lambda: True, lambda: "")
    state.synced()
    state.stopping()
    assert caplog.text.count("The service manager cannot be notified") == 1
