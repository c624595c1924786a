"""YAML as Kubernetes reads it: JSON's types only, so that a timestamp is a string."""

from collections.abc import Iterator
from typing import Any

import yaml


class _Loader(yaml.CSafeLoader):
    """PyYAML's safe loader without the timestamps of YAML 1.1."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def load_documents(text: str | bytes) -> Iterator[Any]:
    """The documents of a stream, empty ones left out; raises `yaml.YAMLError`."""
    return (document for document in yaml.load_all(text, Loader=_Loader) if document is not None)


def load_untrusted(text: str | bytes) -> Any:
    """The one document of a request's body; raises `yaml.YAMLError`.

    Aliases are refused: a few lines of them can stand for a tree that fills the memory.
    """
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not allowed")
    return yaml.load(text, Loader=_Loader)  # noqa: S506
