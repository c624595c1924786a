"""The aiohttp application: routes, authentication, and errors as Status objects."""

import hmac
import logging
from functools import partial

from aiohttp import web
from aiohttp.typedefs import Middleware

from kproxy.apiserver.errors import ApiError, bad_request, internal_error, unauthorized
from kproxy.apiserver.http.documents import HEALTH_PATHS, add_documents
from kproxy.apiserver.http.reads import get_object, list_or_watch
from kproxy.apiserver.http.responses import Handler, error_response, from_http_error
from kproxy.apiserver.http.state import STATE, ServerState
from kproxy.apiserver.http.writes import (
    create_object,
    delete_collection,
    delete_object,
    patch_object,
    replace_object,
)
from kproxy.apiserver.resources import RESOURCES, Resource
from kproxy.apiserver.store import Store

MAX_BODY_BYTES = 3 * 1024 * 1024
"""The API server's limit for a request's body."""

log = logging.getLogger(__name__)


def create_app(
    store: Store, *, token: str | None = None, bookmark_seconds: float = 60.0, compress: bool = True
) -> web.Application:
    """An application that serves a store.

    With a `token`, requests must bear it, except for health checks. `compress` allows gzip for large lists to
    clients that accept it. Watches that ask for bookmarks get one every `bookmark_seconds`.
    """
    middlewares: list[Middleware] = [_errors] if token is None else [_errors, _authentication(token)]
    app = web.Application(middlewares=middlewares, client_max_size=MAX_BODY_BYTES)
    app[STATE] = ServerState(store, bookmark_seconds, compress)
    add_documents(app.router)
    for resource in RESOURCES:
        _add_resource(app.router, resource)
    app.on_shutdown.append(_close)
    return app


async def _close(app: web.Application) -> None:
    app[STATE].close()


def _add_resource(router: web.UrlDispatcher, resource: Resource) -> None:
    root = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
    collection = (
        f"{root}/namespaces/{{namespace}}/{resource.plural}" if resource.namespaced else f"{root}/{resource.plural}"
    )
    item = f"{collection}/{{name}}"
    for path in {f"{root}/{resource.plural}", collection}:
        router.add_get(path, partial(list_or_watch, resource=resource), allow_head=False)
    router.add_post(collection, partial(create_object, resource=resource))
    router.add_delete(collection, partial(delete_collection, resource=resource))
    router.add_get(item, partial(get_object, resource=resource), allow_head=False)
    router.add_delete(item, partial(delete_object, resource=resource))
    for path, status in ((item, False), (f"{item}/status", True))[: 1 + resource.has_status]:
        router.add_put(path, partial(replace_object, resource=resource, status=status))
        router.add_patch(path, partial(patch_object, resource=resource, status=status))
        if status:
            router.add_get(path, partial(get_object, resource=resource), allow_head=False)


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ApiError as error:
        return error_response(error)
    except web.HTTPException as error:
        return error_response(from_http_error(error))
    except RecursionError:
        return error_response(bad_request("the object is nested too deeply"))
    except Exception as error:
        log.exception("%s %s failed", request.method, request.path)
        return error_response(internal_error(type(error).__name__))


def _authentication(token: str) -> Middleware:
    expected = f"Bearer {token}".encode()

    @web.middleware
    async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
        presented = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if request.path not in HEALTH_PATHS and not hmac.compare_digest(presented, expected):
            raise unauthorized()
        return await handler(request)

    return authenticate
