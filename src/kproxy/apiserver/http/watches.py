"""Watches over HTTP: a line of JSON for each event, until the client leaves or its time is over."""

import asyncio
import random
from collections.abc import Iterable

import msgspec
from aiohttp import web

from kproxy.apiserver.errors import ApiError
from kproxy.apiserver.http.negotiation import JSON
from kproxy.apiserver.http.representation import Representation
from kproxy.apiserver.http.state import STATE, ServerState
from kproxy.apiserver.listing import ListOptions
from kproxy.apiserver.resources import Resource
from kproxy.apiserver.watch import Watch

BATCH = 256
"""Most events that are written before other tasks get their turn."""

_DEFAULT_SECONDS = (1800, 3600)
_FINAL_BOOKMARK_SECONDS = 2.0


async def serve_watch(
    request: web.Request, resource: Resource, options: ListOptions, representation: Representation
) -> web.StreamResponse:
    """Raises `ApiError` only before anything is sent; later failures are ERROR events."""
    state = request.app[STATE]
    watch = Watch(state.store, resource, options)
    response = web.StreamResponse(headers={"Content-Type": JSON, "Cache-Control": "no-cache, private"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    stream = _Stream(response, watch, representation)
    wake = asyncio.Event()
    unsubscribe = state.store.collection(resource).subscribe(wake.set)
    state.watchers.add(wake)
    try:
        await stream.send_initial()
        await _follow(state, stream, options, wake)
        await response.write_eof()
    except ConnectionResetError:
        pass  # The client has left, which is how watches usually end.
    finally:
        state.watchers.discard(wake)
        unsubscribe()
    return response


async def _follow(state: ServerState, stream: "_Stream", options: ListOptions, wake: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    timeout = options.timeout_seconds or random.uniform(*_DEFAULT_SECONDS)
    end = loop.time() + timeout
    next_bookmark = loop.time() + state.bookmark_seconds
    if timeout > _FINAL_BOOKMARK_SECONDS:
        # One shortly before the end, so that the client resumes from as late as possible.
        next_bookmark = min(next_bookmark, end - _FINAL_BOOKMARK_SECONDS)
    while not state.closing:
        wake.clear()
        try:
            await stream.send_changes()
        except ApiError as error:
            await stream.send("ERROR", msgspec.json.encode(error.status()))
            return
        if stream.watch.behind:
            if loop.time() >= end:
                return
            continue
        if options.bookmarks and loop.time() >= next_bookmark:
            await stream.send_bookmark()
            next_bookmark = loop.time() + state.bookmark_seconds
        until = min(end, next_bookmark) if options.bookmarks else end
        try:
            async with asyncio.timeout_at(until):
                await wake.wait()
        except TimeoutError:
            if loop.time() >= end:
                return


class _Stream:
    """Writes a watch's events in their representation."""

    def __init__(self, response: web.StreamResponse, watch: Watch, representation: Representation) -> None:
        self.watch = watch
        self._response = response
        self._representation = representation

    async def send_initial(self) -> None:
        objects, self.watch.initial = self.watch.initial, []
        for start in range(0, len(objects), BATCH):
            batch = objects[start : start + BATCH]
            await self._write(("ADDED", self._representation.whole(obj)) for obj in batch)
        if self.watch.ends_initial:
            await self.send_bookmark(initial_events_end=True)

    async def send_changes(self) -> None:
        changes = self.watch.changes(BATCH)
        if changes:
            await self._write((change.type, self._representation.whole(change.obj)) for change in changes)

    async def send_bookmark(self, *, initial_events_end: bool = False) -> None:
        version = self.watch.resource_version
        bookmark = self._representation.bookmark(version, initial_events_end=initial_events_end)
        await self.send("BOOKMARK", bookmark)

    async def send(self, event_type: str, obj: bytes) -> None:
        await self._write([(event_type, obj)])

    async def _write(self, events: Iterable[tuple[str, bytes]]) -> None:
        lines = [b'{"type":"%s","object":%s}\n' % (event_type.encode(), obj) for event_type, obj in events]
        await self._response.write(b"".join(lines))
