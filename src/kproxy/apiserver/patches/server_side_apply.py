"""Server-side apply (KEP-555): a client states the fields it cares about, and owns them from then on.

Ownership is recorded from an object's first server-side apply on; what is there before belongs to
`before-first-apply`, as with an API server that had not tracked it.
"""

import copy
from dataclasses import dataclass
from typing import Any, TypeAlias

from kproxy.apiserver.errors import ApiError, Json
from kproxy.apiserver.patches.field_sets import (
    Path,
    decode_paths,
    element_step,
    encode_paths,
    field_text,
    owned_values,
    remove_path,
)
from kproxy.apiserver.patches.list_types import ATOMIC_MAPS, ATOMIC_TYPES, list_type
from kproxy.apiserver.schema import Listing, Mapped, Scalar, Shape, Struct

Owner: TypeAlias = tuple[str, str, str]
"""Manager, operation (Apply or Update) and subresource."""

_UNTRACKED: Owner = ("before-first-apply", "Update", "")


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes, through which version and subresource ("" or "status"), and when (RFC 3339)."""

    manager: str
    api_version: str
    subresource: str
    time: str


def server_side_apply(live: Json | None, applied: Json, schema: Struct, writer: Writer, *, force: bool) -> Json:
    """The live object (None: it is to be created) with the applied fields in it, and `managedFields` up to date.

    Raises `ApiError` 409 when fields that others own would get another value, unless `force` takes them over.
    """
    status = writer.subresource == "status"
    wanted = owned_values(schema, applied, status=status)
    owner: Owner = (writer.manager, "Apply", writer.subresource)
    owners: dict[Owner, set[Path]] = {}
    merged: Json = {"metadata": {}}
    if live is not None:
        merged = copy.deepcopy(live)
        present = owned_values(schema, live, status=status)
        owners = _owners_of(live) or {_UNTRACKED: set(present)}
        taken = {
            other: {path for path in paths if path in wanted and present.get(path) != wanted[path]}
            for other, paths in owners.items()
            if other != owner
        }
        if any(taken.values()) and not force:
            raise _conflict(taken, live, writer)
        for other, paths in taken.items():
            owners[other] -= paths
    merged = _merge_object(schema, merged, _own_part(applied, status=status))
    kept = {path for other, paths in owners.items() if other != owner for path in paths}
    for path in sorted(owners.get(owner, set()) - wanted.keys(), key=len):
        if not any(other[: len(path)] == path for other in kept):
            remove_path(merged, path)
    owners[owner] = set(wanted)
    merged["metadata"]["managedFields"] = _managed_fields(owners, live, owner, writer)
    return merged


def track_update(before: Json, after: Json, schema: Struct, writer: Writer) -> list[Json]:
    """The `managedFields` after a write that is not an apply: what it changed belongs to its writer."""
    status = writer.subresource == "status"
    old, new = (owned_values(schema, obj, status=status) for obj in (before, after))
    changed = {path for path, value in new.items() if path not in old or old[path] != value}
    gone = old.keys() - new.keys()
    owner: Owner = (writer.manager, "Update", writer.subresource)
    owners = {other: paths - changed - gone for other, paths in _owners_of(after).items()}
    if changed:
        owners[owner] = owners.get(owner, set()) | changed
    return _managed_fields(owners, after, owner if changed else None, writer)


def _owners_of(obj: Json) -> dict[Owner, set[Path]]:
    owners: dict[Owner, set[Path]] = {}
    for entry in obj["metadata"].get("managedFields") or []:
        owner = (entry.get("manager", ""), entry.get("operation", ""), entry.get("subresource", ""))
        owners.setdefault(owner, set()).update(decode_paths(entry.get("fieldsV1") or {}))
    return owners


def _managed_fields(
    owners: dict[Owner, set[Path]], previous: Json | None, changed: Owner | None, writer: Writer
) -> list[Json]:
    known = {
        (entry.get("manager", ""), entry.get("operation", ""), entry.get("subresource", "")): entry
        for entry in (previous or {"metadata": {}})["metadata"].get("managedFields") or []
    }
    entries = []
    for owner, paths in owners.items():
        if not paths:
            continue
        fields = encode_paths(paths)
        if owner in known and known[owner].get("fieldsV1") == fields:
            entries.append(known[owner])
            continue
        entry: Json = {"manager": owner[0], "operation": owner[1], "apiVersion": writer.api_version}
        time = writer.time if owner == changed or owner not in known else known[owner].get("time", writer.time)
        entry |= {"time": time, "fieldsType": "FieldsV1", "fieldsV1": fields}
        entries.append(entry | ({"subresource": owner[2]} if owner[2] else {}))
    return entries


def _own_part(applied: Json, *, status: bool) -> Json:
    """What of an applied object the endpoint may write: its status, or all the rest; metadata in both."""
    return {key: value for key, value in applied.items() if key == "metadata" or (key == "status") == status}


def _merge_object(shape: Shape, live: Any, applied: Json) -> Json:
    merged: Json = dict(live) if isinstance(live, dict) else {}
    for key, value in applied.items():
        if isinstance(shape, Struct):
            merged[key] = _merge_value(shape.fields[key], merged.get(key), value, shape.name, key)
        else:
            inner = shape.value if isinstance(shape, Mapped) else Scalar("any")
            merged[key] = _merge_value(inner, merged.get(key), value, "", key)
    return merged


def _merge_value(shape: Shape, live: Any, value: Any, owner: str, field: str) -> Any:
    if isinstance(value, dict):
        atomic = (owner, field) in ATOMIC_MAPS or (isinstance(shape, Struct) and shape.name in ATOMIC_TYPES)
        return value if atomic else _merge_object(shape, live, value)
    kind = list_type(owner, field)
    if not isinstance(value, list) or not isinstance(shape, Listing) or not isinstance(live, list):
        return value
    if kind.set:
        return live + [item for item in value if item not in live]
    if not kind.map_keys:
        return value
    applied = {element_step(item, kind): item for item in value}
    merged = []
    for item in live:
        change = applied.pop(element_step(item, kind), None)
        merged.append(item if change is None else _merge_object(shape.item, item, change))
    return merged + list(applied.values())


def _conflict(taken: dict[Owner, set[Path]], live: Json, writer: Writer) -> ApiError:
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f'conflict with "{owner[0]}" using {writer.api_version}',
            "field": field_text(path),
        }
        for owner, paths in taken.items()
        for path in sorted(paths)
    ]
    fields = "; ".join(f"{cause['message']}: {cause['field']}" for cause in causes)
    message = f"Apply failed with {len(causes)} conflict{'s' if len(causes) > 1 else ''}: {fields}"
    details = {"name": live["metadata"]["name"], "causes": causes}
    return ApiError(409, "Conflict", message, details=details)
