"""Statements that do something to the packet: marks, address translation, refusals, sets that learn."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from kproxy.inspect.rulesets.branch import Branch, Verdict
from kproxy.inspect.rulesets.nft.expressions import Drawn, Surroundings, evaluate
from kproxy.inspect.rulesets.nft.values import Value, read_scalar
from kproxy.inspect.rulesets.packet import format_endpoint
from kproxy.inspect.rulesets.understanding import NotUnderstoodError
from kproxy.services.addresses import Family, format_address


class Action(NamedTuple):
    """What a statement does, with some probability."""

    probability: float = 1.0
    changes: Mapping[str, object] = {}
    """Fields of the packet."""
    effect: str = ""
    """In words; empty: nothing worth telling."""
    verdict: Verdict | None = None
    about: str = ""


_SETTABLE = {"mark": "mark", "priority": "priority"}


def act(name: str, body: Any, branch: Branch, around: Surroundings) -> list[Action]:
    """What a statement may do; nothing when the rule ends here, as where a map lacks the key.

    Raises:
        NotUnderstoodError: the statement is not known
    """
    match name:
        case "mangle":
            return _mangle(body, branch, around)
        case "dnat":
            return _dnat(body, branch, around)
        case "redirect":
            raise NotUnderstoodError("redirect")
        case "snat":
            return [_snat(body, branch)]
        case "masquerade":
            changes = {"masquerade": True, "source_settled": True}
            return [Action(1.0, changes, "source becomes this node's address", Verdict.ACCEPT)]
        case "reject":
            words = body.get("expr", "") if isinstance(body, dict) else ""
            return [Action(effect=f"rejected ({words})" if words else "rejected", verdict=Verdict.REJECT)]
        case "set" | "map" | "update" | "add" | "delete":
            return [Action(effect=_learning(name, body))]
    raise NotUnderstoodError(f"the statement {name}")


def _learning(name: str, body: Any) -> str:
    """What a set learns of this packet counts for later ones."""
    if isinstance(body, str):
        operation, _, rest = body.partition(" ")
        target = rest.partition(" ")[0]
    elif isinstance(body, dict):
        operation, target = str(body.get("op", name)), str(body.get("set", body.get("map", "")))
    else:
        raise NotUnderstoodError(f"the statement {name}")
    return {"update": f"remembered in {target}", "add": f"remembered in {target}"}.get(
        operation, f"forgotten by {target}"
    )


def _mangle(body: Any, branch: Branch, around: Surroundings) -> list[Action]:
    match body:
        case {"key": {"meta": {"key": str(key)}}, "value": value} if key in _SETTABLE:
            field = _SETTABLE[key]
        case {"key": {"tcp option": _}}:
            return [Action()]  # as for its largest segment: not where it goes
        case _:
            raise NotUnderstoodError("sets something other than mark and priority")
    if not isinstance(value, dict):
        number = read_scalar(value, "mark" if key == "mark" else "classid")
        if not isinstance(number, int):
            raise NotUnderstoodError(f"{key} becomes {value!r}")
        return [Action(1.0, {field: number}, _described(key, number))]
    actions = []
    for drawn in evaluate(value, branch.packet, around):
        if not isinstance(drawn.value, int):
            raise NotUnderstoodError(f"{key} becomes {drawn.value!r}")
        effect = _described(key, drawn.value)
        actions.append(Action(drawn.probability, {field: drawn.value}, effect, about=drawn.comment))
    return actions


def _described(key: str, number: int) -> str:
    return f"mark becomes {number:#x}" if key == "mark" else f"priority becomes {number:#x}" if number else ""


def _dnat(body: Any, branch: Branch, around: Surroundings) -> list[Action]:
    if not isinstance(body, dict) or "addr" not in body:
        raise NotUnderstoodError("dnat without an address")
    packet = branch.packet
    type_ = "ipv4_addr" if packet.family is Family.IPV4 else "ipv6_addr"
    found: list[Drawn]
    if isinstance(body["addr"], dict):
        found = evaluate(body["addr"], packet, around)
    else:
        found = [Drawn(1.0, read_scalar(body["addr"], type_), type_)]
    actions = []
    for drawn in found:
        address, port = _target(drawn.value, body.get("port"), packet.port)
        changes = {"destination": address, "port": port, "redirected": True, "destination_settled": True}
        effect = f"destination becomes {format_endpoint(address, port)}"
        actions.append(Action(drawn.probability, changes, effect, Verdict.ACCEPT, drawn.comment))
    return actions


def _target(value: Value, port: Any, present: int) -> tuple[bytes, int]:
    match value:
        case (bytes(address), int(mapped)):
            return address, mapped
        case bytes(address) if port is None:
            return address, present
        case bytes(address) if isinstance(port, int):
            return address, port
    raise NotUnderstoodError(f"dnat to {value!r}, port {port!r}")


def _snat(body: Any, branch: Branch) -> Action:
    type_ = "ipv4_addr" if branch.packet.family is Family.IPV4 else "ipv6_addr"
    if not isinstance(body, dict) or not isinstance(body.get("addr"), str):
        raise NotUnderstoodError("snat to something other than one address")
    address = read_scalar(body["addr"], type_)
    if not isinstance(address, bytes):
        raise NotUnderstoodError(f"snat to {body['addr']!r}")
    changes = {"new_source": address, "source_settled": True}
    return Action(1.0, changes, f"source becomes {format_address(address)}", Verdict.ACCEPT)
