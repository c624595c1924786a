"""YAML as Kubernetes' own tools read it, from files that nobody vouches for."""

from typing import Any

import yaml
from yaml.composer import Composer

# What PyYAML's constructors raise, beside its own errors, for text that does not fit the tag it was given.
_MISFITS = (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError)


class YamlLoader(Composer, yaml.CSafeLoader):
    """Scans in C, but composes in Python: deep nesting is a RecursionError here, and a crash in libyaml's binding.

    Dates stay text, as they do on their way through JSON.
    """

    def __init__(self, text: str | bytes) -> None:
        yaml.CSafeLoader.__init__(self, text)
        Composer.__init__(self)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Make a node's value. The error for a bad one does not show it: it may be a secret."""
        try:
            return super().construct_object(node, deep)
        except _MISFITS as error:
            problem = f"the value does not fit its tag {node.tag}"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from error


YamlLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def load_yaml(text: str | bytes) -> Any:
    """Read one document. Raises yaml.YAMLError, ValueError or RecursionError."""
    return yaml.load(text, Loader=YamlLoader)  # noqa: S506  # a safe loader by its constructor
