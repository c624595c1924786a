"""Responses: JSON documents, Status errors, and warnings."""

import json
from collections.abc import Awaitable, Callable, Sequence

import msgspec
from aiohttp import web

from kproxy.apiserver import errors
from kproxy.apiserver.errors import ApiError, Json
from kproxy.apiserver.http.negotiation import JSON

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def json_response(body: Json | bytes, *, status: int = 200, warnings: Sequence[str] = ()) -> web.Response:
    """A document, given as such or encoded; warnings go into headers that `kubectl` shows (RFC 7234 §5.5)."""
    response = web.Response(
        body=body if isinstance(body, bytes) else msgspec.json.encode(body) + b"\n",
        status=status,
        content_type=JSON,
        headers={"Cache-Control": "no-cache, private"},
    )
    for warning in warnings:
        response.headers.add("Warning", f"299 - {json.dumps(warning)}")
    return response


def error_response(error: ApiError) -> web.Response:
    response = json_response(error.status(), status=error.code)
    if error.code == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="kubernetes"'
    retry_after = (error.details or {}).get("retryAfterSeconds")
    if retry_after:
        response.headers["Retry-After"] = str(retry_after)
    return response


def from_http_error(error: web.HTTPException) -> ApiError:
    """The API's form of an error that the HTTP library raised."""
    match error.status:
        case 404:
            return errors.path_not_found()
        case 405:
            return errors.method_not_allowed()
        case 413:
            return errors.too_large()
    return ApiError(error.status, "BadRequest" if error.status < 500 else "InternalError", error.reason)
