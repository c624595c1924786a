"""Lists: the options of list and watch requests, pages, and the tokens that lead from one page to the next.

The semantics of `resourceVersion`, `resourceVersionMatch`, `limit` and `continue` are those of the API concepts
page of the Kubernetes documentation. A page's token is bound to the first page's resourceVersion: the pages
together are one consistent list, for as long as the history reaches back to it.
"""

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

import msgspec

from kproxy.apiserver import errors
from kproxy.apiserver.collection import Collection
from kproxy.apiserver.errors import FieldError
from kproxy.apiserver.resources import Resource
from kproxy.apiserver.selectors import EVERYTHING, Selection, parse_field_selector, parse_label_selector
from kproxy.apiserver.store import Store
from kproxy.apiserver.stored import Key, StoredObject

_MATCHES = ("Exact", "NotOlderThan")
_TRUE = ("true", "1", "t", "T", "TRUE", "True")
_FALSE = ("false", "0", "f", "F", "FALSE", "False", "")
_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)


@dataclass(frozen=True, slots=True)
class ListOptions:
    """The query of a list or a watch, parsed; `send_initial_events` is None when the client did not say."""

    selection: Selection = EVERYTHING
    limit: int = 0
    continue_token: str = ""
    resource_version: int | None = None
    match: str = ""
    watch: bool = False
    bookmarks: bool = False
    send_initial_events: bool | None = None
    timeout_seconds: int | None = None


def parse_list_options(resource: Resource, namespace: str, query: Mapping[str, str]) -> ListOptions:
    """Raises `ApiError`: 400 for what cannot be parsed, 422 for options that exclude each other."""
    version = query.get("resourceVersion", "")
    initial = query.get("sendInitialEvents")
    options = ListOptions(
        selection=Selection(
            namespace,
            parse_label_selector(query.get("labelSelector", "")),
            parse_field_selector(query.get("fieldSelector", ""), resource),
        ),
        limit=_number(query, "limit") or 0,
        continue_token=query.get("continue", ""),
        resource_version=_number(query, "resourceVersion") if version else None,
        match=query.get("resourceVersionMatch", ""),
        watch=_flag(query, "watch"),
        bookmarks=_flag(query, "allowWatchBookmarks"),
        send_initial_events=None if initial is None else _flag(query, "sendInitialEvents"),
        timeout_seconds=_number(query, "timeoutSeconds"),
    )
    if faults := _faults(options):
        raise errors.invalid("ListOptions", "meta.k8s.io", "", faults)
    if options.continue_token and options.resource_version:
        raise errors.bad_request("specifying resource version is not allowed when using continue")
    return options


def _faults(options: ListOptions) -> list[FieldError]:
    match, field = options.match, "resourceVersionMatch"
    if options.watch:
        if options.send_initial_events is None:
            detail = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
            return [FieldError.forbidden(field, detail)] if match else []
        if match != "NotOlderThan":
            detail = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            return [FieldError.forbidden(field, detail)]
        return []
    if options.send_initial_events is not None:
        return [FieldError.forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list")]
    if not match:
        return []
    if options.continue_token:
        return [FieldError.forbidden(field, "resourceVersionMatch is forbidden when continue is provided")]
    if options.resource_version is None:
        return [FieldError.forbidden(field, "resourceVersionMatch is forbidden unless resourceVersion is provided")]
    if match not in _MATCHES:
        return [FieldError.unsupported(field, match, _MATCHES)]
    if match == "Exact" and options.resource_version == 0:
        detail = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
        return [FieldError.forbidden(field, detail)]
    return []


@dataclass(frozen=True, slots=True)
class Page:
    """Some of a list's objects; `remaining` counts those after them, when that is known."""

    objects: list[StoredObject]
    resource_version: int
    continue_token: str = ""
    remaining: int | None = None


def list_objects(store: Store, resource: Resource, options: ListOptions) -> Page:
    """One page, or everything when no limit was asked for.

    Raises `ApiError`: 400 for a broken token, 410 for one whose history is gone (or for an exact version whose
    history is), 504 for a version of the future.
    """
    collection = store.collection(resource)
    after, at = None, None
    version = store.resource_version
    if options.continue_token:
        token = _decode_token(options.continue_token)
        after = (token.namespace, token.name)
        if token.version >= 0:
            at = version = token.version
            if not collection.history.floor <= version <= store.resource_version:
                raise errors.expired(_EXPIRED, _encode_token(-1, after))
    elif options.resource_version:
        if options.resource_version > version:
            raise errors.resource_version_too_large(options.resource_version, version)
        # Without a match, a limit makes a version exact: the first page of older clients' consistent lists.
        if options.match == "Exact" or (options.limit and not options.match):
            at = version = options.resource_version
            if version < collection.history.floor:
                raise errors.expired(f"The resourceVersion for the provided list is too old: {version}")
    if at == store.resource_version:
        at = None
    matching = select(collection, options.selection, after, at)
    if not options.limit:
        return Page(list(matching), version)
    objects = list(islice(matching, options.limit))
    more = next(matching, None)
    if more is None:
        return Page(objects, version)
    remaining = None if options.selection.filters else 1 + sum(1 for _ in matching)
    return Page(objects, version, _encode_token(version, objects[-1].key), remaining)


def select(
    collection: Collection, selection: Selection, after: Key | None = None, at: int | None = None
) -> Iterator[StoredObject]:
    """The objects that a selection is about, in the order of their keys; see `Collection.scan`."""
    if selection.single is not None and at is None and (selection.namespace or not collection.resource.namespaced):
        obj = collection.get(selection.single)
        candidates = iter([obj] if obj is not None and (after is None or obj.key > after) else [])
    else:
        candidates = collection.scan(after, at=at)
    if not selection.namespace and not selection.filters:
        return candidates
    return (obj for obj in candidates if selection.matches(obj))


class _Token(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int = msgspec.field(name="rv")
    namespace: str = msgspec.field(name="ns")
    name: str = msgspec.field(name="n")


def _encode_token(version: int, last: Key) -> str:
    encoded = msgspec.json.encode(_Token(version, *last))
    return base64.urlsafe_b64encode(encoded).rstrip(b"=").decode()


def _decode_token(text: str) -> _Token:
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=_Token)
    except (binascii.Error, ValueError) as error:
        raise errors.bad_request(f"continue key is not valid: {error}") from error


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise errors.bad_request(f"Invalid value: {text!r}: {name} must be a non-negative integer")
    return int(text)


def _flag(query: Mapping[str, str], name: str) -> bool:
    text = query.get(name, "")
    if text in _TRUE:
        return True
    if text in _FALSE:
        # A bare `?watch` means yes, as the API server reads it.
        return name in query and text == "" and name == "watch"
    raise errors.bad_request(f"Invalid value: {text!r}: {name} must be true or false")
