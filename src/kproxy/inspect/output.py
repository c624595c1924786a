"""How the operators' commands answer: to people with colour, to programs as JSON or YAML, to scripts by exit status."""

import enum
import sys
from collections.abc import Callable

import msgspec
from rich.console import Console


class Format(enum.StrEnum):
    """The values of `-o`."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


class ExitStatus(enum.IntEnum):
    """What a command found."""

    FINE = 0
    FOUND = 1
    """It worked, and found something that is not as it should be."""
    FAILED = 2
    """It could not find out."""


class InspectionError(Exception):
    """A command cannot do what was asked; the message is one line for a person."""


def emit(report: msgspec.Struct, format_: Format, show: Callable[[Console], None]) -> None:
    """Write a report to standard output.

    Args:
        report: what programs get
        format_: which of the formats
        show: writes the same for people; colour is left out where the output is no terminal
    """
    match format_:
        case Format.JSON:
            sys.stdout.write(msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n")
        case Format.YAML:
            sys.stdout.write(msgspec.yaml.encode(report).decode())
        case Format.TABLE:
            # Piped output is not cut at a terminal's width that nobody has.
            console = Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=200)
            show(console)


def complain(message: str) -> None:
    """Tell a person what went wrong, on standard error."""
    sys.stderr.write(f"{message}\n")
