"""An HTTP application at an address: a port that is busy is tried again until it is free."""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable
from ipaddress import ip_address

from aiohttp import web

from kproxy.node.listening import listening_socket

log = logging.getLogger(__name__)

_FIRST_RETRY, _LONGEST_RETRY = 0.5, 30.0
_PATIENCE = 1.0
"""Seconds that a shutdown waits for answers under way."""


class HttpServer:
    """Serves one application from `start` to `close`, or as much of that time as it has the address."""

    def __init__(
        self,
        app: web.Application,
        host: str,
        port: int,
        *,
        on_failure: Callable[[str], None] = lambda reason: None,
        first_retry: float = _FIRST_RETRY,
    ) -> None:
        """Serve nothing yet.

        Args:
            app: the application, of which this server becomes the owner
            host: an IP address; a wildcard is for both families
            port: at that address
            on_failure: told, once and in words, that the address could not be had at first
            first_retry: seconds until it is tried again; they double, up to half a minute
        """
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_PATIENCE)
        self._host, self._port = host, port
        self._address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._on_failure = on_failure
        self._first_retry = first_retry
        self._retrying: asyncio.Task[None] | None = None

    async def start(self, *, hard_fail: bool = False) -> None:
        """Serve now, or as soon as the address can be had.

        Args:
            hard_fail: whether a failure is the caller's, instead of being tried again

        Raises:
            OSError: the address cannot be had, and `hard_fail` is set; the message names it
        """
        await self._runner.setup()
        try:
            await self._listen()
        except OSError as error:
            reason = f"cannot listen on {self._address}: {error.strerror or error}"
            self._on_failure(reason)
            if hard_fail:
                await self._runner.cleanup()
                raise OSError(error.errno, reason) from error
            log.error("HTTP server %s; trying again", reason)
            self._retrying = asyncio.create_task(self._retry(), name=f"listen on {self._address}")

    async def close(self) -> None:
        """Give the address back."""
        if self._retrying is not None:
            self._retrying.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._retrying
        await self._runner.cleanup()

    async def _retry(self) -> None:
        delay = self._first_retry
        while True:
            await asyncio.sleep(delay * random.uniform(0.8, 1.2))
            delay = min(2 * delay, _LONGEST_RETRY)
            try:
                await self._listen()
            except OSError as error:
                log.debug("Still cannot listen on %s: %s", self._address, error.strerror or error)
            else:
                log.info("Listening on %s now", self._address)
                return

    async def _listen(self) -> None:
        listening = listening_socket(ip_address(self._host).packed, self._port)
        try:
            await web.SockSite(self._runner, listening).start()
        except BaseException:
            listening.close()
            raise
