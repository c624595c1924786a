"""Worker processes: one that dies is replaced on the same sockets, several share all connections."""

import asyncio
import contextlib
import json
import os
import signal
import sys

import pytest

from tests.userspace.endpoints import echo, naming, serving
from tests.userspace.local_proxy import PATIENCE, descriptors, running, web


async def test_a_killed_worker_is_replaced_and_nobody_is_refused() -> None:
    async with asyncio.timeout(PATIENCE), serving(naming("a")) as port, running(*web([port])) as proxy:
        [first] = proxy.backend.worker_pids()
        assert await proxy.ask() == b"a"
        address = proxy.address()
        os.kill(first, signal.SIGKILL)
        # Connections wait in the socket that the daemon holds until the next worker takes them.
        assert [await proxy.ask() for _ in range(3)] == [b"a"] * 3
        assert proxy.backend.worker_pids() != [first]
        assert proxy.address() == address
        assert await proxy.metric("worker_restarts_total") == 1
        assert await proxy.metric("connections_total", protocol="TCP") >= 3


async def test_workers_share_connections() -> None:
    async with asyncio.timeout(PATIENCE), serving(echo) as port, running(*web([port]), workers=2) as proxy:
        pairs = [await proxy.connect() for _ in range(40)]
        for reader, writer in pairs:
            writer.write(b"x")
            await reader.readexactly(1)
        held = list(map(descriptors, proxy.backend.worker_pids()))
        assert len(held) == 2
        assert min(held) > 20
        for _, writer in pairs:
            writer.close()


async def test_workers_end_with_the_daemon() -> None:
    async with contextlib.AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(running(workers=2))
        pids = proxy.backend.worker_pids()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_a_stopped_worker_is_noticed_and_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    async with asyncio.timeout(PATIENCE), serving(naming("a")) as port, running(*web([port])) as proxy:
        [first] = proxy.backend.worker_pids()
        monkeypatch.setattr("kproxy.backends.userspace.workers._FLUSH_SECONDS", 0.3)
        os.kill(first, signal.SIGSTOP)
        with pytest.raises(TimeoutError):
            await proxy.backend.sync_all((), proxy.tracker)
        monkeypatch.undo()
        assert await proxy.ask() == b"a"
        assert first not in proxy.backend.worker_pids()


async def test_without_redirection_no_privilege_is_needed() -> None:
    drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"] if os.geteuid() == 0 else []
    async with asyncio.timeout(PATIENCE), serving(naming("a")) as port:
        process = await asyncio.create_subprocess_exec(
            *drop,
            sys.executable,
            "-m",
            "kproxy.bench.userspace_proxy",
            "1",
            json.dumps({"web": port}),
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            assert process.stdout is not None
            local = json.loads(await process.stdout.readline())["ports"]["web"]
            reader, writer = await asyncio.open_connection("127.0.0.1", local)
            writer.write_eof()
            assert await reader.read() == b"a"
            writer.close()
        finally:
            process.terminate()
            await process.wait()
