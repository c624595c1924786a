"""The reference of all fields as Markdown, written from the types."""

from collections.abc import Iterator

import msgspec

from kproxy.config.defaults import effective
from kproxy.config.dump import to_full_tree
from kproxy.config.flag_table import flags
from kproxy.config.relevance import without_effect
from kproxy.config.schema import Field, Kind, fields_of, leaf, leaves
from kproxy.config.types import KubeProxyConfiguration

_KINDS = {
    Kind.BOOLEAN: "true or false",
    Kind.INTEGER: "whole number",
    Kind.NUMBER: "number",
    Kind.STRING: "string",
    Kind.DURATION: "duration",
    Kind.STRINGS: "list of strings",
    Kind.SECTIONS: "list of mappings",
    Kind.SWITCHES: "mapping of names to true or false",
}


def reference() -> str:
    """Return a table of every field: what it takes, its default, its flag, the modes that heed it, and what it does."""
    lines = ["| field | takes | default | flag | modes | |", "|---|---|---|---|---|---|"]
    lines += [f"| {' | '.join(_escaped(cell) for cell in row)} |" for row in _rows()]
    return "\n".join(lines) + "\n"


def _rows() -> Iterator[tuple[str, ...]]:
    by_path = {flag.path: f"`--{flag.name}`" for flag in flags().values() if flag.path}
    every = leaf("mode").choices
    for path, field in leaves():
        modes = [mode for mode in every if _has_effect(path, mode)]
        shown = "all" if len(modes) == len(every) else ", ".join(modes) or "none"
        default = _default(path, (*modes, *every)[0])
        yield f"`{path}`", _taken(field), _shown(default), by_path.get(path, ""), shown, field.description
        if field.kind is Kind.SECTIONS:
            for inner in fields_of(field.type).values():
                yield f"`{path}[].{inner.name}`", _taken(inner), _shown(inner.default), "", "all", inner.description


def _has_effect(path: str, mode: str) -> bool:
    """Whether a field does something in a mode, whatever else must be set for that."""
    return any(
        without_effect(path, _configured(mode=mode, detectLocalMode=local_mode, logging={"format": log_format})) is None
        for local_mode in leaf("detectLocalMode").choices
        for log_format in leaf("logging.format").choices
    )


def _default(path: str, mode: str) -> object:
    value: object = to_full_tree(effective(_configured(mode=mode)))
    for name in path.split("."):
        value = value[name] if isinstance(value, dict) else value
    return value


def _configured(**tree: object) -> KubeProxyConfiguration:
    return msgspec.convert(tree, KubeProxyConfiguration)


def _taken(field: Field) -> str:
    if field.kind is Kind.CHOICE:
        return ", ".join(f"`{choice}`" for choice in field.choices)
    bounds = f", {field.minimum} to {field.maximum}" if field.minimum is not None else ""
    return _KINDS[field.kind] + bounds


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`" if value not in ("", None, (), [], {}) else ""


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")
