"""The fields that each kind has, and objects held against them.

The types come from `lightkube.models`, which are generated from Kubernetes' own OpenAPI document.
"""

import datetime
import importlib
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeAlias

import msgspec

from kproxy.apiserver.errors import Json
from kproxy.apiserver.resources import Resource

QUANTITY_MAPS = ("capacity", "allocatable", "limits", "requests")


@dataclass(frozen=True, slots=True)
class Scalar:
    """A JSON string, integer, number or boolean; `int-or-string` and `any` are what they say."""

    type: str
    format: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    item: "Shape"


@dataclass(frozen=True, slots=True)
class Mapped:
    """An object of arbitrary keys."""

    value: "Shape"


@dataclass(frozen=True, slots=True, eq=False)
class Struct:
    """A type with fields; `name` is its name in `lightkube.models` (`core_v1.ServiceSpec`)."""

    name: str
    fields: Mapping[str, "Shape"]
    required: frozenset[str]


Shape: TypeAlias = Scalar | Listing | Mapped | Struct

_SCALARS: dict[Any, Scalar] = {
    str: Scalar("string"),
    int: Scalar("integer", "int32"),
    float: Scalar("number", "double"),
    bool: Scalar("boolean"),
    datetime.datetime: Scalar("string", "date-time"),
}
_ACCEPTED: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "int-or-string": (int, str),
    "quantity": (int, float, str),
}


@dataclass(slots=True)
class Issues:
    """What does not fit a schema: fields that it lacks (dropped), and values of the wrong type."""

    unknown: list[str] = field(default_factory=list)
    mistyped: list[str] = field(default_factory=list)


def conform(resource: Resource, obj: Json) -> tuple[Json, Issues]:
    """A copy of an object without nulls and unknown fields, as the typed API would read it."""
    issues = Issues()
    conformed: Json = _conform(schema_of(resource), obj, "", issues)
    return conformed, issues


def schema_of(resource: Resource) -> Struct:
    """The schema of a resource's objects."""
    return _struct(resource.model)


@cache
def _struct(name: str) -> Struct:
    module, _, type_name = name.partition(".")
    model: type[msgspec.Struct] = getattr(importlib.import_module(f"lightkube.models.{module}"), type_name)
    members = msgspec.structs.fields(model)
    fields = {member.encode_name: _shape(member.encode_name, member.type) for member in members}
    return Struct(name, fields, frozenset(member.encode_name for member in members if member.required))


def _shape(name: str, hint: Any) -> Shape:
    arguments = [argument for argument in typing.get_args(hint) if argument is not types.NoneType]
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return Scalar("int-or-string") if len(arguments) > 1 else _shape(name, arguments[0])
    if origin is list:
        return Listing(_shape(name, arguments[0]))
    if hint is dict or origin is dict or hint is typing.Dict:  # noqa: UP006 - the models use the old spelling
        if name == "fieldsV1":
            return Mapped(Scalar("any"))
        return Mapped(Scalar("quantity" if name in QUANTITY_MAPS else "string"))
    if hint in _SCALARS:
        return _SCALARS[hint]
    return _struct(f"{hint.__module__.rpartition('.')[2]}.{hint.__name__}")


def _conform(shape: Shape, value: Any, path: str, issues: Issues) -> Any:
    return _BY_SHAPE[type(shape)](shape, value, path, issues)


def _conform_struct(shape: Struct, value: Any, path: str, issues: Issues) -> Any:
    if not isinstance(value, dict):
        return _mistyped(value, path, "object", issues)
    fields, conformed = shape.fields, {}
    for key, item in value.items():
        known = fields.get(key)
        if known is None:
            issues.unknown.append(f"{path}.{key}" if path else key)
        elif item is not None:
            conformed[key] = _conform(known, item, f"{path}.{key}" if path else key, issues)
    return conformed


def _conform_list(shape: Listing, value: Any, path: str, issues: Issues) -> Any:
    if not isinstance(value, list):
        return _mistyped(value, path, "array", issues)
    item = shape.item
    return [_conform(item, member, f"{path}[{index}]", issues) for index, member in enumerate(value)]


def _conform_map(shape: Mapped, value: Any, path: str, issues: Issues) -> Any:
    if not isinstance(value, dict):
        return _mistyped(value, path, "object", issues)
    return {key: _conform(shape.value, item, f"{path}.{key}", issues) for key, item in value.items()}


def _conform_scalar(shape: Scalar, value: Any, path: str, issues: Issues) -> Any:
    kind = shape.type
    if kind == "any":
        return value
    if isinstance(value, bool):
        return value if kind == "boolean" else _mistyped(value, path, kind, issues)
    if kind != "boolean" and isinstance(value, _ACCEPTED[kind]):
        return value
    return _mistyped(value, path, kind, issues)


def _mistyped(value: Any, path: str, expected: str, issues: Issues) -> Any:
    found = {dict: "object", list: "array", str: "string", bool: "bool", type(None): "null"}.get(type(value), "number")
    issues.mistyped.append(f"cannot read {found} in the field {path or '.'} of type {expected}")
    return value


_BY_SHAPE: dict[type, Callable[[Any, Any, str, Issues], Any]] = {
    Struct: _conform_struct,
    Listing: _conform_list,
    Mapped: _conform_map,
    Scalar: _conform_scalar,
}
