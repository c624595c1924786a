"""GET: one object, or a list of them."""

import asyncio
import zlib
from collections.abc import Iterator

from aiohttp import web

from kproxy.apiserver.http.negotiation import JSON, negotiate
from kproxy.apiserver.http.representation import LIST_TAIL, Representation, represent
from kproxy.apiserver.http.responses import json_response
from kproxy.apiserver.http.state import STATE
from kproxy.apiserver.http.watches import serve_watch
from kproxy.apiserver.listing import ListOptions, Page, list_objects, parse_list_options
from kproxy.apiserver.resources import Resource

CHUNK_BYTES = 256 * 1024
COMPRESS_FROM_BYTES = 128 * 1024
"""Smaller answers are not worth compressing; the API server draws the line there too."""


def representation_for(request: web.Request, resource: Resource) -> Representation:
    """As the request's `Accept` and `includeObject` ask for; raises `ApiError` 406 or 400."""
    form = negotiate(request.headers.get("Accept", ""))
    return represent(resource, form, request.query.get("includeObject", ""))


async def get_object(request: web.Request, resource: Resource) -> web.StreamResponse:
    representation = representation_for(request, resource)
    store = request.app[STATE].store
    obj = store.get(resource, request.match_info.get("namespace", ""), request.match_info["name"])
    return json_response(representation.whole(obj) + b"\n")


async def list_or_watch(request: web.Request, resource: Resource) -> web.StreamResponse:
    representation = representation_for(request, resource)
    options = parse_list_options(resource, request.match_info.get("namespace", ""), request.query)
    if options.watch:
        return await serve_watch(request, resource, options, representation)
    return await _serve_list(request, resource, options, representation)


async def _serve_list(
    request: web.Request, resource: Resource, options: ListOptions, representation: Representation
) -> web.StreamResponse:
    state = request.app[STATE]
    chunks = _chunks(representation, list_objects(state.store, resource, options))
    first, second = next(chunks), next(chunks, None)
    compress = state.compress and "gzip" in request.headers.get("Accept-Encoding", "")
    if second is None and not (compress and len(first) >= COMPRESS_FROM_BYTES):
        return json_response(first)
    response = web.StreamResponse(headers={"Content-Type": JSON, "Cache-Control": "no-cache, private"})
    compressor = None
    if compress:
        response.headers["Content-Encoding"] = "gzip"
        response.headers["Vary"] = "Accept-Encoding"
        compressor = zlib.compressobj(level=1, wbits=zlib.MAX_WBITS | 16)
    await response.prepare(request)
    chunk: bytes | None = first
    while chunk is not None:
        # zlib lets go of the interpreter's lock: other requests go on meanwhile.
        await response.write(await asyncio.to_thread(compressor.compress, chunk) if compressor else chunk)
        chunk, second = second, next(chunks, None)
    if compressor:
        await response.write(compressor.flush())
    await response.write_eof()
    return response


def _chunks(representation: Representation, page: Page) -> Iterator[bytes]:
    """A list's bytes in pieces of about `CHUNK_BYTES`."""
    parts, size = [representation.list_head(page)], 0
    for index, obj in enumerate(page.objects):
        item = representation.list_item(obj)
        parts.append(b"," + item if index else item)
        size += len(item)
        if size >= CHUNK_BYTES:
            yield b"".join(parts)
            parts, size = [], 0
    yield b"".join([*parts, LIST_TAIL])
