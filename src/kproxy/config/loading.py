"""Configuration files: from bytes or a path to a configuration that can be used, or every reason why not."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from kproxy.config.decoding import Document, read_document
from kproxy.config.defaults import effective
from kproxy.config.duration import Duration
from kproxy.config.problems import ConfigError, Origin, Problem, locate
from kproxy.config.types import KubeProxyConfiguration
from kproxy.config.validation import validate
from kproxy.config.yaml_source import MAX_BYTES


@dataclass(frozen=True, slots=True)
class Loaded:
    """A usable configuration.

    `configuration` is effective (nothing is left to fill in) and valid; `warnings` are for the log; `origins` says by
    path where each value was written, and a path that is not in it has its default.
    """

    configuration: KubeProxyConfiguration
    warnings: tuple[Problem, ...]
    origins: Mapping[str, Origin]


def load_file(path: str | Path) -> Loaded:
    """Load a YAML or JSON file.

    Raises:
        ConfigError: it cannot be read or used.
    """
    return finish(read_file(path))


def load_bytes(data: bytes, source: str = "configuration") -> Loaded:
    """Load YAML or JSON; `source` names it in messages.

    Raises:
        ConfigError: it cannot be used.
    """
    return finish(read_document(data, source))


def read_file(path: str | Path) -> Document:
    """Read a file without judging more than its fields, for flags to be laid over it.

    Raises:
        ConfigError: it cannot be read, or is not one YAML mapping.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigError([Problem("", f"cannot be read: {reason}", Origin(str(path)))]) from error
    return read_document(data, str(path))


def finish(document: Document, explicit: Collection[str] = ()) -> Loaded:
    """Build the configuration of a document, fill it in and validate it.

    Args:
        document: as read; what is wrong with it is reported together with what validation finds.
        explicit: see `kproxy.config.defaults.effective`.

    Raises:
        ConfigError: with every problem found, in the order of the file.
    """
    configuration = build(document, explicit)
    findings = validate(configuration, document.origins)
    warnings = locate(findings.warnings, document.origins)
    errors = [*document.problems, *locate(_unreported(findings.errors, document), document.origins)]
    if errors:
        raise ConfigError(sorted(errors, key=_place), warnings)
    return Loaded(configuration, warnings, document.origins)


def build(document: Document, explicit: Collection[str] = ()) -> KubeProxyConfiguration:
    """Return the effective configuration of a document, unvalidated."""
    return effective(msgspec.convert(document.tree, KubeProxyConfiguration, dec_hook=_decode), explicit)


def _unreported(errors: Collection[Problem], document: Document) -> list[Problem]:
    """Leave out what follows from a refused value: such a value is missing from the tree."""
    refused = {problem.path for problem in document.problems}
    return [problem for problem in errors if not any(_concerns(path, problem.path) for path in refused)]


def _concerns(refused: str, path: str) -> bool:
    return path == refused or path.startswith((f"{refused}.", f"{refused}["))


def _place(problem: Problem) -> tuple[int, int]:
    return (problem.origin.line, problem.origin.column) if problem.origin else (0, 0)


def _decode(kind: type, value: object) -> object:
    if issubclass(kind, Duration) and isinstance(value, str):
        return kind.parse(value)
    raise NotImplementedError(kind)
