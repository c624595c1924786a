"""Keeps a sink up to date with one resource of an API server: list, watch, and what to do when either fails."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Generic, NoReturn

from kproxy.sources.backoff import Backoff
from kproxy.sources.client import ApiClient
from kproxy.sources.clock import Clock, SystemClock
from kproxy.sources.delivery import Delivery
from kproxy.sources.errors import (
    FORBIDDEN,
    ApiError,
    IdleTimeoutError,
    MalformedResponseError,
    SourceError,
    TransportError,
)
from kproxy.sources.list_stream import ListDecoder
from kproxy.sources.pace import Pace
from kproxy.sources.resource import Resource
from kproxy.sources.sink import Sink
from kproxy.sources.watch_stream import LineSplitter
from kproxy.sources.wire import INITIAL_EVENTS_END, BadObject, ObjectDecoder, T, api_error, decode_event, decode_partial

# How servers without watch-list streaming refuse it (KEP-3157): 422 from v1.19 on, the others from what stands between.
_REFUSALS: Final = frozenset({400, 405, 406, 415, 422, 501})
_LONGEST_RETRY_AFTER: Final = 300.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReflectorSettings:
    """Sizes, and times in seconds.

    `watch_seconds` is the range that a watch's lifetime is drawn from. `idle` is how long a list may carry no byte,
    or fewer a second than `slowest`, and a watch no complete event; servers send a bookmark a minute. `initial_idle`
    is how long a streamed list may bring no further object before its end; more means that the server ignored the
    request for one. Relists closer together than `shortest_relist`, and watches shorter than `shortest_watch`, are
    followed by a wait. `stream_lists` allows lists that come as the begin of a watch (the feature gate
    WatchListClient).
    """

    page_size: int = 500
    watch_seconds: tuple[int, int] = (300, 600)
    idle: float = 180.0
    initial_idle: float = 10.0
    slowest: float = 128.0
    shortest_watch: float = 1.0
    shortest_relist: float = 30.0
    stream_lists: bool = True


@dataclass(slots=True)
class ReflectorStats:
    """What a reflector has done so far; `last_event` is in seconds since the epoch, None before the first.

    `lists` counts attempts, streamed ones included; `relists` how often the server could not go on from our
    version.
    """

    lists: int = 0
    relists: int = 0
    watches: int = 0
    failures: int = 0
    events: int = 0
    last_event: float | None = None


class Reflector(Generic[T]):
    """Follows one resource until it is cancelled.

    The first state comes as a streamed list (`sendInitialEvents`), or page by page from servers that refuse
    that. A first list asks for resourceVersion 0, which servers answer from memory, as a cluster whose nodes all
    restart must not read everything from etcd; a relist asks for the version last seen or newer, so that
    another replica of the server cannot take us back in time.
    """

    def __init__(
        self,
        resource: Resource[T],
        client: ApiClient,
        sink: Sink,
        *,
        clock: Clock | None = None,
        settings: ReflectorSettings | None = None,
    ) -> None:
        self._resource: Resource[T] = resource
        self._client = client
        self._clock = clock or SystemClock()
        self.settings = settings or ReflectorSettings()
        """May be replaced; what runs goes on with the old ones, requests begun later have the new."""
        self._backoff = Backoff(self._clock)
        self._decoder: ObjectDecoder[T] = ObjectDecoder(resource.kind)
        self._delivery: Delivery[T] = Delivery(resource.kind, sink)
        self._version = ""
        self._stale = True
        self._version_lost = False
        self._streams_lists = True
        self._list_next = False
        self._garbled_at: str | None = None
        self._problem: str | None = None
        self._relisted = self._progress = float("-inf")
        self.stats = ReflectorStats()

    @property
    def plural(self) -> str:
        """The resource's name in the API, such as `endpointslices`."""
        return self._resource.plural

    @property
    def bad_objects(self) -> int:
        """How many objects were left out because they did not decode."""
        return self._delivery.bad_objects

    async def run(self) -> NoReturn:
        """List, watch, and begin anew, forever."""
        while True:
            try:
                if self._stale and (self._list_next or not self._may_stream):
                    self._list_next = False
                    await self._list()
                else:
                    await self._watch()
            except SourceError as error:
                await self._recover(error)

    @property
    def _may_stream(self) -> bool:
        return self._streams_lists and self.settings.stream_lists

    async def _list(self) -> None:
        version = "" if self._version_lost else self._version or "0"
        try:
            # A limit together with any other version would ask for exactly that version, which may have expired.
            self._version = await self._pages(version, self.settings.page_size if version in {"", "0"} else 0)
        except _ExpiredPageError:
            log.info("%s: the list expired between two pages, listing at once", self._resource.plural)
            self._version = await self._pages(version, 0)
        self._listed()

    async def _pages(self, version: str, limit: int) -> str:
        """Deliver all pages of a list, and give its resourceVersion."""
        self.stats.lists += 1
        self._delivery.begin_snapshot()
        query = self._resource.selectors | ({"limit": str(limit)} if limit else {})
        page = query | ({"resourceVersion": version} if version else {})
        while True:
            decoder = ListDecoder(self._decoder)
            try:
                async with self._client.get(self._resource.path, page) as body:
                    pace = Pace(self._clock, self.settings.slowest, self.settings.idle)
                    while chunk := await body.read(self.settings.idle):
                        pace.count(len(chunk))
                        self._take(decoder.feed(chunk))
            except ApiError as error:
                if error.expired and limit and "continue" in page:
                    raise _ExpiredPageError from error
                raise
            items, meta = decoder.finish()
            self._take(items)
            if not meta.resource_version:
                raise MalformedResponseError("a list without a resourceVersion")
            if not meta.continue_:
                return meta.resource_version
            page = query | {"continue": meta.continue_}

    def _take(self, items: list[T | BadObject]) -> None:
        for item in items:
            self._delivery.take(item)

    def _listed(self) -> None:
        self._delivery.end_snapshot()
        self._stale = False
        self._version_lost = False
        self.stats.last_event = self._clock.time()
        self._recovered()

    async def _watch(self) -> None:
        """Follow one watch until the server ends it; a stale reflector has it begin with a streamed list."""
        streams_list = self._stale
        started = self._progress = self._clock.monotonic()
        async with self._client.watch(self._resource.path, self._watch_query()) as body:
            self.stats.watches += 1
            if streams_list:
                self.stats.lists += 1
                self._delivery.begin_snapshot()
            else:
                self._recovered()
            lines = LineSplitter()
            while True:
                try:
                    chunk = await body.read(self._patience())
                except IdleTimeoutError:
                    self._silent()
                    return
                if not chunk:
                    break
                for line in lines.feed(chunk):
                    self._event(line)
        if lines.partial:
            log.debug("%s: the watch ended within an event", self._resource.plural)
        if self._stale:
            self._list_next = True
            raise TransportError("the server ended the watch before its list was complete")
        if self._clock.monotonic() - started < self.settings.shortest_watch:
            raise TransportError("the server ended the watch at once")

    def _patience(self) -> float:
        """Seconds to wait for the next bytes; within a streamed list only what was there at its start counts."""
        longest = self.settings.initial_idle if self._stale else self.settings.idle
        return self._progress + longest - self._clock.monotonic()

    def _watch_query(self) -> Mapping[str, str]:
        shortest, longest = self.settings.watch_seconds
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(int(shortest + (longest - shortest) * self._clock.random())),
        } | self._resource.selectors
        if self._version and not self._version_lost:
            query["resourceVersion"] = self._version
        if self._stale:
            query |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        return query

    def _silent(self) -> None:
        if self._stale:
            log.info(
                "%s: the server began no streamed list or does not end it, listing by pages", self._resource.plural
            )
            self._list_next = True
        else:
            idle = self.settings.idle
            log.info("%s: the watch brought no event for %g s, watching anew", self._resource.plural, idle)

    def _event(self, line: bytes) -> None:
        if not line.strip():
            return
        event = decode_event(line)
        if not self._stale:
            self._progress = self._clock.monotonic()
        self.stats.events += 1
        self.stats.last_event = self._clock.time()
        match event.type:
            case "ADDED" | "MODIFIED":
                obj = self._decoder.decode(event.object)
                self._delivery.take(obj)
                version = obj.resource_version if isinstance(obj, BadObject) else obj.metadata.resource_version
                if self._stale and event.type == "ADDED":
                    self._progress = self._clock.monotonic()
            case "DELETED":
                meta = decode_partial(event.object)
                self._delivery.remove(meta.namespace, meta.name)
                version = meta.resource_version
            case "BOOKMARK":
                meta = decode_partial(event.object)
                version = meta.resource_version
                if self._stale and (meta.annotations or {}).get(INITIAL_EVENTS_END) == "true":
                    self._version = version
                    self._progress = self._clock.monotonic()
                    self._listed()
            case "ERROR":
                raise api_error(event.object, code=500)
            case unknown:
                raise MalformedResponseError(f"a watch event of unknown type {unknown[:40]!r}")
        # Initial events come in any order, so until their end their versions are no place to resume from.
        if version and not self._stale:
            self._version = version

    async def _recover(self, error: SourceError) -> None:
        """Decide what the next attempt is, and wait for its time."""
        if isinstance(error, ApiError) and self._changes_course(error):
            return
        if isinstance(error, MalformedResponseError):
            # A second one at the same version means that the same event would garble every watch.
            self._stale = self._stale or self._garbled_at == self._version
            self._garbled_at = self._version
        self.stats.failures += 1
        delay = self._backoff.next()
        if isinstance(error, ApiError) and error.retry_after is not None:
            delay = max(delay, min(error.retry_after, _LONGEST_RETRY_AFTER))
        problem = self._explain(error)
        level = logging.DEBUG if problem == self._problem else logging.WARNING
        self._problem = problem
        log.log(level, "%s: %s; next attempt in %.1f s", self._resource.plural, problem, delay)
        await self._clock.sleep(delay)

    def _changes_course(self, error: ApiError) -> bool:
        """Whether another request can be sent at once instead of the refused one."""
        if error.expired or error.ahead:
            log.info("%s: %s; listing anew", self._resource.plural, error)
            return self._lose_version(error)
        if self._stale and self._may_stream and error.code in _REFUSALS:
            log.info("%s: the server streams no lists (%s), listing by pages", self._resource.plural, error)
            self._streams_lists = False
            return True
        return False

    def _lose_version(self, error: ApiError) -> bool:
        """Give up watching from our version, and whether to list at once."""
        relists, escalates = not self._stale, self._stale and not self._version_lost
        self._stale = True
        # A list may still ask for our version or newer; once that is refused, for whatever the server has.
        self._version_lost = escalates or self._version_lost or error.ahead
        if not relists:
            return escalates
        self.stats.relists += 1
        now = self._clock.monotonic()
        often = now - self._relisted < self.settings.shortest_relist
        self._relisted = now
        return not often

    def _explain(self, error: SourceError) -> str:
        if isinstance(error, ApiError) and error.code == FORBIDDEN:
            plural = self._resource.plural
            return f"not allowed to list and watch {plural}: grant both verbs by RBAC, cluster-wide ({error.message})"
        return str(error)

    def _recovered(self) -> None:
        if self._problem is not None:
            log.info("%s: the API server answers again", self._resource.plural)
            self._problem = None


class _ExpiredPageError(Exception):
    """The continue token of a list is older than the server remembers."""
