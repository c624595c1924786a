"""The API's envelopes: Status, watch events, and lists; the objects in them decode on their own."""

from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import msgspec

from kproxy.services.objects import EndpointSlice, Node, Service
from kproxy.sources.errors import ApiError, MalformedResponseError

T = TypeVar("T", Service, EndpointSlice, Node)

INITIAL_EVENTS_END: Final = "k8s.io/initial-events-end"
# What a JSON decoder may raise for bytes that a server sent; ValidationError is a DecodeError.
DECODE_ERRORS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class StatusCause(msgspec.Struct, frozen=True):
    reason: str | None = None
    message: str | None = None


class StatusDetails(msgspec.Struct, rename="camel", frozen=True):
    retry_after_seconds: int | None = None
    causes: list[StatusCause] | None = None


class Status(msgspec.Struct, frozen=True):
    """`meta/v1` Status: what a refusal carries."""

    kind: str = ""
    code: int | None = None
    reason: str | None = None
    message: str | None = None
    details: StatusDetails | None = None


class WatchEvent(msgspec.Struct, frozen=True):
    """`meta/v1` WatchEvent, its object still raw."""

    type: str
    object: msgspec.Raw


class PartialMeta(msgspec.Struct, rename="camel", frozen=True):
    name: str = ""
    namespace: str = ""
    resource_version: str = ""
    annotations: dict[str, str] | None = None


class PartialObject(msgspec.Struct, frozen=True):
    """What bookmarks and deletions tell, and what is left of an object that does not decode."""

    metadata: PartialMeta = PartialMeta()


class ListMeta(msgspec.Struct, rename="camel", frozen=True):
    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class RawList(msgspec.Struct, frozen=True):
    """A list, its items still raw."""

    metadata: ListMeta = ListMeta()
    items: list[msgspec.Raw] | None = None


@dataclass(frozen=True, slots=True)
class BadObject:
    """An object that is JSON, but not of its type; name and namespace may be unknown ("")."""

    namespace: str
    name: str
    resource_version: str
    problem: str


_watch_events = msgspec.json.Decoder(WatchEvent)
_partial_objects = msgspec.json.Decoder(PartialObject)
_statuses = msgspec.json.Decoder(Status)
_raw = msgspec.json.Decoder(msgspec.Raw)


class ObjectDecoder(Generic[T]):
    """Decodes one object at a time, so that a bad one stays alone."""

    def __init__(self, kind: type[T]) -> None:
        self._decoder: msgspec.json.Decoder[T] = msgspec.json.Decoder(kind)

    def decode(self, raw: bytes | bytearray | msgspec.Raw) -> T | BadObject:
        """Raises msgspec.DecodeError if the bytes are not one JSON value."""
        try:
            obj = self._decoder.decode(raw)
        except DECODE_ERRORS as error:
            # A type mismatch shows before the end of the value was seen: read on to the end.
            _raw.decode(raw)
            return _bad_object(raw, str(error))
        if not obj.metadata.name:
            return BadObject(obj.metadata.namespace, "", obj.metadata.resource_version, "metadata.name is empty")
        return obj


def _bad_object(raw: bytes | bytearray | msgspec.Raw, problem: str) -> BadObject:
    try:
        metadata = _partial_objects.decode(raw).metadata
    except DECODE_ERRORS:
        metadata = PartialMeta()
    return BadObject(metadata.namespace, metadata.name, metadata.resource_version, problem)


def decode_event(line: bytes) -> WatchEvent:
    """Decode a line of a watch stream; raises MalformedResponseError."""
    try:
        return _watch_events.decode(line)
    except DECODE_ERRORS as error:
        raise MalformedResponseError(f"a watch event does not decode: {error}") from error


def decode_partial(raw: msgspec.Raw) -> PartialMeta:
    """Decode an object's metadata; raises MalformedResponseError."""
    try:
        return _partial_objects.decode(raw).metadata
    except DECODE_ERRORS as error:
        raise MalformedResponseError(f"an event's metadata does not decode: {error}") from error


def api_error(body: bytes | msgspec.Raw, *, code: int, retry_after: float | None = None) -> ApiError:
    """Make the error that a Status tells of; a body that is none (a load balancer's page) is shown in part."""
    try:
        status = _statuses.decode(body)
    except DECODE_ERRORS:
        shown = bytes(body)[:200].decode(errors="replace").strip()
        return ApiError(code, "", shown or "no explanation", retry_after=retry_after)
    details = status.details or StatusDetails()
    if retry_after is None and details.retry_after_seconds:
        retry_after = float(details.retry_after_seconds)
    return ApiError(
        status.code or code,
        status.reason or "",
        status.message or "no explanation",
        retry_after=retry_after,
        causes=tuple(cause.reason for cause in details.causes or () if cause.reason),
    )
