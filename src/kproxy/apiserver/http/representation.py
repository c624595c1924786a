"""Stored objects as response bytes: as they are, in another API version, as metadata only, or as rows of a table."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from kproxy.apiserver.admission.events import event_from_core
from kproxy.apiserver.errors import Json, bad_request
from kproxy.apiserver.http.columns import columns_of
from kproxy.apiserver.http.negotiation import Form
from kproxy.apiserver.listing import Page
from kproxy.apiserver.resources import Resource
from kproxy.apiserver.stored import StoredObject, type_header

INITIAL_EVENTS_END = "k8s.io/initial-events-end"

_encode = msgspec.json.encode


class Representation(Protocol):
    """How one response shows objects; it may remember what it has shown already."""

    def whole(self, obj: StoredObject) -> bytes:
        """An object on its own, or in a watch event."""

    def list_head(self, page: Page) -> bytes:
        """What goes before a list's first item."""

    def list_item(self, obj: StoredObject) -> bytes:
        """An object among a list's items, which are separated by commas."""

    def bookmark(self, resource_version: int, *, initial_events_end: bool) -> bytes:
        """The object of a BOOKMARK event."""


LIST_TAIL = b"]}\n"


class AsObjects:
    """Objects as they are stored: their bytes are copied, not read."""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self._header = type_header(resource)

    def whole(self, obj: StoredObject) -> bytes:
        return self._header + obj.data[1:]

    def list_head(self, page: Page) -> bytes:
        return _list_head(self._resource.list_kind, self._resource.api_version, page)

    def list_item(self, obj: StoredObject) -> bytes:
        return obj.data

    def bookmark(self, resource_version: int, *, initial_events_end: bool) -> bytes:
        return self._header + _encode({"metadata": _bookmark_meta(resource_version, initial_events_end)})[1:]


class Converted(AsObjects):
    """Objects in another version than the stored one."""

    def __init__(self, resource: Resource, convert: Callable[[Json], Json]) -> None:
        super().__init__(resource)
        self._convert = convert

    def whole(self, obj: StoredObject) -> bytes:
        return self._header + self.list_item(obj)[1:]

    def list_item(self, obj: StoredObject) -> bytes:
        return _encode(self._convert(obj.decode()))


class AsMetadata:
    """`meta.k8s.io/v1` PartialObjectMetadata."""

    def whole(self, obj: StoredObject) -> bytes:
        return _encode(_partial(obj.decode()))

    def list_head(self, page: Page) -> bytes:
        return _list_head("PartialObjectMetadataList", "meta.k8s.io/v1", page)

    def list_item(self, obj: StoredObject) -> bytes:
        return self.whole(obj)

    def bookmark(self, resource_version: int, *, initial_events_end: bool) -> bytes:
        return _encode(_partial({"metadata": _bookmark_meta(resource_version, initial_events_end)}))


class AsTable:
    """`meta.k8s.io/v1` Table; in a watch only the first event names the columns."""

    def __init__(self, resource: Resource, include: str) -> None:
        """`include` is what rows say of their object: `Metadata`, `Object` or `None`."""
        if include not in ("Metadata", "Object", "None"):
            raise bad_request(f"unrecognized includeObject value: {include!r}")
        self._resource = resource
        self._columns = columns_of(resource)
        self._include = include
        self._named = False

    def whole(self, obj: StoredObject) -> bytes:
        definitions = [] if self._named else self._columns.definitions()
        self._named = True
        head = _table_head({"resourceVersion": str(obj.resource_version)}, definitions)
        return head + self.list_item(obj) + LIST_TAIL.rstrip()

    def list_head(self, page: Page) -> bytes:
        return _table_head(_list_meta(page), self._columns.definitions())

    def list_item(self, obj: StoredObject) -> bytes:
        decoded = obj.decode()
        row: Json = {"cells": self._columns.cells(decoded, datetime.now(UTC))}
        if self._include == "Metadata":
            row["object"] = _partial(decoded)
        elif self._include == "Object":
            header = {"kind": self._resource.kind, "apiVersion": self._resource.api_version}
            row["object"] = header | decoded
        return _encode(row)

    def bookmark(self, resource_version: int, *, initial_events_end: bool) -> bytes:
        meta = _bookmark_meta(resource_version, initial_events_end)
        return _table_head(meta, []) + LIST_TAIL.rstrip()


def represent(resource: Resource, form: Form, include_object: str) -> Representation:
    """The representation of a resource's objects in a negotiated form; raises `ApiError` 400 for a bad option."""
    if form is Form.TABLE:
        return AsTable(resource, include_object or "Metadata")
    if form is Form.METADATA:
        return AsMetadata()
    return Converted(resource, event_from_core) if resource.stored_as else AsObjects(resource)


def _partial(obj: Json) -> Json:
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def _list_meta(page: Page) -> Json:
    meta: Json = {"resourceVersion": str(page.resource_version)}
    if page.continue_token:
        meta["continue"] = page.continue_token
    if page.remaining is not None:
        meta["remainingItemCount"] = page.remaining
    return meta


def _list_head(kind: str, api_version: str, page: Page) -> bytes:
    return _encode({"kind": kind, "apiVersion": api_version, "metadata": _list_meta(page)})[:-1] + b',"items":['


def _table_head(meta: Json, definitions: list[Json]) -> bytes:
    table: Json = {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": meta}
    return _encode(table | {"columnDefinitions": definitions})[:-1] + b',"rows":['


def _bookmark_meta(resource_version: int, initial_events_end: bool) -> Json:
    meta: Json = {"resourceVersion": str(resource_version), "creationTimestamp": None}
    if initial_events_end:
        meta["annotations"] = {INITIAL_EVENTS_END: "true"}
    return meta
