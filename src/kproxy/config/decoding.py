"""From YAML nodes to a tree of plain values, checked field by field against the types.

Every mistake is collected with its line, so that a file is corrected in one go. A value that is refused is left out
of the tree; `null` means "not set", as in Kubernetes.
"""

import functools
from dataclasses import dataclass, field
from typing import Any

import msgspec
import yaml

from kproxy.config.problems import Origin, Problem, suggestion
from kproxy.config.scalars import check, expectation, read_scalar, shown
from kproxy.config.schema import Field, Kind, fields_of, leaves
from kproxy.config.sections import Section
from kproxy.config.types import API_VERSION, KIND, KubeProxyConfiguration
from kproxy.config.yaml_source import compose_mapping, origin_of

_SHOWN_NAME = 64
_REMOVED = {
    "resourceContainer": "is gone from this API: whoever starts the proxy chooses its cgroup; remove it",
    "conntrack.max": "is gone from this API; use conntrack.maxPerCore and conntrack.min",
}


@dataclass(slots=True)
class Document:
    """What a source says, before defaults and validation.

    `tree` has the shape of the file, `origins` says by path where each value was written ("" is the whole document).
    """

    source: str
    tree: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, Origin] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def section(self, path: str) -> dict[str, Any]:
        """The mapping at a path, made if it is not there; the root for an empty one."""
        tree = self.tree
        for name in filter(None, path.split(".")):
            tree = tree.setdefault(name, {})
        return tree

    def put(self, path: str, value: object, origin: Origin) -> None:
        """Set a field, over whatever was written."""
        section, _, name = path.rpartition(".")
        self.section(section)[name] = value
        self.origins[path] = origin


def read_document(data: bytes, source: str) -> Document:
    """Read a whole file.

    Raises:
        ConfigError: it is not one YAML mapping. Everything else ends up in the document's problems.
    """
    root = compose_mapping(data, source)
    document = Document(source, origins={"": origin_of(root, source)})
    if _check_identity(root, document):
        document.tree = _Reader(document).section(KubeProxyConfiguration, root, "")
    return document


def _check_identity(root: yaml.MappingNode, document: Document) -> bool:
    """Check apiVersion and kind first: against another schema every other finding would be noise."""
    written = {key.value: value for key, value in root.value if isinstance(key, yaml.ScalarNode)}
    for name, expected in (("apiVersion", API_VERSION), ("kind", KIND)):
        node = written.get(name)
        if node is None or (isinstance(node, yaml.ScalarNode) and not node.value):
            document.problems.append(Problem(name, f"is missing; expected {expected}", document.origins[""]))
        elif not isinstance(node, yaml.ScalarNode) or node.value != expected:
            got = shown(node.value) if isinstance(node, yaml.ScalarNode) else _kind_of(node)
            document.problems.append(Problem(name, f"must be {expected}, got {got}", origin_of(node, document.source)))
    return not document.problems


class _Reader:
    def __init__(self, document: Document) -> None:
        self._document = document

    def section(self, section: type[Section], node: yaml.Node, path: str) -> dict[str, object]:
        """Read a mapping; `path` is its own, empty for the root."""
        fields = fields_of(section)
        tree: dict[str, object] = {}
        for name, key, value_node in self._entries(node, path):
            child = _child(path, name)
            known = fields.get(name)
            if known is None:
                self._problem(key, child, _unknown(name, child, tuple(fields)))
                continue
            value = self._value(known, value_node, child)
            if value is not msgspec.UNSET:
                tree[name] = value
                self._document.origins[child] = origin_of(key, self._document.source)
        return tree

    def _entries(self, node: yaml.Node, path: str) -> list[tuple[str, yaml.Node, yaml.Node]]:
        """Return name, key and value of each entry of a mapping, reporting what is not a plain, single key."""
        if not isinstance(node, yaml.MappingNode):
            self._problem(node, path, f"expected a mapping, got {_kind_of(node)}")
            return []
        entries: dict[str, tuple[str, yaml.Node, yaml.Node]] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._problem(key, path, f"a field's name must be a word, not {_kind_of(key)}")
            elif key.tag == "tag:yaml.org,2002:merge":
                self._problem(key, path, 'merge keys ("<<") are not supported; write the fields out')
            elif key.value in entries:
                first = origin_of(entries[key.value][1], self._document.source).line
                self._problem(key, _child(path, str(key.value)), f"is written twice, first on line {first}")
            else:
                entries[key.value] = (str(key.value), key, value)
        return list(entries.values())

    def _value(self, known: Field, node: yaml.Node, path: str) -> object:
        if isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null":
            return msgspec.UNSET
        match known.kind:
            case Kind.SECTION:
                return self.section(known.type, node, path)
            case Kind.SWITCHES:
                return self._switches(node, path)
            case Kind.STRINGS | Kind.SECTIONS:
                return self._items(known, node, path)
        return self._scalar(known, node, path)

    def _scalar(self, known: Field, node: yaml.Node, path: str) -> object:
        if not isinstance(node, yaml.ScalarNode):
            self._problem(node, path, f"expected {expectation(known)}, got {_kind_of(node)}")
            return msgspec.UNSET
        try:
            return check(known, read_scalar(node), str(node.value))
        except ValueError as error:
            self._problem(node, path, str(error))
            return msgspec.UNSET

    def _items(self, known: Field, node: yaml.Node, path: str) -> object:
        if not isinstance(node, yaml.SequenceNode):
            self._problem(node, path, f"expected {known.kind.value}, got {_kind_of(node)}")
            return msgspec.UNSET
        items: list[object] = []
        for index, item in enumerate(node.value):
            child = f"{path}[{index}]"
            self._document.origins[child] = origin_of(item, self._document.source)
            if known.kind is Kind.SECTIONS:
                items.append(self.section(known.type, item, child))
            else:
                items.append(self._scalar(known, item, child))
        # Without the refused ones the others would be counted wrongly in what validation says.
        return msgspec.UNSET if msgspec.UNSET in items else items

    def _switches(self, node: yaml.Node, path: str) -> dict[str, object]:
        switches: dict[str, object] = {}
        for name, key, value_node in self._entries(node, path):
            child = _child(path, name)
            value = self._scalar(_SWITCH, value_node, child)
            if value is not msgspec.UNSET:
                switches[name] = value
                self._document.origins[child] = origin_of(key, self._document.source)
        return switches

    def _problem(self, node: yaml.Node, path: str, message: str) -> None:
        self._document.problems.append(Problem(path, message, origin_of(node, self._document.source)))


_SWITCH = Field(name="", kind=Kind.BOOLEAN, type=bool, description="", default=False)


def _child(path: str, name: str) -> str:
    # Names come from the file: one with a line break in it must not break a problem's line.
    printable = name if name.isprintable() and len(name) <= _SHOWN_NAME else shown(name)
    return f"{path}.{printable}" if path else printable


def _kind_of(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    return "a list" if isinstance(node, yaml.SequenceNode) else shown(node.value)


def _unknown(name: str, path: str, siblings: tuple[str, ...]) -> str:
    if path in _REMOVED:
        return _REMOVED[path]
    elsewhere = _paths_by_name().get(name)
    if elsewhere:
        return f"unknown field here; it belongs at {' or '.join(elsewhere)}"
    return f"unknown field{suggestion(name, siblings)}"


@functools.cache
def _paths_by_name() -> dict[str, list[str]]:
    paths: dict[str, list[str]] = {}
    for path, _ in leaves():
        paths.setdefault(path.rpartition(".")[2], []).append(path)
    return paths
