"""What the handlers share: the store and the server's settings, under typed keys of the application."""

import asyncio
from dataclasses import dataclass, field

from aiohttp import web

from kproxy.apiserver.store import Store


@dataclass(slots=True)
class ServerState:
    """`bookmark_seconds` is how often a quiet watch gets a bookmark, if it asked for any; `compress` allows gzip.

    `watchers` are the wake-ups of the running watches, set once more when the server `closing`.
    """

    store: Store
    bookmark_seconds: float
    compress: bool
    closing: bool = False
    watchers: set[asyncio.Event] = field(default_factory=set)

    def close(self) -> None:
        """End all watches."""
        self.closing = True
        for wake in self.watchers:
            wake.set()


STATE = web.AppKey("kproxy-apiserver", ServerState)
