"""An API server that answers anything: the reflector goes on, and its sink sees a consistent world."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import cast

from kproxy.services.objects import KubeObject, Service
from kproxy.sources.client import ApiClient
from kproxy.sources.reflector import Reflector
from kproxy.sources.resource import SERVICES
from tests.sources.api_objects import bookmark, event, items, service, status

_BETWEEN = b"\xff"
"""Ends a response; no JSON holds this byte."""
_MOST_RESPONSES = 12

WORDS = (
    *("ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR", "type", "object", "metadata", "resourceVersion", "name"),
    *("namespace", "annotations", "k8s.io/initial-events-end", "true", "spec", "ports", "items", "continue", "code"),
    *('"items":[', '},{"metadata":', "\n", "410", "Expired", "reason", "details", "causes", "retryAfterSeconds"),
)


class _Exhausted(BaseException):
    """Nothing is left to answer with."""


class _Sink:
    def __init__(self) -> None:
        self._versions: dict[tuple[str, str], str] = {}
        self._synced = False

    def upsert(self, obj: KubeObject) -> None:
        meta = obj.metadata
        version = self._versions.get((meta.namespace, meta.name))
        assert not version or version != meta.resource_version, f"{meta.name}@{version} came twice"
        self._versions[meta.namespace, meta.name] = meta.resource_version

    def delete(self, kind: type[KubeObject], namespace: str, name: str) -> None:
        assert kind is Service
        assert self._versions.pop((namespace, name), None) is not None, f"{name} went without having come"

    def synced(self, kind: type[KubeObject]) -> None:
        assert kind is Service
        assert not self._synced, "synced twice"
        self._synced = True


class _Clock:
    def __init__(self) -> None:
        self._now = 0.0

    def monotonic(self) -> float:
        return self._now

    def time(self) -> float:
        return self._now

    def random(self) -> float:
        return 0.5

    async def sleep(self, seconds: float) -> None:
        assert 0 < seconds <= 300, seconds
        self._now += seconds


class _Body:
    def __init__(self, response: bytes, size: int) -> None:
        self._chunks = (response[start : start + size] for start in range(0, len(response), size))

    async def read(self, idle_timeout: float) -> bytes:
        return next(self._chunks, b"")


class _Client:
    """Answers each request with the next response."""

    def __init__(self, responses: Iterator[bytes], size: int) -> None:
        self._responses = responses
        self._size = size

    @asynccontextmanager
    async def get(self, path: str, query: Mapping[str, str]) -> AsyncIterator[_Body]:
        response = next(self._responses, None)
        if response is None:
            raise _Exhausted
        yield _Body(response, self._size)

    watch = get


def seeds() -> list[bytes]:
    """Conversations as they are."""

    def listed(*objects: dict[str, object], version: int) -> bytes:
        return json.dumps(items(*objects, version=version), separators=(",", ":")).encode()

    first = event("ADDED", service("a", 1)) + event("ADDED", service("b", 2)) + bookmark(5, initial_end=True)
    changes = event("MODIFIED", service("a", 6)) + event("DELETED", service("b", 7)) + bookmark(8)
    expired = event("ERROR", status(410, "Expired"))
    responses = [
        [first + changes, changes, expired, first],
        [b"", listed(service("a", 1), service("c", 3), version=9), changes, expired, listed(version=12), b"{}"],
        [first, b"<html>", b"<html>", first],
        [b'{"type":"ADDED","object":{"metadata":{"name":"x"},"spec":{"ports":1}}}\n' + first],
    ]
    return [bytes([97 + number * 7]) + _BETWEEN.join(parts) for number, parts in enumerate(responses)]


def run(data: bytes) -> None:
    """Answer a reflector's requests with the responses in `data`, in chunks of as many bytes as its first byte says."""
    logging.disable(logging.CRITICAL)
    size = max(1, data[0]) if data else 1
    responses = iter(data[1:].split(_BETWEEN)[:_MOST_RESPONSES])
    client = cast(ApiClient, _Client(responses, size))
    reflector = Reflector(SERVICES, client, _Sink(), clock=_Clock())
    try:
        asyncio.run(reflector.run())
    except _Exhausted:
        return
    finally:
        logging.disable(logging.NOTSET)
