"""Request bodies: reading them, and holding them against the URL and the schema."""

from dataclasses import dataclass
from typing import Any

import msgspec
import yaml
from aiohttp import web

from kproxy.apiserver.admission.events import event_to_core
from kproxy.apiserver.errors import Json, bad_request, unsupported_media_type
from kproxy.apiserver.http.negotiation import JSON, YAML_TYPES
from kproxy.apiserver.http.protobuf import PROTOBUF, UnknownMessageError, decode_protobuf
from kproxy.apiserver.resources import Resource
from kproxy.apiserver.schema import conform
from kproxy.apiserver.yaml_documents import load_untrusted

OBJECT_TYPES = (JSON, "application/yaml", PROTOBUF)


@dataclass(frozen=True, slots=True)
class Body:
    """An object that fits the schema, as it is to be stored, and what the client should be told of it."""

    obj: Json
    warnings: list[str]


async def read_body(request: web.Request, accepted: tuple[str, ...] = OBJECT_TYPES) -> Any:
    """What the body holds, decoded; raises `ApiError` 415 or 400."""
    content_type = request.content_type
    if content_type not in accepted and "Content-Type" in request.headers:
        raise unsupported_media_type(accepted)
    raw = await request.read()
    try:
        if content_type == PROTOBUF:
            return decode_protobuf(raw)
        return load_untrusted(raw) if content_type in YAML_TYPES else msgspec.json.decode(raw)
    except UnknownMessageError as error:
        raise unsupported_media_type(tuple(name for name in accepted if name != PROTOBUF)) from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise bad_request(f"the body of the request cannot be read: {error}") from error


def checked_object(request: web.Request, resource: Resource, obj: Any, *, typed: bool = False) -> Body:
    """An object as the client sent it, made ready for the store.

    `typed` demands that it states its kind. Raises `ApiError` 400 for the wrong kind, name or namespace, for
    fields of the wrong type, and, under `fieldValidation=Strict`, for unknown fields.
    """
    if not isinstance(obj, dict):
        raise bad_request("the body of the request is not an object")
    handled = f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}'
    for field, expected in (("kind", resource.kind), ("apiVersion", resource.api_version)):
        found = obj.get(field)
        if (found or typed) and found != expected:
            raise bad_request(f"{field} of the object is {found!r}, where the request is for {expected!r}")
    conformed, issues = conform(resource, obj)
    if issues.mistyped:
        raise bad_request(f"{handled}: {'; '.join(issues.mistyped)}")
    unknown = [f'unknown field "{path}"' for path in issues.unknown]
    validation = request.query.get("fieldValidation", "Warn") or "Warn"
    if validation not in ("Ignore", "Warn", "Strict"):
        raise bad_request(f"unrecognized fieldValidation value: {validation!r}")
    if unknown and validation == "Strict":
        raise bad_request(f"{handled}: strict decoding error: {', '.join(unknown)}")
    conformed["metadata"] = conformed.get("metadata") or {}
    _place(request, resource, conformed["metadata"])
    stored = event_to_core(conformed) if resource.stored_as else conformed
    return Body(stored, unknown if validation == "Warn" else [])


def _place(request: web.Request, resource: Resource, meta: Json) -> None:
    """Give an object the URL's namespace and name, which its own must not contradict."""
    namespace = request.match_info.get("namespace", "")
    if resource.namespaced:
        if meta.setdefault("namespace", namespace) not in ("", namespace):
            raise bad_request(
                "the namespace of the provided object does not match the namespace sent on the request "
                f"({meta['namespace']} does not match {namespace})"
            )
        meta["namespace"] = namespace
    name = request.match_info.get("name")
    if name is not None and meta.setdefault("name", name) != name:
        raise bad_request(f"the name of the object ({meta['name']}) does not match the name on the URL ({name})")


def is_dry_run(request: web.Request) -> bool:
    values = request.query.getall("dryRun", [])
    if any(value not in ("All", "") for value in values):
        raise bad_request(f"unsupported dryRun value: {values[0]!r}; supported values: All")
    return "All" in values
