"""What the text of a flag means: pflag's value types, checked against the field the flag sets."""

import csv
import re
from collections.abc import Callable

from kproxy.config.addresses import parse_address, parse_endpoint
from kproxy.config.flag_table import Flag, FlagType
from kproxy.config.scalars import check, shown
from kproxy.config.schema import leaf

_TRUE = {"1", "t", "T", "true", "TRUE", "True"}
_FALSE = {"0", "f", "F", "false", "FALSE", "False"}
_INTEGER = re.compile(r"[+-]?(0[xX][0-9a-fA-F]{1,16}|0[bB][01]{1,64}|0[oO]?[0-7]{1,22}|[1-9][0-9]{0,18}|0)")
_MAX_LEVEL = 2**31 - 1


def parse_value(flag: Flag, text: str) -> object:
    """Return the value that a flag's text stands for, as a tree of the configuration holds it.

    Raises:
        ValueError: with a message fit for a user.
    """
    match flag.type:
        case FlagType.BOOL:
            return _boolean(text)
        case FlagType.STRING_SLICE:
            return _strings(text)
        case FlagType.GATES:
            return _gates(text)
        case FlagType.VMODULE:
            return _vmodule(text)
        case FlagType.IP:
            _quoted(text, parse_address)
        case FlagType.IP_PORT:
            _quoted(text, _parse_address_or_endpoint)
        case FlagType.INT32:
            return check(leaf(flag.path), _integer(text))
        case FlagType.FLOAT32:
            return check(leaf(flag.path), _number(text))
    return check(leaf(flag.path), text) if flag.path else text


def _boolean(text: str) -> bool:
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError(f"expected true or false, got {shown(text)}")


def _integer(text: str) -> int:
    written = _INTEGER.fullmatch(text)
    if not written:
        raise ValueError(f"expected a whole number, got {shown(text)}")
    digits = text.lstrip("+-")
    # A leading zero alone marks octal, as in Go and C.
    base = 8 if len(digits) > 1 and digits[0] == "0" and digits[1].isdecimal() else 0
    return int(text, base)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"expected a number, got {shown(text)}") from None


def _strings(text: str) -> list[str]:
    """A comma-separated list in which double quotes protect commas (pflag reads it as a line of CSV)."""
    if not text:
        return []
    try:
        rows = list(csv.reader([text], strict=True))
    except csv.Error as error:
        raise ValueError(f"{shown(text)} is not a comma-separated list: {error}") from None
    return rows[0] if rows else []


def _gates(text: str) -> dict[str, bool]:
    gates: dict[str, bool] = {}
    for entry in filter(None, text.split(",")):
        name, equals, value = entry.partition("=")
        if not equals or not name.strip():
            raise ValueError(f"expected Name=true or Name=false, got {shown(entry)}")
        gates[name.strip()] = _boolean(value.strip())
    return gates


def _vmodule(text: str) -> list[dict[str, object]]:
    items: list[dict[str, object]] = []
    for entry in filter(None, text.split(",")):
        pattern, _, level = entry.partition("=")
        if not pattern or not (level.isascii() and level.isdecimal() and len(level) <= 10):
            raise ValueError(f"expected pattern=N, got {shown(entry)}")
        if int(level) > _MAX_LEVEL:
            raise ValueError(f"must have a verbosity of at most {_MAX_LEVEL}, got {level}")
        items.append({"filePattern": pattern, "verbosity": int(level)})
    return items


def _parse_address_or_endpoint(text: str) -> None:
    try:
        parse_address(text)
    except ValueError:
        parse_endpoint(text)


def _quoted(text: str, parse: Callable[[str], object]) -> None:
    if text:
        try:
            parse(text)
        except ValueError as error:
            raise ValueError(f"{shown(text)} {error}") from None
