"""The OpenAPI documents (v2 and v3), from which `kubectl` learns fields, merge keys and options."""

import importlib
import inspect
import re
from functools import cache
from typing import Any

from kproxy.apiserver.errors import Json
from kproxy.apiserver.http.discovery import SERVER_VERSION, group_versions
from kproxy.apiserver.patches.list_types import ATOMIC_MAPS, ATOMIC_TYPES, list_type
from kproxy.apiserver.resources import RESOURCES, Resource
from kproxy.apiserver.schema import Listing, Mapped, Scalar, Shape, Struct, schema_of

V2_PROTOBUF = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
"""What `kubectl` before 1.27 insists on. It is given an empty document, which makes it leave validation to the
server."""

_PREFIXES = {
    "apps_v1": "io.k8s.api.apps.v1",
    "core_v1": "io.k8s.api.core.v1",
    "discovery_v1": "io.k8s.api.discovery.v1",
    "events_v1": "io.k8s.api.events.v1",
    "networking_v1": "io.k8s.api.networking.v1",
    "meta_v1": "io.k8s.apimachinery.pkg.apis.meta.v1",
}
_PATCH_TYPES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)
_WRITE_OPTIONS = ("dryRun", "fieldManager", "fieldValidation", "pretty")
_FIELD_TEXT = re.compile(r"^\s*\* \*\*(\w+)\*\* ``.*?`` - (.*?)(?=^\s*\* \*\*\w+\*\* ``|\Z)", re.DOTALL | re.MULTILINE)
_INFO: Json = {"title": "Kubernetes", "version": f"v{'.'.join(SERVER_VERSION)}.0"}


@cache
def openapi_v2() -> Json:
    """The document at `/openapi/v2`."""
    definitions: Json = {}
    for resource in RESOURCES:
        _define(schema_of(resource), "#/definitions/", definitions)
        definitions[_full_name(resource.model)] |= _kinds(resource)
    paths = {path: item for resource in RESOURCES for path, item in _paths(resource, "#/definitions/").items()}
    return {"swagger": "2.0", "info": _INFO, "paths": paths, "definitions": definitions}


def openapi_v3_index() -> Json:
    """The document at `/openapi/v3`."""
    names = [_group_path(group, version) for group, version in group_versions()]
    return {"paths": {name: {"serverRelativeURL": f"/openapi/v3/{name}"} for name in names}}


@cache
def openapi_v3(path: str) -> Json | None:
    """The document at `/openapi/v3/<path>`, where the path is `api/v1` or `apis/<group>/<version>`."""
    for (group, version), resources in group_versions().items():
        if _group_path(group, version) == path:
            reference = "#/components/schemas/"
            schemas: Json = {}
            for resource in resources:
                _define(schema_of(resource), reference, schemas)
                schemas[_full_name(resource.model)] |= _kinds(resource)
            paths = {path: item for resource in resources for path, item in _paths(resource, reference).items()}
            return {"openapi": "3.0.0", "info": _INFO, "paths": paths, "components": {"schemas": schemas}}
    return None


def _group_path(group: str, version: str) -> str:
    return f"apis/{group}/{version}" if group else f"api/{version}"


def _full_name(model: str) -> str:
    module, _, name = model.partition(".")
    return f"{_PREFIXES[module]}.{name}"


def _kinds(resource: Resource) -> Json:
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    return {"x-kubernetes-group-version-kind": [kind]}


def _paths(resource: Resource, reference: str) -> Json:
    """The operations that clients look up: those on one object, with their options."""
    namespace = "/namespaces/{namespace}" if resource.namespaced else ""
    collection = f"/{_group_path(resource.group, resource.version)}{namespace}/{resource.plural}"
    kind = _kinds(resource)["x-kubernetes-group-version-kind"][0]
    v3 = reference.startswith("#/components")
    parameters = [
        {"name": name, "in": "query"} | ({"schema": {"type": "string"}} if v3 else {"type": "string"})
        for name in _WRITE_OPTIONS
    ]
    answer = {"$ref": reference + _full_name(resource.model)}
    content: Json = {"content": {"application/json": {"schema": answer}}} if v3 else {"schema": answer}

    def operation(action: str) -> Json:
        body: Json = {"x-kubernetes-action": action, "x-kubernetes-group-version-kind": kind}
        body["responses"] = {"200": {"description": "OK"} | content}
        if action != "get":
            body["parameters"] = parameters
        if action == "patch":
            media = {media: {"schema": {"type": "object"}} for media in _PATCH_TYPES}
            body |= {"requestBody": {"content": media}} if v3 else {"consumes": list(_PATCH_TYPES)}
        return body

    item = {"get": operation("get"), "put": operation("put"), "patch": operation("patch")}
    return {collection: {"post": operation("post")}, collection + "/{name}": item | {"delete": operation("delete")}}


def _define(struct: Struct, reference: str, definitions: Json) -> None:
    """Add a type and all that it uses."""
    name = _full_name(struct.name)
    if name in definitions:
        return
    description, texts = _documentation(struct.name)
    definition: Json = {"description": description, "type": "object", "properties": {}}
    definitions[name] = definition
    for field, shape in struct.fields.items():
        described = {"description": texts[field]} if field in texts else {}
        described |= _property(shape, reference, definitions) | _merging(struct, field, shape)
        definition["properties"][field] = described
    if struct.required:
        definition["required"] = sorted(struct.required)
    if struct.name in ATOMIC_TYPES:
        definition["x-kubernetes-map-type"] = "atomic"


def _property(shape: Shape, reference: str, definitions: Json) -> Json:
    if isinstance(shape, Struct):
        _define(shape, reference, definitions)
        return {"$ref": reference + _full_name(shape.name)}
    if isinstance(shape, Listing):
        return {"type": "array", "items": _property(shape.item, reference, definitions)}
    if isinstance(shape, Mapped):
        return {"type": "object", "additionalProperties": _property(shape.value, reference, definitions)}
    return _scalar(shape)


def _scalar(shape: Scalar) -> Json:
    if shape.type == "any":
        return {"type": "object"}
    if shape.type in ("int-or-string", "quantity"):
        return {"type": "string", "format": shape.type} if shape.type == "int-or-string" else {"type": "string"}
    return {"type": shape.type, "format": shape.format} if shape.format else {"type": shape.type}


def _merging(struct: Struct, field: str, shape: Shape) -> Json:
    extensions: Json = {}
    kind = list_type(struct.name, field)
    if isinstance(shape, Listing):
        extensions["x-kubernetes-list-type"] = "map" if kind.map_keys else "set" if kind.set else "atomic"
    if kind.map_keys:
        extensions["x-kubernetes-list-map-keys"] = list(kind.map_keys)
    if kind.patch_key:
        extensions["x-kubernetes-patch-merge-key"] = kind.patch_key
    if kind.patch_key or kind.patch_set:
        extensions["x-kubernetes-patch-strategy"] = "merge"
    if (struct.name, field) in ATOMIC_MAPS:
        extensions["x-kubernetes-map-type"] = "atomic"
    return extensions


@cache
def _documentation(model: str) -> tuple[str, dict[str, str]]:
    """A type's description and its fields', out of the generated docstring."""
    module, _, name = model.partition(".")
    documented: Any = getattr(importlib.import_module(f"lightkube.models.{module}"), name)
    description, _, parameters = inspect.cleandoc(documented.__doc__ or "").partition("**parameters**")
    entries = _FIELD_TEXT.findall(parameters)
    return _flowed(description), {field.rstrip("_"): _flowed(text) for field, text in entries}


def _flowed(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()
