"""POST, PUT, PATCH and DELETE."""

from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from kproxy.apiserver import errors
from kproxy.apiserver.admission.events import event_from_core
from kproxy.apiserver.errors import Json
from kproxy.apiserver.http.bodies import Body, checked_object, is_dry_run, read_body
from kproxy.apiserver.http.reads import representation_for
from kproxy.apiserver.http.representation import Representation
from kproxy.apiserver.http.responses import json_response
from kproxy.apiserver.http.state import STATE
from kproxy.apiserver.listing import list_objects, parse_list_options, select
from kproxy.apiserver.patches.json_patch import json_patch
from kproxy.apiserver.patches.merge_patch import merge_patch
from kproxy.apiserver.patches.server_side_apply import Writer, server_side_apply
from kproxy.apiserver.patches.strategic_merge import strategic_merge
from kproxy.apiserver.resources import NAMESPACES, Resource, storage_of
from kproxy.apiserver.schema import schema_of
from kproxy.apiserver.stored import StoredObject

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
PATCH_TYPES = (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH)


async def create_object(request: web.Request, resource: Resource) -> web.StreamResponse:
    representation = representation_for(request, resource)
    store = request.app[STATE].store
    body = checked_object(request, resource, await read_body(request))
    _require_namespace(request, resource)
    stored = store.create(storage_of(resource), body.obj, dry_run=is_dry_run(request))
    return json_response(representation.whole(stored) + b"\n", status=201, warnings=body.warnings)


async def replace_object(request: web.Request, resource: Resource, *, status: bool) -> web.StreamResponse:
    representation = representation_for(request, resource)
    body = checked_object(request, resource, await read_body(request))
    return _update(request, resource, body, representation, status=status)


async def patch_object(request: web.Request, resource: Resource, *, status: bool) -> web.StreamResponse:
    representation = representation_for(request, resource)
    if request.content_type not in PATCH_TYPES:
        raise errors.unsupported_media_type(PATCH_TYPES)
    patch = await read_body(request, PATCH_TYPES)
    if request.content_type == APPLY_PATCH:
        return await _apply(request, resource, patch, status=status)
    store = request.app[STATE].store
    live = store.get(resource, request.match_info.get("namespace", ""), request.match_info["name"])
    patched = _patched(request.content_type, resource, _as_seen(resource, live), patch)
    body = checked_object(request, resource, patched)
    return _update(request, resource, body, representation, status=status)


def _update(
    request: web.Request, resource: Resource, body: Body, representation: Representation, *, status: bool
) -> web.Response:
    """Store a checked object, and answer with it as the client wants to see it."""
    stored = request.app[STATE].store.update(
        storage_of(resource),
        body.obj,
        status=status,
        dry_run=is_dry_run(request),
        writer=_writer(request, resource, status=status),
    )
    return json_response(representation.whole(stored) + b"\n", warnings=body.warnings)


async def delete_object(request: web.Request, resource: Resource) -> web.StreamResponse:
    representation = representation_for(request, resource)
    options = await read_body(request) if request.can_read_body else {}
    preconditions = options.get("preconditions") if isinstance(options, dict) else None
    if preconditions is not None and not isinstance(preconditions, dict):
        raise errors.bad_request("preconditions must be an object")
    dry_run = is_dry_run(request) or (isinstance(options, dict) and "All" in (options.get("dryRun") or []))
    store = request.app[STATE].store
    namespace, name = request.match_info.get("namespace", ""), request.match_info["name"]
    last = store.remove(storage_of(resource), namespace, name, preconditions=preconditions, dry_run=dry_run)
    if not dry_run and store.collection(resource).get((namespace, name)) is not None:
        return json_response(representation.whole(last) + b"\n")  # It waits for its finalizers.
    details = {"name": name, "group": resource.group, "kind": resource.plural, "uid": last.uid}
    body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
    return json_response(body)


async def delete_collection(request: web.Request, resource: Resource) -> web.StreamResponse:
    representation = representation_for(request, resource)
    options = parse_list_options(resource, request.match_info.get("namespace", ""), request.query)
    store = request.app[STATE].store
    page = list_objects(store, resource, options)
    items = [representation.list_item(obj) for obj in page.objects]
    if not is_dry_run(request):
        for obj in list(select(store.collection(resource), options.selection)):
            store.remove(storage_of(resource), obj.namespace, obj.name)
    return json_response(representation.list_head(page) + b",".join(items) + b"]}\n")


async def _apply(request: web.Request, resource: Resource, applied: Any, *, status: bool) -> web.StreamResponse:
    representation = representation_for(request, resource)
    if not request.query.get("fieldManager"):
        raise errors.bad_request("fieldManager is required for apply patch")
    if resource.stored_as:
        raise errors.unsupported_media_type(tuple(kind for kind in PATCH_TYPES if kind != APPLY_PATCH))
    body = checked_object(request, resource, applied, typed=True)
    if "managedFields" in body.obj["metadata"]:
        raise errors.bad_request("metadata.managedFields must be nil")
    store = request.app[STATE].store
    namespace, name = request.match_info.get("namespace", ""), request.match_info["name"]
    live = store.collection(resource).get((namespace, name))
    if live is None and status:
        raise errors.not_found(resource.plural, name, resource.group)
    merged = server_side_apply(
        live.decode() if live else None,
        body.obj,
        schema_of(resource),
        _writer(request, resource, status=status),
        force=request.query.get("force", "") in ("true", "1"),
    )
    if live is not None:
        stored = store.update(resource, merged, status=status, dry_run=is_dry_run(request))
        return json_response(representation.whole(stored) + b"\n", warnings=body.warnings)
    _require_namespace(request, resource)
    stored = store.create(resource, merged, dry_run=is_dry_run(request))
    return json_response(representation.whole(stored) + b"\n", status=201, warnings=body.warnings)


def _patched(content_type: str, resource: Resource, live: Json, patch: Any) -> Json:
    if content_type == JSON_PATCH:
        return json_patch(live, patch)
    if content_type == MERGE_PATCH:
        return merge_patch(live, patch)
    return strategic_merge(live, patch, schema_of(resource))


def _as_seen(resource: Resource, obj: StoredObject) -> Json:
    """An object as the request's version shows it."""
    decoded = obj.decode()
    seen = event_from_core(decoded) if resource.stored_as else decoded
    return {"kind": resource.kind, "apiVersion": resource.api_version, **seen}


def _require_namespace(request: web.Request, resource: Resource) -> None:
    if resource.namespaced:
        request.app[STATE].store.get(NAMESPACES, "", request.match_info["namespace"])


def _writer(request: web.Request, resource: Resource, *, status: bool) -> Writer:
    """Who writes: as the request says, or else the client program's name."""
    agent = request.headers.get("User-Agent", "unknown").partition("/")[0]
    time = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    manager = request.query.get("fieldManager") or agent
    return Writer(manager[:128], resource.api_version, "status" if status else "", time)
