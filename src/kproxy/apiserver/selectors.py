"""Label and field selectors: the text of `labelSelector=` and `fieldSelector=`, parsed to predicates.

The grammar is that of the API's documentation ("Labels and Selectors", "Field Selectors").
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from kproxy.apiserver.admission.formats import label_value_error, qualified_name_error
from kproxy.apiserver.errors import ApiError, bad_request
from kproxy.apiserver.resources import Resource
from kproxy.apiserver.stored import Key, StoredObject

Operator: TypeAlias = Literal["in", "notin", "exists", "absent", "gt", "lt"]

_TOKEN = re.compile(r"\s*(==|!=|[=!<>(),]|[^\s=!<>(),]+)")
_SET_OPERATORS: dict[str, Operator] = {"in": "in", "notin": "notin"}
_NUMBER_OPERATORS: dict[str, Operator] = {">": "gt", "<": "lt"}


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label (or field)."""

    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def matches(self, values: Mapping[str, str]) -> bool:
        value = values.get(self.key)
        match self.operator:
            case "in":
                return value is not None and value in self.values
            case "notin":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "absent":
                return value is None
        try:
            number, bound = int(value or ""), int(next(iter(self.values)))
        except ValueError:
            return False
        return number > bound if self.operator == "gt" else number < bound


def parse_label_selector(text: str) -> tuple[Requirement, ...]:
    """Raises `ApiError` 400 when the text is not a label selector; an empty one selects everything."""
    return _LabelParser(text).parse()


class _LabelParser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[str] = []
        position = 0
        while match := _TOKEN.match(text, position):
            self._tokens.append(match[1])
            position = match.end()
        if text[position:].strip():
            raise self._error(f"found '{text[position:].strip()}'")
        self._tokens.reverse()

    def parse(self) -> tuple[Requirement, ...]:
        requirements: list[Requirement] = []
        while self._tokens:
            requirements.append(self._requirement())
            if self._tokens:
                self._expect(",")
                if not self._tokens:
                    raise self._error("found '', expected: identifier after ','")
        return tuple(requirements)

    def _requirement(self) -> Requirement:
        if self._peek() == "!":
            self._tokens.pop()
            return Requirement(self._key(), "absent")
        key = self._key()
        operator = self._peek()
        if operator in ("", ","):
            return Requirement(key, "exists")
        self._tokens.pop()
        if operator in _SET_OPERATORS:
            return Requirement(key, _SET_OPERATORS[operator], self._values(key))
        value = self._value(key)
        if operator in ("=", "=="):
            return Requirement(key, "in", frozenset({value}))
        if operator == "!=":
            return Requirement(key, "notin", frozenset({value}))
        if operator in _NUMBER_OPERATORS:
            if not re.fullmatch(r"-?\d+", value):
                raise self._error(f"for 'Gt', 'Lt' operators, the value must be an integer, not '{value}'")
            return Requirement(key, _NUMBER_OPERATORS[operator], frozenset({value}))
        raise self._error(f"found '{operator}', expected: in, notin, =, ==, !=, gt, lt")

    def _values(self, key: str) -> frozenset[str]:
        self._expect("(")
        values = set()
        while True:
            values.add(self._value(key))
            separator = self._tokens.pop() if self._tokens else ""
            if separator == ")":
                return frozenset(values)
            if separator != ",":
                raise self._error(f"found '{separator}', expected: ',' or ')'")

    def _key(self) -> str:
        key = self._tokens.pop() if self._tokens else ""
        if problem := qualified_name_error(key):
            raise self._error(f"key '{key}': {problem}")
        return key

    def _value(self, key: str) -> str:
        value = "" if self._peek() in ("", ",", ")") else self._tokens.pop()
        if problem := label_value_error(value):
            raise self._error(f"value '{value}' of '{key}': {problem}")
        return value

    def _expect(self, token: str) -> None:
        found = self._tokens.pop() if self._tokens else ""
        if found != token:
            raise self._error(f"found '{found}', expected: '{token}'")

    def _peek(self) -> str:
        return self._tokens[-1] if self._tokens else ""

    def _error(self, what: str) -> ApiError:
        return bad_request(f"unable to parse requirement: {what} (in the label selector {self._text!r})")


def parse_field_selector(text: str, resource: Resource) -> tuple[Requirement, ...]:
    """Raises `ApiError` 400 when the text is no field selector or names a field that cannot be selected by."""
    known = {label: ".".join(path) for label, path in resource.selectable}
    known |= {"metadata.name": "metadata.name", "metadata.namespace": "metadata.namespace"}
    requirements = []
    for term in _split_terms(text):
        match = re.match(r"([^=!]*)(!=|==|=)(.*)", term, re.DOTALL)
        if match is None:
            raise bad_request(f"invalid field selector {text!r}: can't understand {term!r}")
        key, operator, value = match[1].strip(), match[2], re.sub(r"\\([\\,=])", r"\1", match[3])
        if key not in known:
            raise bad_request(f'field label not supported: "{key}"')
        requirements.append(Requirement(known[key], "notin" if operator == "!=" else "in", frozenset({value})))
    return tuple(requirements)


def _split_terms(text: str) -> list[str]:
    """Comma-separated terms, where a backslash keeps a comma in a value."""
    return [term for term in re.findall(r"((?:\\.|[^,\\])+)", text) if term.strip()]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects of a resource a list or a watch is about: a namespace ("" for all) and the selectors."""

    namespace: str = ""
    labels: tuple[Requirement, ...] = ()
    fields: tuple[Requirement, ...] = ()
    _names: tuple[Requirement, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        names = tuple(r for r in self.fields if r.key.startswith("metadata."))
        object.__setattr__(self, "_names", names)
        object.__setattr__(self, "fields", tuple(r for r in self.fields if r not in names))

    @property
    def filters(self) -> bool:
        """Whether a selector narrows the namespace down."""
        return bool(self.labels or self.fields or self._names)

    @property
    def single(self) -> Key | None:
        """The key of the one object that can match, when namespace and name are given."""
        name = next((r for r in self._names if r.key == "metadata.name" and r.operator == "in"), None)
        return (self.namespace, next(iter(name.values))) if name else None

    def matches(self, obj: StoredObject) -> bool:
        if self.namespace and obj.namespace != self.namespace:
            return False
        if self._names:
            names = {"metadata.name": obj.name, "metadata.namespace": obj.namespace}
            if not all(requirement.matches(names) for requirement in self._names):
                return False
        return all(requirement.matches(obj.labels) for requirement in self.labels) and all(
            requirement.matches(obj.fields) for requirement in self.fields
        )


EVERYTHING = Selection()
