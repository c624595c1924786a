"""At every limit: a stated outcome, a metric, one line in the log; and nothing is left behind."""

import asyncio
import logging
import resource
import socket

import pytest

from kproxy.backends.userspace.options import Limits, PortRange
from kproxy.services.objects import Service
from tests.services.builders import service
from tests.userspace.crowd import Crowd
from tests.userspace.endpoints import echo, serving
from tests.userspace.local_proxy import PATIENCE, running, web

CONNECTIONS = 20_000


async def test_connections_beyond_the_limit_are_reset(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(echo) as port, running(*web([port]), limits=Limits(connections=5)) as proxy:
        kept = [await proxy.connect() for _ in range(5)]
        await proxy.until(lambda value: value == 5, "connections", protocol="TCP")
        for _ in range(10):
            with pytest.raises(ConnectionError):
                await proxy.ask(b"?")
        assert await proxy.metric("connections_refused_total", reason="limit") == 10
        lines = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING and "connections" in r.message]
        assert lines == ["Worker 0: 5 connections are open: further ones are reset"]
        for reader, writer in kept:
            writer.write(b"still here")
            assert await reader.readexactly(10) == b"still here"
            writer.close()
        await proxy.until(lambda value: value == 0, "connections", protocol="TCP")
        assert await proxy.ask(b"again") == b"again"


async def test_local_ports_stay_within_their_range_and_the_rest_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as finder:
        finder.bind(("127.0.0.1", 0))
        first = finder.getsockname()[1]
    objects = [service(f"s{i}", clusterIP=f"10.96.1.{i + 1}") for i in range(4)]
    async with running(*objects, port_range=PortRange(first, first + 2)) as proxy:
        numbers = [each.local_port for each in proxy.backend.local_services()]
        assert len(set(numbers)) == len(numbers) <= 3
        assert set(numbers) <= {first, first + 1, first + 2}
        assert await proxy.metric("ports_unserved") == 4 - len(numbers)
        assert sum("is rejected: no local port" in record.message for record in caplog.records) == 4 - len(numbers)
        # One that goes makes room for one that waits.
        served = proxy.backend.local_services()[0].service.removeprefix("default/").partition(":")[0]
        await proxy.remove(Service, served)
        assert await proxy.metric("ports_unserved") == 3 - len(numbers)


async def test_twenty_thousand_connections_open_at_once_and_dropped_at_once_leave_nothing() -> None:
    async def round_of_all() -> None:
        await crowd.open(proxy.address(), CONNECTIONS)
        await proxy.until(lambda value: value == CONNECTIONS, "connections", protocol="TCP")
        await crowd.drop()
        await proxy.until(lambda value: value == 0, "connections", protocol="TCP")

    async with Crowd.of(4) as crowd, running(*web(crowd.ports), workers=4) as proxy:
        await round_of_all()
        descriptors, resident = proxy.descriptors(), proxy.resident()
        await round_of_all()
        assert await proxy.metric("connections_total", protocol="TCP") == 2 * CONNECTIONS
        assert await proxy.metric("connections_refused_total", reason="limit") == 0
        assert proxy.descriptors() <= descriptors
        assert proxy.resident() - resident < 3 << 20


async def test_twenty_thousand_connections_dropped_before_they_are_accepted_leave_nothing() -> None:
    async def round_of_all() -> None:
        await crowd.open_and_drop(proxy.address(), CONNECTIONS)
        # The queue is served in order: once these are through, those are.
        await crowd.open(proxy.address(), len(crowd.members))
        await crowd.drop()
        await proxy.until(lambda value: value == 0, "connections", protocol="TCP")

    async with Crowd.of(4) as crowd, running(*web(crowd.ports)) as proxy:
        await round_of_all()
        descriptors, resident = proxy.descriptors(), proxy.resident()
        await round_of_all()
        assert proxy.descriptors() <= descriptors
        assert proxy.resident() - resident < 3 << 20


async def test_descriptors_that_run_out_cost_connections_and_not_the_worker() -> None:
    async with serving(echo) as port, running(*web([port]), limits=Limits(connections=1000)) as proxy:
        [pid] = proxy.backend.worker_pids()
        open_now = proxy.descriptors()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_now + 21, open_now + 21))
        connections = await asyncio.gather(*(proxy.connect() for _ in range(30)), return_exceptions=True)
        await proxy.until(lambda value: value > 0, "connections_refused_total", reason="limit")
        for connection in connections:
            if not isinstance(connection, BaseException):
                connection[1].close()
        async with asyncio.timeout(PATIENCE):
            await proxy.until(lambda value: value == 0, "connections", protocol="TCP")
        assert await proxy.ask(b"still alive") == b"still alive"
