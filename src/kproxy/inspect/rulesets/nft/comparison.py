"""Matches: whether a packet is what a rule asks for, possibly only with some probability."""

from typing import Any

from kproxy.inspect.rulesets.nft.expressions import Surroundings, evaluate
from kproxy.inspect.rulesets.nft.sets import NftSet
from kproxy.inspect.rulesets.nft.values import Interval, Scalar, fits, read_pattern
from kproxy.inspect.rulesets.packet import Packet
from kproxy.inspect.rulesets.understanding import NotUnderstoodError


def matches(match: Any, packet: Packet, around: Surroundings) -> float:
    """The probability with which a packet passes a match.

    Raises:
        NotUnderstoodError: the match, or something in it, is not known
        OtherProtocolError: it is about packets of another protocol
    """
    try:
        operator, left, right = match["op"], match["left"], match["right"]
    except (TypeError, KeyError):
        raise NotUnderstoodError(f"the match {match!r}") from None
    match left:
        case {"ct": {"key": ("state" | "status") as key}}:
            return 1.0 if _has_state(_states(key, packet), operator, right) else 0.0
        case {"tcp option": _} | {"exthdr": _}:
            raise NotUnderstoodError("depends on header options")
    probability = 0.0
    for drawn in evaluate(left, packet, around):
        if isinstance(drawn.value, tuple):
            equal = _in_set(drawn.value, drawn.type, right, around)
        else:
            equal = _equal(drawn.value, drawn.type, right, around)
        if _holds(operator, equal, drawn.value, right):
            probability += drawn.probability
    return min(probability, 1.0)


def _states(key: str, packet: Packet) -> set[str]:
    if key == "state":
        return {"new"}
    return {*(["dnat"] if packet.destination_translated else []), *(["snat"] if packet.source_translated else [])}


def _has_state(states: set[str], operator: str, right: Any) -> bool:
    words = right.get("set") if isinstance(right, dict) else right
    named = words if isinstance(words, list) else [words]
    if not all(isinstance(word, str) for word in named):
        raise NotUnderstoodError(f"the states {right!r}")
    has = bool(states & set(named))
    if operator in ("in", "=="):
        return has
    if operator == "!=":
        return not has
    raise NotUnderstoodError(f"the comparison {operator} of states")


def _holds(operator: str, equal: bool, value: object, right: Any) -> bool:
    match operator:
        case "==" | "in":
            return equal
        case "!=":
            return not equal
        case "<" | ">" | "<=" | ">=" if isinstance(value, int) and isinstance(right, int):
            below, above = value < right, value > right
            return {"<": below, ">": above, "<=": not above, ">=": not below}[operator]
    raise NotUnderstoodError(f"the comparison {operator}")


def _equal(value: Scalar, type_: str, right: Any, around: Surroundings) -> bool:
    match right:
        case str() if right.startswith("@"):
            return _in_set(value, type_, right, around)
        case {"set": list(elements)}:
            return NftSet("", [type_], elements, ()).find(value) is not None
        case list():
            return any(_equal(value, type_, each, around) for each in right)
    pattern = read_pattern(right, type_)
    if isinstance(pattern, Interval) and not isinstance(value, type(pattern.first)):
        raise NotUnderstoodError(f"the comparison with {right!r}")
    return fits(value, pattern)


def _in_set(value: Any, type_: str, right: Any, around: Surroundings) -> bool:
    match right:
        case str() if right in around.sets:
            return around.sets[right].find(value) is not None
        case {"set": list(elements)}:
            return NftSet("", type_.split(" . "), elements, ()).find(value) is not None
        case {"concat": _}:
            return NftSet("", type_.split(" . "), [right], ()).find(value) is not None
    raise NotUnderstoodError(f"there is no {right!r}")
