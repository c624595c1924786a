"""The fields of the configuration as data, read off the types once.

Decoding, flags, the reference and `config check` all work from this, so a field is described in one place: its type.
"""

import functools
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

import msgspec
import msgspec.structs

from kproxy.config.duration import Duration
from kproxy.config.sections import Section
from kproxy.config.types import KubeProxyConfiguration


class Kind(Enum):
    """What a field holds; the value is how a message calls it."""

    BOOLEAN = "true or false"
    INTEGER = "a whole number"
    NUMBER = "a number"
    STRING = "a string"
    DURATION = 'a duration such as "30s"'
    CHOICE = "one of the known words"
    STRINGS = "a list of strings"
    SECTIONS = "a list of mappings"
    SECTION = "a mapping"
    SWITCHES = "a mapping of names to true or false"


@dataclass(frozen=True, slots=True)
class Field:
    """One field of one section.

    `type` is the bare Python type (for SECTION and SECTIONS the section's class); `minimum` and `maximum` bound
    INTEGER fields; `default` is the value of a field that is not written.
    """

    name: str
    kind: Kind
    type: typing.Any
    description: str
    default: object
    minimum: int | None = None
    maximum: int | None = None
    choices: tuple[str, ...] = ()


@functools.cache
def fields_of(section: type[Section]) -> dict[str, Field]:
    """Return the fields of a section by the name a file uses."""
    return {info.encode_name: _field(info) for info in msgspec.structs.fields(section)}


def leaves(section: type[Section] = KubeProxyConfiguration, prefix: str = "") -> Iterator[tuple[str, Field]]:
    """Yield every field that holds a value, with its path (`iptables.masqueradeBit`), in the order of the types."""
    for field in fields_of(section).values():
        if field.kind is Kind.SECTION:
            yield from leaves(field.type, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, field


@functools.cache
def leaf(path: str) -> Field:
    """Return the field at a path.

    Raises:
        KeyError: there is none.
    """
    return dict(leaves())[path]


def value_at(configuration: KubeProxyConfiguration, path: str) -> object:
    """Return the value of the field at a path.

    Raises:
        KeyError: there is none.
    """
    value: object = configuration
    for attribute in attributes_of(path):
        value = getattr(value, attribute)
    return value


def attributes_of(path: str) -> tuple[str, ...]:
    """Return the names in Python that lead to the field at a path.

    Raises:
        KeyError: there is none.
    """
    return _attributes()[path]


@functools.cache
def _attributes() -> dict[str, tuple[str, ...]]:
    def walk(section: type[Section], prefix: str, trail: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
        for attribute, field in zip(section.__struct_fields__, fields_of(section).values(), strict=True):
            if field.kind is Kind.SECTION:
                yield from walk(field.type, f"{prefix}{field.name}.", (*trail, attribute))
            else:
                yield prefix + field.name, (*trail, attribute)

    return dict(walk(KubeProxyConfiguration, "", ()))


def _field(info: msgspec.structs.FieldInfo) -> Field:
    bare, *metas = typing.get_args(info.type)
    kind, bare = _classify(bare)
    description = minimum = maximum = None
    for meta in metas:
        if isinstance(meta, msgspec.Meta):
            description = meta.description or description
            minimum = meta.ge if meta.ge is not None else minimum
            maximum = meta.le if meta.le is not None else maximum
    return Field(
        name=info.encode_name,
        kind=kind,
        type=bare,
        description=description or "",
        default=info.default if info.default is not msgspec.NODEFAULT else info.default_factory(),
        minimum=None if minimum is None else int(minimum),
        maximum=None if maximum is None else int(maximum),
        choices=typing.get_args(bare) if kind is Kind.CHOICE else (),
    )


_SCALARS = {bool: Kind.BOOLEAN, int: Kind.INTEGER, float: Kind.NUMBER, str: Kind.STRING}


def _classify(annotation: typing.Any) -> tuple[Kind, typing.Any]:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in {types.UnionType, typing.Union}:
        return _classify(arguments[0])
    if origin is typing.Literal:
        return Kind.CHOICE, annotation
    if origin is dict:
        return Kind.SWITCHES, annotation
    if origin is tuple:
        return (Kind.STRINGS, str) if arguments[0] is str else (Kind.SECTIONS, arguments[0])
    if annotation in _SCALARS:
        return _SCALARS[annotation], annotation
    if issubclass(annotation, Duration):
        return Kind.DURATION, annotation
    return Kind.SECTION, annotation
