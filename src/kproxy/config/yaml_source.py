"""From bytes to one YAML mapping whose nodes know their line. JSON is read as the YAML it is.

The parser is libyaml where it is there. It recurses in C while composing, so the depth is checked on its (flat) event
stream first: a file of brackets must be an error, not a crash.
"""

import re
from collections.abc import Iterator
from typing import Any, NoReturn

import yaml

from kproxy.config.problems import ConfigError, Origin, Problem

MAX_BYTES = 1 << 20
"""The largest file read: what a ConfigMap can hold."""
_MAX_DEPTH = 32

_EXPONENT = re.compile(r"[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?[eE][-+]?[0-9]+\Z")

_BaseLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def resolve_exponents(kind: Any) -> None:
    """Let a loader or dumper class take `1e3` for a number, as JSON and Go's YAML do and PyYAML does not."""
    kind.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+0123456789"))


class _Loader(_BaseLoader):  # type: ignore[misc]
    """A loader of our own, so that its resolvers can be."""


resolve_exponents(_Loader)


def compose_mapping(data: bytes, source: str) -> yaml.MappingNode:
    """Return the root mapping of the only document.

    Raises:
        ConfigError: not UTF-8, not YAML, too large, too deep, empty, several documents, or not a mapping.
    """
    text = _decode(data, source)
    try:
        _check_depth(text, source)
        documents = [node for node in _compose_all(text) if not _is_empty(node)]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        _fail(f"not valid YAML: {error.problem or error.context}", source, *_position(mark))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, int(error.position)) + 1
        _fail(f"not valid YAML: character #x{_code(error.character):04x} is not allowed", source, line)
    except (yaml.YAMLError, UnicodeError, ValueError) as error:
        _fail(f"not valid YAML: {' '.join(str(error).split())}", source)
    if not documents:
        _fail("is empty; a configuration needs at least apiVersion and kind", source, 1)
    if len(documents) > 1:
        _fail("holds several documents; exactly one is allowed", source, *_position(documents[1].start_mark))
    root = documents[0]
    if not isinstance(root, yaml.MappingNode):
        _fail("must be a mapping of field names to values", source, *_position(root.start_mark))
    return root


def origin_of(node: yaml.Node, source: str) -> Origin:
    """Return where a node begins."""
    return Origin(source, *_position(node.start_mark))


def _decode(data: bytes, source: str) -> str:
    if len(data) > MAX_BYTES:
        _fail(f"is larger than {MAX_BYTES} bytes", source)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        _fail("is not UTF-8 text", source, data.count(b"\n", 0, error.start) + 1)


def _check_depth(text: str, source: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _MAX_DEPTH:
                _fail(f"is nested more than {_MAX_DEPTH} levels deep", source, *_position(event.start_mark))
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _compose_all(text: str) -> Iterator[yaml.Node]:
    yield from yaml.compose_all(text, Loader=_Loader)


def _is_empty(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _position(mark: Any) -> tuple[int, int]:
    # Either parser has a mark type of its own; both have these two attributes.
    return (mark.line + 1, mark.column + 1) if mark else (0, 0)


def _code(character: int | str) -> int:
    return ord(character) if isinstance(character, str) else character


def _fail(message: str, source: str, line: int = 0, column: int = 0) -> NoReturn:
    raise ConfigError([Problem("", message, Origin(source, line, column))])
