"""A store on a socket."""

import ssl
from functools import partial
from types import TracebackType
from typing import Self

from aiohttp import web

from kproxy.apiserver.http.app import create_app
from kproxy.apiserver.store import Store

_SHUTDOWN_SECONDS = 2.0


class ApiServer:
    """Serves a store over HTTP, from `start` to `stop`, or as an async context manager.

    Port 0 takes a free one; `url` tells which. With an `ssl_context` it speaks HTTPS. The other options are those
    of `create_app`. Writing to the store directly, on the same event loop, is seen by all who watch.
    """

    def __init__(
        self,
        store: Store | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        ssl_context: ssl.SSLContext | None = None,
        token: str | None = None,
        bookmark_seconds: float = 60.0,
        compress: bool = True,
    ) -> None:
        self.store = store if store is not None else Store()
        self._host = host
        self._port = port
        self._ssl_context = ssl_context
        self._make_app = partial(
            create_app, self.store, token=token, bookmark_seconds=bookmark_seconds, compress=compress
        )
        self._runner: web.AppRunner | None = None

    @property
    def port(self) -> int:
        """The port that the server listens on, once it has started; after a stop, the one it had."""
        return self._port

    @property
    def url(self) -> str:
        scheme = "https" if self._ssl_context else "http"
        return f"{scheme}://{f'[{self._host}]' if ':' in self._host else self._host}:{self._port}"

    async def start(self) -> None:
        """Listen; raises `OSError` when the address cannot be had."""
        # A watch whose client has gone is cancelled, not discovered at the next event.
        runner = web.AppRunner(
            self._make_app(), access_log=None, handler_cancellation=True, shutdown_timeout=_SHUTDOWN_SECONDS
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._port, ssl_context=self._ssl_context).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        self._port = runner.addresses[0][1]

    async def stop(self) -> None:
        """End all watches and close; a stopped server can be started again, on the same port."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()
