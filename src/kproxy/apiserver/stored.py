"""An object as the store keeps it: its JSON, and the little of it that lists and selectors look at.

The bytes leave out `kind` and `apiVersion`, which are the same for all objects of a resource: lists (whose
items do not carry them) are joins of stored bytes, and a single object or a watch event puts them in front.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import msgspec

from kproxy.apiserver.errors import Json
from kproxy.apiserver.resources import Resource

Key: TypeAlias = tuple[str, str]
"""Namespace ("" for cluster-scoped objects) and name."""

_NOTHING: Mapping[str, str] = MappingProxyType({})
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(dict)


@dataclass(frozen=True, slots=True, eq=False)
class StoredObject:
    """One version of one object; never changed, so lists, watches and the history share it.

    `fields` are the values that field selectors may ask for, by the fields' paths.
    """

    namespace: str
    name: str
    uid: str
    resource_version: int
    labels: Mapping[str, str]
    fields: Mapping[str, str]
    data: bytes

    @property
    def key(self) -> Key:
        return self.namespace, self.name

    def decode(self) -> Json:
        """A fresh copy of the object as a dictionary, without `kind` and `apiVersion`."""
        decoded: Json = _decoder.decode(self.data)
        return decoded

    def at_version(self, resource: Resource, resource_version: int) -> "StoredObject":
        """The same object under another resourceVersion."""
        obj = self.decode()
        obj["metadata"]["resourceVersion"] = str(resource_version)
        return encode_object(resource, obj)


def encode_object(resource: Resource, obj: Json) -> StoredObject:
    """Freeze an object whose metadata is complete."""
    meta = obj["metadata"]
    body = {"metadata": meta}
    body.update((key, value) for key, value in obj.items() if key not in ("metadata", "kind", "apiVersion"))
    return StoredObject(
        namespace=meta.get("namespace", ""),
        name=meta["name"],
        uid=meta["uid"],
        resource_version=int(meta["resourceVersion"]),
        labels=dict(meta["labels"]) if meta.get("labels") else _NOTHING,
        fields={".".join(path): _text(obj, path) for _, path in resource.selectable} or _NOTHING,
        data=_encoder.encode(body),
    )


def copy_of(obj: Json) -> Json:
    """A deep copy of an object as the API has it."""
    copied: Json = _decoder.decode(_encoder.encode(obj))
    return copied


def type_header(resource: Resource) -> bytes:
    """What goes before a stored object's bytes, less their opening brace, to make them a whole object."""
    return _encoder.encode({"kind": resource.kind, "apiVersion": resource.api_version})[:-1] + b","


def _text(obj: Json, path: tuple[str, ...]) -> str:
    value: object = obj
    for part in path:
        if not isinstance(value, dict):
            return ""
        value = value.get(part)
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)
