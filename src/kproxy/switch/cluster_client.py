"""Reading and writing single objects of a cluster's API, of kinds that the proxy itself does not know."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

from kproxy.sources.client import ApiClient, ResponseBody
from kproxy.sources.errors import MalformedResponseError

Json: TypeAlias = dict[str, Any]

_IDLE_SECONDS = 15.0
_JSON = {"Content-Type": "application/json"}


class ClusterClient(ApiClient):
    """An API client that changes objects as well. Methods raise `SourceError` as `ApiClient`'s do."""

    async def read(self, path: str) -> Json:
        """GET an object."""
        async with self.get(path, {}) as body:
            return await _decoded(body)

    async def items(self, path: str, label_selector: str = "") -> list[Json]:
        """GET a list's items, page by page."""
        query = {"limit": "500"} | ({"labelSelector": label_selector} if label_selector else {})
        found: list[Json] = []
        while True:
            async with self.get(path, query) as body:
                page = await _decoded(body)
            found += page.get("items") or []
            rest = (page.get("metadata") or {}).get("continue")
            if not rest:
                return found
            query["continue"] = rest

    async def create(self, path: str, obj: Json) -> Json:
        """POST a new object to its collection."""
        return await self._write("POST", path, obj, {})

    async def replace(self, path: str, obj: Json) -> Json:
        """PUT an object; with the resourceVersion that it had, it fails (409) when somebody else has changed it."""
        return await self._write("PUT", path, obj, {})

    async def delete(self, path: str) -> None:
        """DELETE an object."""
        async with self.request("DELETE", path, {}, {}) as response:
            await _decoded(ResponseBody(response))

    async def _write(self, method: str, path: str, obj: Json, query: Mapping[str, str]) -> Json:
        async with self.request(method, path, query, _JSON, msgspec.json.encode(obj)) as response:
            return await _decoded(ResponseBody(response))


async def _decoded(body: ResponseBody) -> Json:
    data = bytearray()
    while chunk := await body.read(_IDLE_SECONDS):
        data += chunk
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise MalformedResponseError(f"the answer is no object: {error}") from error
