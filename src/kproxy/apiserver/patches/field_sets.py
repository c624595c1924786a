"""Sets of an object's fields, as `metadata.managedFields` records them (`FieldsV1`, KEP-555).

A path is a tuple of steps: `f:<name>` into a field, `k:<keys as JSON>` to the element of a keyed list,
`v:<value as JSON>` to the member of a set. What is owned are leaves (scalars, and lists and maps that change as a
whole) and the elements of keyed lists.
"""

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import msgspec

from kproxy.apiserver.errors import Json
from kproxy.apiserver.patches.list_types import (
    ATOMIC_MAPS,
    ATOMIC_TYPES,
    MAP_KEY_DEFAULTS,
    ListType,
    list_type,
)
from kproxy.apiserver.schema import Listing, Mapped, Scalar, Shape, Struct

Path: TypeAlias = tuple[str, ...]

ELEMENT = object()
"""The value of a keyed list's element as such, apart from its fields: present is all that it can be."""

_NOT_OWNED = frozenset(
    {("f:apiVersion",), ("f:kind",)}
    | {
        ("f:metadata", f"f:{name}")
        for name in (
            *("name", "namespace", "generateName", "uid", "resourceVersion", "generation", "managedFields", "selfLink"),
            *("creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"),
        )
    }
)


def owned_values(schema: Struct, obj: Json, *, status: bool) -> dict[Path, Any]:
    """The paths that can be owned in an object, with their values; those of its status, or all others."""
    found: dict[Path, Any] = {}
    for key, value in obj.items():
        if key in schema.fields and (key == "metadata" or (key == "status") == status):
            _collect(schema.fields[key], value, (f"f:{key}",), found, schema.name, key)
    return found


def _collect(shape: Shape, value: Any, path: Path, found: dict[Path, Any], owner: str, field: str) -> None:
    if path in _NOT_OWNED or value is None:
        return
    if isinstance(value, dict) and value and _is_open(shape, owner, field):
        for key, item in value.items():
            inner, name = (shape.fields[key], shape.name) if isinstance(shape, Struct) else (_value_of(shape), "")
            _collect(inner, item, (*path, f"f:{key}"), found, name, key)
        return
    kind = list_type(owner, field)
    if isinstance(shape, Listing) and isinstance(value, list) and kind.set:
        found.update({(*path, f"v:{_compact(item)}"): item for item in value})
    elif isinstance(shape, Listing) and isinstance(value, list) and kind.map_keys:
        for item in value:
            step = (*path, element_step(item, kind))
            found[step] = ELEMENT
            for key, member in item.items():
                if isinstance(shape.item, Struct):
                    _collect(shape.item.fields[key], member, (*step, f"f:{key}"), found, shape.item.name, key)
    else:
        found[path] = value


def _is_open(shape: Shape, owner: str, field: str) -> bool:
    """Whether a map's members are owned one by one."""
    if isinstance(shape, Struct):
        return shape.name not in ATOMIC_TYPES
    return isinstance(shape, Mapped) and (owner, field) not in ATOMIC_MAPS


def _value_of(shape: Shape) -> Shape:
    return shape.value if isinstance(shape, Mapped) else Scalar("any")


def element_step(item: Json, kind: ListType) -> str:
    """The step to an element of a keyed list."""
    keys = {key: item.get(key, MAP_KEY_DEFAULTS.get(key)) for key in sorted(kind.map_keys)}
    return f"k:{_compact(keys)}"


def encode_paths(paths: Iterable[Path]) -> Json:
    """The `fieldsV1` of some paths."""
    root: Json = {}
    for path in sorted(paths):
        node = root
        for step in path:
            node = node.setdefault(step, {})
        if path[-1].startswith("k:"):
            node["."] = {}
    return root


def decode_paths(fields: Json) -> set[Path]:
    """The inverse of `encode_paths`; steps of an unknown kind are kept as they are."""
    return set(_walk(fields, ()))


def _walk(node: Json, path: Path) -> Iterator[Path]:
    if not node:
        yield path
    for step, inner in node.items():
        if step == ".":
            yield path
        elif isinstance(inner, dict):
            yield from _walk(inner, (*path, step))


def field_text(path: Path) -> str:
    """A path as error messages show it: `.spec.ports[port=80,protocol="TCP"].targetPort`."""
    text = ""
    for step in path:
        kind, _, rest = step.partition(":")
        if kind == "f":
            text += f".{rest}"
        elif kind == "k":
            keys = msgspec.json.decode(rest)
            text += "[" + ",".join(f"{key}={_compact(value)}" for key, value in keys.items()) + "]"
        else:
            text += f"[={rest}]"
    return text


def remove_path(obj: Any, path: Path) -> None:
    """Take what a path leads to out of an object, in place; containers stay."""
    step, rest = path[0], path[1:]
    kind, _, text = step.partition(":")
    if kind == "f" and isinstance(obj, dict) and text in obj:
        if rest:
            remove_path(obj[text], rest)
        else:
            del obj[text]
    elif isinstance(obj, list) and kind in ("k", "v"):
        wanted = msgspec.json.decode(text)
        for index, item in enumerate(obj):
            if (kind == "v" and item == wanted) or (kind == "k" and _has_keys(item, wanted)):
                if rest:
                    remove_path(item, rest)
                else:
                    del obj[index]
                return


def _has_keys(item: Any, wanted: Json) -> bool:
    return isinstance(item, dict) and all(
        item.get(key, MAP_KEY_DEFAULTS.get(key)) == value for key, value in wanted.items()
    )


def _compact(value: Any) -> str:
    return msgspec.json.encode(value).decode()
