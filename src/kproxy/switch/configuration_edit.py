"""Edits of a YAML or JSON document that leave everything else as it was written, comments included.

A parser says where each value stands; only those characters are replaced. What results is parsed again and held
against the wanted tree before anybody gets it.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import yaml

from kproxy.sources.yaml_loading import YamlLoader, load_yaml

Value: TypeAlias = str | bool | int
Edits: TypeAlias = Mapping[tuple[str, ...], Value]
"""What to set, by the path of keys."""


class EditError(Exception):
    """The document cannot be edited; the message says why."""


def edit(text: str, edits: Edits) -> str:
    """Set fields of a document.

    Args:
        text: one YAML or JSON mapping
        edits: fields to set; those that are there are replaced, others are added

    Raises:
        EditError: it is no mapping, or a field's parent is none
    """
    for path, value in edits.items():
        wanted = _with(_tree(text), path, value)
        text = _set(text, path, value)
        if _tree(text) != wanted:
            raise EditError(f"{'.'.join(path)} cannot be set in this document: its form is not understood")
    return text


def get(text: str, path: Sequence[str]) -> Any:
    """The value at a path; None when there is none.

    Raises:
        EditError: it is no mapping
    """
    found: Any = _tree(text)
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def _tree(text: str) -> dict[str, Any]:
    try:
        tree = load_yaml(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise EditError(f"not YAML: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(tree, dict):
        raise EditError("not a mapping")
    return tree


def _with(tree: dict[str, Any], path: tuple[str, ...], value: Value) -> dict[str, Any]:
    key, *rest = path
    if not rest:
        return {**tree, key: value}
    child = tree.get(key)
    if child is not None and not isinstance(child, dict):
        raise EditError(f"{key} is not a mapping")
    return {**tree, key: _with(child or {}, tuple(rest), value)}


def _set(text: str, path: tuple[str, ...], value: Value) -> str:
    node = yaml.compose(text, Loader=YamlLoader)
    for depth, key in enumerate(path):
        if not isinstance(node, yaml.MappingNode):
            break
        found = next((child for name, child in node.value if name.value == key), None)
        if found is None:
            return _insert(text, node, path[depth:], value)
        if depth == len(path) - 1 or not isinstance(found, yaml.MappingNode):
            return _replace(text, node, found, path[depth + 1 :], value)
        node = found
    raise EditError(f"{'.'.join(path)} cannot be set: its parent is not a mapping")


def _replace(text: str, parent: yaml.MappingNode, node: yaml.Node, rest: tuple[str, ...], value: Value) -> str:
    """Put a value in another's place; what is left of the path below it is made."""
    start, end = node.start_mark.index, node.end_mark.index
    # A block scalar's text includes the line end behind it.
    tail = "\n" if text[start:end].endswith("\n") else ""
    if rest and not parent.flow_style:
        written = "\n" + _block(rest, value, _indent_of(parent) + 2).rstrip("\n")
        return text[:start].rstrip(" ") + written + tail + text[end:]
    return text[:start].rstrip() + " " + _flow(rest, value) + tail + text[end:]


def _insert(text: str, mapping: yaml.MappingNode, path: tuple[str, ...], value: Value) -> str:
    if mapping.flow_style:
        start = mapping.start_mark.index + 1
        comma = ", " if mapping.value else ""
        return text[:start] + f"{json.dumps(path[0])}: {_flow(path[1:], value)}{comma}" + text[start:]
    # Before the first key, where the indentation is known and nothing of the value before can follow.
    start = mapping.value[0][0].start_mark.index if mapping.value else mapping.start_mark.index
    indent = _indent_of(mapping)
    return text[:start] + _block(path, value, indent).lstrip(" ") + " " * indent + text[start:]


def _indent_of(mapping: yaml.MappingNode) -> int:
    return int(mapping.value[0][0].start_mark.column if mapping.value else mapping.start_mark.column)


def _block(path: tuple[str, ...], value: Value, indent: int) -> str:
    lines = [f"{' ' * (indent + 2 * depth)}{key}:" for depth, key in enumerate(path)]
    lines[-1] += f" {json.dumps(value)}"
    return "\n".join(lines) + "\n"


def _flow(path: tuple[str, ...], value: Value) -> str:
    """As JSON, which every YAML value can be."""
    inner: Any = value
    for key in reversed(path):
        inner = {key: inner}
    return json.dumps(inner)
