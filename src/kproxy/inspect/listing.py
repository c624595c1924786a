"""Everything of one kind that an API server has now, without following it."""

from typing import Final

from kproxy.sources.client import ApiClient
from kproxy.sources.errors import ApiError
from kproxy.sources.list_stream import ListDecoder
from kproxy.sources.resource import Resource
from kproxy.sources.wire import BadObject, ObjectDecoder, T

_PAGE: Final = 500
_IDLE_SECONDS: Final = 30.0


async def list_all(client: ApiClient, resource: Resource[T]) -> list[T | BadObject]:
    """List a resource page by page; objects that do not decode stand among the others.

    Raises:
        SourceError: the server cannot be reached, refuses, or does not speak the API's protocol
    """
    decoder: ObjectDecoder[T] = ObjectDecoder(resource.kind)
    try:
        return await _pages(client, resource, decoder, _PAGE)
    except ApiError as error:
        if not error.expired:
            raise
    # The list expired between two pages; in one piece it cannot.
    return await _pages(client, resource, decoder, 0)


async def _pages(
    client: ApiClient, resource: Resource[T], decoder: ObjectDecoder[T], limit: int
) -> list[T | BadObject]:
    query = resource.selectors | ({"limit": str(limit)} if limit else {})
    page = query | {"resourceVersion": "0"}
    found: list[T | BadObject] = []
    while True:
        items: ListDecoder[T] = ListDecoder(decoder)
        async with client.get(resource.path, page) as body:
            while chunk := await body.read(_IDLE_SECONDS):
                found += items.feed(chunk)
        rest, meta = items.finish()
        found += rest
        if not meta.continue_:
            return found
        page = query | {"continue": meta.continue_}
