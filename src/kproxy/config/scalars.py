"""Single values: what a YAML scalar says, and whether a field takes it."""

import json
import math

import msgspec
import yaml

from kproxy.config.duration import Duration, FlushInterval
from kproxy.config.problems import suggestion
from kproxy.config.schema import Field, Kind

Scalar = None | bool | int | float | str

_TAG = "tag:yaml.org,2002:"
_TRUE = {"yes", "true", "on"}
_MAX_DIGITS = 64
_SHOWN = 60
_INT64_MAX = 2**63 - 1

_REFUSED_CHOICES = {
    "kernelspace": "is the Windows proxy's mode; this proxy runs on Linux",
}


def read_scalar(node: yaml.ScalarNode) -> Scalar:
    """Return what a scalar means under YAML 1.1, as Kubernetes reads it.

    Raises:
        ValueError: its tag is not one of plain data, or does not fit its text.
    """
    text = str(node.value)
    match node.tag.removeprefix(_TAG):
        case "null":
            return None
        case "bool":
            return text.lower() in _TRUE
        case "int":
            if len(text) > _MAX_DIGITS:
                raise ValueError("is too long for a number")
            try:
                return int(yaml.constructor.SafeConstructor().construct_yaml_int(node))
            except (ValueError, IndexError):
                raise ValueError(f"{shown(text)} is not a whole number") from None
        case "float":
            try:
                return float(yaml.constructor.SafeConstructor().construct_yaml_float(node))
            except (ValueError, IndexError, OverflowError):
                raise ValueError(f"{shown(text)} is not a number") from None
        case "str" | "timestamp" | "value" | "merge":
            return text
    raise ValueError(f"has the YAML tag {shown(node.tag)}, which has no place here")


def check(field: Field, value: Scalar, written: str = "") -> object:
    """Return the value as the field stores it, or `msgspec.UNSET` where kube-proxy takes it for "not set".

    Args:
        field: a field of one of the scalar kinds, or STRINGS for one item of the list.
        value: what the file or the flag says.
        written: its text as written, for numbers that a string field takes (`hostnameOverride: 4711`).

    Raises:
        ValueError: with a message fit for a user.
    """
    match field.kind, value:
        case Kind.BOOLEAN, bool():
            return value
        case Kind.INTEGER, int() if not isinstance(value, bool):
            _check_bounds(field, value)
            return value
        case Kind.NUMBER, int() | float() if not isinstance(value, bool):
            if not math.isfinite(value):
                raise ValueError("must be finite")
            return float(value)
        case ((Kind.STRING | Kind.STRINGS), str()):
            return value
        case ((Kind.STRING | Kind.STRINGS), int() | float()) if not isinstance(value, bool):
            return written
        case Kind.DURATION, _:
            return _check_duration(field, value)
        case Kind.CHOICE, "":
            return msgspec.UNSET
        case Kind.CHOICE, str():
            return _check_choice(field, value)
    raise ValueError(f"expected {expectation(field)}, got {shown(value)}")


def expectation(field: Field) -> str:
    """Say what a field takes."""
    if field.kind is Kind.CHOICE:
        return " or ".join(field.choices)
    return Kind.STRING.value if field.kind is Kind.STRINGS else field.kind.value


def shown(value: object) -> str:
    """Quote a value for a message, on one line whatever is in it, and cut to a sensible length."""
    plain = msgspec.json.encode(value).decode()
    text = "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in plain)
    return text if len(text) <= _SHOWN else f'{text[:_SHOWN]}…"'


def _check_bounds(field: Field, value: int) -> None:
    low, high = field.minimum, field.maximum
    if low is not None and high is not None and not low <= value <= high:
        raise ValueError(f"must be between {low} and {high}, got {value}")


def _check_duration(field: Field, value: Scalar) -> str:
    if isinstance(value, str):
        try:
            return str(Duration.parse(value))
        except ValueError as error:
            raise ValueError(f"{shown(value)} {error}") from None
    if isinstance(value, int) and not isinstance(value, bool):
        if field.type is FlushInterval and abs(value) <= _INT64_MAX:
            return str(Duration(value))
        raise ValueError(f'expected {expectation(field)}, got the number {value}; for seconds write "{value}s"')
    raise ValueError(f"expected {expectation(field)}, got {shown(value)}")


def _check_choice(field: Field, value: str) -> str:
    if value in field.choices:
        return value
    if value in _REFUSED_CHOICES:
        raise ValueError(f"{value} {_REFUSED_CHOICES[value]}; use {expectation(field)}")
    raise ValueError(f"must be {expectation(field)}, got {shown(value)}{suggestion(value, field.choices)}")
