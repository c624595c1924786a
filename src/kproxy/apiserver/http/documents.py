"""The documents beside the resources: discovery, OpenAPI, version, health."""

from aiohttp import web

from kproxy.apiserver.errors import Json, path_not_found
from kproxy.apiserver.http.discovery import (
    api_group,
    api_groups,
    api_resources,
    api_versions,
    group_versions,
    version_info,
)
from kproxy.apiserver.http.negotiation import JSON, error_for_accept, require_json
from kproxy.apiserver.http.openapi import V2_PROTOBUF, openapi_v2, openapi_v3, openapi_v3_index
from kproxy.apiserver.http.responses import Handler, json_response

HEALTH_PATHS = ("/healthz", "/livez", "/readyz")


def add_documents(router: web.UrlDispatcher) -> None:
    """Route everything that is not a resource."""
    for path in HEALTH_PATHS:
        router.add_get(path, _health)
    router.add_get("/version", _version)
    router.add_get("/api", _api)
    router.add_get("/apis", _apis)
    for group, version in group_versions():
        router.add_get(f"/apis/{group}/{version}" if group else f"/api/{version}", _resources(group, version))
    router.add_get("/apis/{group}", _group)
    router.add_get("/openapi/v2", _openapi_v2)
    router.add_get("/openapi/v3", _openapi_v3_index)
    router.add_get("/openapi/v3/{path:.+}", _openapi_v3)


async def _health(request: web.Request) -> web.Response:
    del request
    return web.Response(text="ok")


async def _version(request: web.Request) -> web.Response:
    del request
    return json_response(version_info())


async def _api(request: web.Request) -> web.Response:
    return _document(request, api_versions())


async def _apis(request: web.Request) -> web.Response:
    return _document(request, api_groups())


async def _group(request: web.Request) -> web.Response:
    return _document(request, api_group(request.match_info["group"]))


def _resources(group: str, version: str) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        return _document(request, api_resources(group, version))

    return handle


async def _openapi_v2(request: web.Request) -> web.Response:
    accept = request.headers.get("Accept", "")
    if V2_PROTOBUF in accept.replace(" ", "") and JSON not in accept:
        # Not under its own name: Go's media type parser refuses the @ in it.
        return web.Response(body=b"", content_type="application/octet-stream")
    if error := error_for_accept(accept, (JSON, V2_PROTOBUF)):
        raise error
    return json_response(openapi_v2())


async def _openapi_v3_index(request: web.Request) -> web.Response:
    return _document(request, openapi_v3_index())


async def _openapi_v3(request: web.Request) -> web.Response:
    return _document(request, openapi_v3(request.match_info["path"]))


def _document(request: web.Request, document: Json | None) -> web.Response:
    if document is None:
        raise path_not_found()
    require_json(request.headers.get("Accept", ""))
    return json_response(document)
