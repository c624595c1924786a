"""Objects out of one manifest file, each problem with its line."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
import yaml

from kproxy.services.objects import EndpointSlice, KubeObject, Node, Service
from kproxy.sources.yaml_loading import YamlLoader

SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})

ObjectKey: TypeAlias = tuple[type[KubeObject], str, str]

_KINDS: Final[dict[str, tuple[str, type[KubeObject]]]] = {
    "Service": ("v1", Service),
    "EndpointSlice": ("discovery.k8s.io/v1", EndpointSlice),
    "Node": ("v1", Node),
}
_LISTS: Final = frozenset({"List", *(f"{kind}List" for kind in _KINDS)})
# The last part of a msgspec error: " - at `$.spec.ports[0].port`".
_ERROR_PATH: Final = re.compile(r"at `\$([^`]*)`$")
_PATH_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class Problem:
    """Why something in a file was left out."""

    line: int
    reason: str


@dataclass(slots=True)
class ManifestFile:
    """What a file holds; if it has problems, `objects` may lack some."""

    objects: dict[ObjectKey, KubeObject] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Document:
    """A mapping that should be an object, and how to find the line of a part of it."""

    content: Any
    node: yaml.Node | None

    def line(self, path: str = "") -> int:
        node = self.node
        if node is None:
            return 1
        line = node.start_mark.line
        for name, index in _PATH_STEP.findall(path):
            following = _child(node, name, index)
            if following is None:
                break
            node = following
            line = node.start_mark.line
        return int(line) + 1


def object_key(obj: KubeObject) -> ObjectKey:
    """What makes an object the same as another."""
    return type(obj), obj.metadata.namespace, obj.metadata.name


def parse_manifest(path: Path, text: str) -> ManifestFile:
    """Read all Services, EndpointSlices and Nodes in a file, `kind: List` included; other kinds are passed over.

    What the API server would fill in is filled in.
    """
    found = ManifestFile()
    try:
        for document in _documents(path, text):
            _add(document, found)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        found.problems.append(Problem(mark.line + 1 if mark else 1, error.problem or str(error)))
    except json.JSONDecodeError as error:
        found.problems.append(Problem(error.lineno, error.msg))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        found.problems.append(Problem(1, str(error)))
    return found


def _documents(path: Path, text: str) -> Iterator[_Document]:
    if path.suffix == ".json":
        yield from _expand(_Document(json.loads(text), None))
        return
    loader = YamlLoader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            yield from _expand(_Document(loader.construct_document(node), node))
    finally:
        loader.dispose()


def _expand(document: _Document) -> Iterator[_Document]:
    """Give a list's items, or the document itself."""
    content = document.content
    if content is None:
        return
    written = content.get("kind") if isinstance(content, dict) else None
    if not isinstance(written, str) or written not in _LISTS:
        yield document
        return
    items = content.get("items")
    if not isinstance(items, list):
        return
    kind = written.removesuffix("List")
    nodes = _child(document.node, "items", "") if document.node else None
    for position, item in enumerate(items):
        if kind and isinstance(item, dict):
            # Only a mixed List repeats the type at each item.
            item = {"apiVersion": content.get("apiVersion"), "kind": kind} | item
        yield _Document(item, _child(nodes, "", str(position)) if nodes else None)


def _add(document: _Document, found: ManifestFile) -> None:
    content = document.content
    if not isinstance(content, dict) or not isinstance(content.get("kind"), str):
        found.problems.append(Problem(document.line(), "not a Kubernetes object: it has no kind"))
        return
    kind = content["kind"]
    if kind not in _KINDS:
        return
    version, object_type = _KINDS[kind]
    if content.get("apiVersion") != version:
        reason = f"{kind} of apiVersion {content.get('apiVersion')}: only {version} is read"
        found.problems.append(Problem(document.line(), reason))
        return
    try:
        obj: KubeObject = msgspec.convert(_defaulted(kind, content), object_type)
    except msgspec.ValidationError as error:
        where = _ERROR_PATH.search(str(error))
        found.problems.append(Problem(document.line(where[1] if where else ""), f"{kind}: {error}"))
        return
    if not obj.metadata.name:
        found.problems.append(Problem(document.line(".metadata"), f"{kind} without a name"))
        return
    if found.objects.setdefault(object_key(obj), obj) is not obj:
        found.problems.append(Problem(document.line(), f"{kind} {obj.metadata.name} a second time"))


def _defaulted(kind: str, content: dict[Any, Any]) -> dict[Any, Any]:
    """Fill in what the API server would, for the fields that a proxy reads; what is malformed stays for the decoder."""
    filled = dict(content)
    metadata = content.get("metadata")
    if kind != "Node" and isinstance(metadata, dict) and not metadata.get("namespace"):
        filled["metadata"] = metadata | {"namespace": "default"}
    if kind == "Service" and isinstance(spec := content.get("spec"), dict):
        filled["spec"] = _defaulted_spec(spec)
    if kind == "EndpointSlice":
        filled["addressType"] = content.get("addressType") or _address_type(content.get("endpoints"))
        if isinstance(ports := content.get("ports"), list):
            filled["ports"] = [_without_nulls(port) for port in ports]
    return filled


def _defaulted_spec(spec: dict[Any, Any]) -> dict[Any, Any]:
    first, every = spec.get("clusterIP"), spec.get("clusterIPs")
    if isinstance(first, str) and first and not every:
        spec = spec | {"clusterIPs": [first]}
    elif isinstance(every, list) and every and not first:
        spec = spec | {"clusterIP": every[0]}
    if isinstance(ports := spec.get("ports"), list):
        spec = spec | {"ports": [_without_nulls(port) for port in ports]}
    return {name: value for name, value in spec.items() if value is not None}


def _without_nulls(value: Any) -> Any:
    """A null is an absent field to the API."""
    return {name: inner for name, inner in value.items() if inner is not None} if isinstance(value, dict) else value


def _address_type(endpoints: object) -> str:
    """The family of the first address; IPv4 where there is none."""
    try:
        address = endpoints[0]["addresses"][0]  # type: ignore[index]  # any shape is possible, and caught
    except (TypeError, IndexError, KeyError):
        return "IPv4"
    try:
        return f"IPv{ip_address(address).version}"
    except ValueError:
        return "FQDN"


def _child(node: yaml.Node, name: str, index: str) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == name), None)
    if isinstance(node, yaml.SequenceNode) and index and int(index) < len(node.value):
        entry: yaml.Node = node.value[int(index)]
        return entry
    return None
