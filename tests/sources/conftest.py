"""A reflector for Services at work against a scripted server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from kproxy.services.objects import Service
from kproxy.sources.client import ApiClient
from kproxy.sources.connection import Connection
from kproxy.sources.credentials import Credentials, StoredCredentials
from kproxy.sources.reflector import Reflector, ReflectorSettings
from kproxy.sources.resource import SERVICES
from kproxy.sources.tls import TlsTrust

from .recording_sink import RecordingSink
from .scripted_server import ScriptedServer, Step, scripted_server
from .skipping_clock import SkippingClock


@dataclass(slots=True)
class Following:
    """`start` sets the reflector to work; at the test's end it is cancelled, and the sink's complaints are read."""

    server: ScriptedServer
    sink: RecordingSink = field(default_factory=RecordingSink)
    clock: SkippingClock = field(default_factory=SkippingClock)
    reflector: Reflector[Service] | None = None
    _task: asyncio.Task[None] | None = None
    _client: ApiClient | None = None

    async def start(
        self,
        *steps: Step,
        settings: ReflectorSettings | None = None,
        response_timeout: float = 10.0,
        credentials: Credentials | None = None,
    ) -> None:
        self.server.script(SERVICES.path, *steps)
        connection = Connection(self.server.url, TlsTrust(), credentials or StoredCredentials())
        self._client = ApiClient(connection, clock=self.clock, response_timeout=response_timeout)
        await self._client.__aenter__()
        self.reflector = Reflector(SERVICES, self._client, self.sink, clock=self.clock, settings=settings)
        self._task = asyncio.create_task(self.reflector.run())

    async def stop(self) -> None:
        if self._task is not None and self._client is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            await self._client.__aexit__(None, None, None)
        assert self.sink.wrong == []

    @property
    def queries(self) -> list[dict[str, str]]:
        return [request.query for request in self.server.requests]


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with scripted_server() as server:
        yield server


@pytest.fixture
async def following(server: ScriptedServer) -> AsyncIterator[Following]:
    following = Following(server)
    yield following
    await following.stop()
