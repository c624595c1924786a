"""JSON Merge Patch (RFC 7386)."""

from typing import Any

from kproxy.apiserver.errors import Json, bad_request


def merge_patch(obj: Json, patch: Any) -> Json:
    """A patched copy; raises `ApiError` 400 when the patch is not an object."""
    if not isinstance(patch, dict):
        raise bad_request("a merge patch must be an object")
    return _merge(obj, patch)


def _merge(target: Any, patch: Json) -> Json:
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            merged[key] = _merge(merged.get(key), value)
        else:
            merged[key] = value
    return merged
