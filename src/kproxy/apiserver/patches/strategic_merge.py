"""Strategic merge patch: a merge patch that knows which lists are keyed, and the directives that steer it.

The format is that of the Kubernetes API conventions' page on strategic merge patch.
"""

from typing import Any

from kproxy.apiserver.errors import Json, bad_request
from kproxy.apiserver.patches.list_types import ListType, list_type
from kproxy.apiserver.schema import Listing, Shape, Struct

_DIRECTIVE = "$patch"
_DELETE_PRIMITIVES = "$deleteFromPrimitiveList/"
_ORDER = "$setElementOrder/"
_RETAIN = "$retainKeys"


def strategic_merge(obj: Json, patch: Any, schema: Struct) -> Json:
    """A patched copy of an object of the given schema; raises `ApiError` 400 for a malformed patch."""
    if not isinstance(patch, dict):
        raise bad_request("a strategic merge patch must be an object")
    return _merge_object(obj, patch, schema) or {}


def _merge_object(target: Any, patch: Json, shape: Shape | None) -> Json | None:
    """The merged object; None when the patch deletes it."""
    directive = patch.get(_DIRECTIVE)
    if directive == "delete":
        return None
    if directive == "replace":
        replacement: Json = _plain(patch)
        return replacement
    if directive not in (None, "merge"):
        raise bad_request(f"unknown $patch directive: {directive!r}")
    merged = dict(target) if isinstance(target, dict) else {}
    retained = patch.get(_RETAIN)
    if isinstance(retained, list):
        merged = {key: value for key, value in merged.items() if key in retained}
    for key, value in patch.items():
        if key.startswith("$"):
            continue
        if value is None:
            merged.pop(key, None)
            continue
        member = shape.fields.get(key) if isinstance(shape, Struct) else None
        if isinstance(value, dict):
            result: Any = _merge_object(merged.get(key), value, member)
            if result is None:
                merged.pop(key, None)
            else:
                merged[key] = result
        elif isinstance(value, list) and isinstance(member, Listing) and isinstance(shape, Struct):
            merged[key] = _merge_list(merged.get(key), value, list_type(shape.name, key), member.item)
        else:
            merged[key] = value
    _delete_primitives(merged, patch)
    _reorder(merged, patch, shape)
    return merged


def _merge_list(current: Any, patch: list[Any], kind: ListType, item: Shape) -> list[Any]:
    current = current if isinstance(current, list) else []
    if kind.patch_set:
        return [*current, *(value for value in patch if value not in current)]
    if not kind.patch_key:
        return [_plain(value) for value in patch]
    key = kind.patch_key
    if any(isinstance(value, dict) and value.get(_DIRECTIVE) == "replace" and len(value) == 1 for value in patch):
        return [_plain(value) for value in patch if value != {_DIRECTIVE: "replace"}]
    merged = list(current)
    for element in patch:
        if not isinstance(element, dict) or key not in element:
            raise bad_request(f"map: {element} does not contain declared merge key: {key}")
        found = [index for index, old in enumerate(merged) if isinstance(old, dict) and old.get(key) == element[key]]
        if element.get(_DIRECTIVE) == "delete":
            merged = [old for index, old in enumerate(merged) if index not in found]
            continue
        result = _merge_object(merged[found[0]] if found else None, element, item)
        if found:
            merged[found[0]] = result
        else:
            merged.append(result)
    return merged


def _delete_primitives(merged: Json, patch: Json) -> None:
    for directive, values in patch.items():
        if directive.startswith(_DELETE_PRIMITIVES) and isinstance(values, list):
            field = directive.removeprefix(_DELETE_PRIMITIVES)
            if isinstance(merged.get(field), list):
                merged[field] = [value for value in merged[field] if value not in values]


def _reorder(merged: Json, patch: Json, shape: Shape | None) -> None:
    """Order lists as the patch asks; elements that it does not name keep their places between those it does."""
    for directive, order in patch.items():
        field = directive.removeprefix(_ORDER)
        current = merged.get(field)
        if field == directive or not isinstance(order, list) or not isinstance(current, list):
            continue
        key = list_type(shape.name, field).patch_key if isinstance(shape, Struct) else ""
        wanted = [_identity(element, key) for element in order]
        ranked = sorted(
            (element for element in current if _identity(element, key) in wanted),
            key=lambda element, wanted=wanted, key=key: wanted.index(_identity(element, key)),  # type: ignore[misc]
        )
        queue = iter(ranked)
        merged[field] = [next(queue) if _identity(element, key) in wanted else element for element in current]


def _identity(element: Any, key: str) -> Any:
    return element.get(key) if key and isinstance(element, dict) else element


def _plain(value: Any) -> Any:
    """A value without directives and nulls."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if item is not None and not key.startswith("$")}
    return [_plain(item) for item in value] if isinstance(value, list) else value
