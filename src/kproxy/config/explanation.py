"""A configuration field by field: its value, where it came from, and what it does in the chosen mode."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kproxy.config.dump import to_full_tree
from kproxy.config.feature_gates import FEATURE_GATES
from kproxy.config.flags import CommandLine
from kproxy.config.loading import Loaded
from kproxy.config.problems import Origin
from kproxy.config.relevance import without_effect
from kproxy.config.schema import leaves


@dataclass(frozen=True, slots=True)
class Explanation:
    """One field. `value` is as a file writes it; without an `origin` it is a default."""

    path: str
    value: object
    origin: Origin | None
    effect: str
    has_effect: bool


def explain(loaded: Loaded | CommandLine) -> Iterator[Explanation]:
    """Explain every field of a file or a command line, in the order of the types; feature gates one by one."""
    tree = to_full_tree(loaded.configuration)
    warnings = {warning.path: warning.message for warning in loaded.warnings}
    for path, field in leaves():
        value = _at(tree, path)
        if path == "featureGates" and value:
            yield from _gates(value, loaded.origins, warnings)
            continue
        idle = without_effect(path, loaded.configuration)
        effect = idle or warnings.get(path) or field.description
        yield Explanation(path, value, loaded.origins.get(path), effect, idle is None)


def _gates(
    gates: Mapping[str, bool], origins: Mapping[str, Origin], warnings: Mapping[str, str]
) -> Iterator[Explanation]:
    for name, value in gates.items():
        path = f"featureGates.{name}"
        # A gate from a flag has the flag's origin, as the whole list has.
        origin = origins.get(path) or origins.get("featureGates")
        effect = warnings.get(path) or FEATURE_GATES[name].effect.value
        yield Explanation(path, value, origin, effect, path not in warnings)


def _at(tree: Mapping[str, Any], path: str) -> Any:
    value: Any = tree
    for name in path.split("."):
        value = value[name]
    return list(value) if isinstance(value, tuple) else value
