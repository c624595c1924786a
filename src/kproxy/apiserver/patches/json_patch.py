"""JSON Patch (RFC 6902) over JSON Pointers (RFC 6901)."""

import copy
from typing import Any

from kproxy.apiserver.errors import ApiError, Json, bad_request

_MAX_OPERATIONS = 10000


def json_patch(obj: Json, operations: Any) -> Json:
    """A patched copy; raises `ApiError` 400 for a malformed patch, 422 for one that does not fit the object."""
    if not isinstance(operations, list) or not all(isinstance(operation, dict) for operation in operations):
        raise bad_request("a JSON patch must be a list of operations")
    if len(operations) > _MAX_OPERATIONS:
        raise bad_request(f"The allowed maximum operations in a JSON patch is {_MAX_OPERATIONS}, got {len(operations)}")
    document: Any = {"": copy.deepcopy(obj)}
    for operation in operations:
        _apply(document, operation)
    patched = document[""]
    if not isinstance(patched, dict):
        raise _unfit("the patched document is not an object")
    return patched


def _apply(document: Json, operation: Json) -> None:
    name = operation.get("op")
    path = _pointer(operation, "path")
    if name in ("add", "replace", "test") and "value" not in operation:
        raise bad_request(f"the JSON patch operation {name} {operation['path']} has no value")
    match name:
        case "add":
            _add(document, path, copy.deepcopy(operation["value"]))
        case "remove":
            _remove(document, path)
        case "replace":
            container, key = _locate(document, path)
            _existing(container, key)
            container[key] = copy.deepcopy(operation["value"])
        case "move":
            source = _pointer(operation, "from")
            if path[: len(source)] == source and path != source:
                raise _unfit("cannot move a value into itself")
            _add(document, path, _remove(document, source))
        case "copy":
            container, key = _locate(document, _pointer(operation, "from"))
            _add(document, path, copy.deepcopy(_existing(container, key)))
        case "test":
            container, key = _locate(document, path)
            found = _existing(container, key)
            if found != operation["value"] or isinstance(found, bool) != isinstance(operation["value"], bool):
                raise _unfit(f"testing value {operation['path']} failed")
        case _:
            raise bad_request(f"unexpected JSON patch operation: {name!r}")


def _pointer(operation: Json, field: str) -> list[str]:
    """The parts of a pointer, from the root's container on."""
    text = operation.get(field)
    if not isinstance(text, str) or (text and not text.startswith("/")):
        raise bad_request(f"{field} of a JSON patch operation is not a JSON pointer: {text!r}")
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")] if text else [""]


def _locate(document: Json, path: list[str], *, append: bool = False) -> tuple[Any, Any]:
    """The container of what a path names and the key in it, checked for lists; `append` allows their end."""
    container: Any = document
    for part in path[:-1]:
        container = _existing(container, _key(container, part))
    last = path[-1]
    if append and isinstance(container, list) and last == "-":
        return container, len(container)
    return container, _key(container, last)


def _key(container: Any, part: str) -> Any:
    if isinstance(container, dict):
        return part
    if isinstance(container, list) and part.isascii() and part.isdigit() and str(int(part)) == part:
        return int(part)
    raise _unfit(f"nothing is at {part!r}")


def _existing(container: Any, key: Any) -> Any:
    try:
        return container[key]
    except (KeyError, IndexError) as error:
        raise _unfit(f"missing value at {key!r}") from error


def _add(document: Json, path: list[str], value: Any) -> None:
    container, key = _locate(document, path, append=True)
    if isinstance(container, dict):
        container[key] = value
    elif key <= len(container):
        container.insert(key, value)
    else:
        raise _unfit(f"index {key} is past the list's end")


def _remove(document: Json, path: list[str]) -> Any:
    if path == [""]:
        raise _unfit("the whole object cannot be removed")
    container, key = _locate(document, path)
    _existing(container, key)
    return container.pop(key)


def _unfit(why: str) -> ApiError:
    return ApiError(422, "Invalid", f"the server rejected our request due to an error in our request: {why}")
