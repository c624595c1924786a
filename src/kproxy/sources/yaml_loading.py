"""YAML as Kubernetes' own tools read it, from files that nobody vouches for."""

from typing import Any

import yaml
from yaml.composer import Composer


class YamlLoader(Composer, yaml.CSafeLoader):
    """Scans in C, but composes in Python: deep nesting is a RecursionError here, and a crash in libyaml's binding.

    Dates stay text, as they do on their way through JSON.
    """

    def __init__(self, text: str | bytes) -> None:
        yaml.CSafeLoader.__init__(self, text)
        Composer.__init__(self)


YamlLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def load_yaml(text: str | bytes) -> Any:
    """Read one document. Raises yaml.YAMLError, ValueError or RecursionError."""
    return yaml.load(text, Loader=YamlLoader)  # noqa: S506  # a safe loader by its constructor
