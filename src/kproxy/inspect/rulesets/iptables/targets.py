"""What targets do to a packet."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from kproxy.inspect.rulesets.branch import Verdict
from kproxy.inspect.rulesets.packet import Packet, format_endpoint
from kproxy.inspect.rulesets.understanding import NotUnderstoodError
from kproxy.services.addresses import format_address, parse_address


class Deed(NamedTuple):
    """What a target does."""

    changes: Mapping[str, object]
    effect: str
    verdict: Verdict | None
    """None: the next rule is asked."""


INERT = frozenset({"", "CHECKSUM", "LOG", "NFLOG", "TCPMSS", "TRACE", "ULOG"})
"""Targets that change nothing about where a packet goes; without one, a rule counts."""


def apply(target: str, options: Sequence[str], packet: Packet) -> Deed:
    """Say what a target does, other than a chain.

    Raises:
        NotUnderstoodError: it is not known
    """
    values = _values(options)
    match target:
        case "ACCEPT":
            return Deed({}, "accepted", Verdict.ACCEPT)
        case "DROP":
            return Deed({}, "dropped", Verdict.DROP)
        case "REJECT":
            return Deed({}, f"rejected ({values.get('--reject-with', 'icmp-port-unreachable')})", Verdict.REJECT)
        case "MARK":
            mark = _mark(values, packet.mark)
            return Deed({"mark": mark}, f"mark becomes {mark:#x}", None)
        case "DNAT":
            address, port = _endpoint(values.get("--to-destination", ""), packet.port)
            changes = {"destination": address, "port": port, "redirected": True, "destination_settled": True}
            return Deed(changes, f"destination becomes {format_endpoint(address, port)}", Verdict.ACCEPT)
        case "MASQUERADE":
            changes = {"masquerade": True, "source_settled": True}
            return Deed(changes, "source becomes this node's address", Verdict.ACCEPT)
        case "SNAT":
            address, _ = _endpoint(values.get("--to-source", ""), 0)
            changes = {"new_source": address, "source_settled": True}
            return Deed(changes, f"source becomes {format_address(address)}", Verdict.ACCEPT)
        case _ if target in INERT:
            return Deed({}, "", None)
    raise NotUnderstoodError(f"the target {target}")


def _values(options: Sequence[str]) -> dict[str, str]:
    """Options and the argument behind each; empty for those without."""
    found: dict[str, str] = {}
    last = ""
    for word in options:
        if word.startswith("--"):
            last = word
            found[last] = ""
        elif last:
            found[last] = word
    return found


def _mark(values: Mapping[str, str], mark: int) -> int:
    """`--set-xmark value/mask`: clear the mask's bits, then flip the value's (xt_mark)."""
    for option in ("--set-xmark", "--set-mark"):
        if option in values:
            value, _, mask = values[option].partition("/")
            bits = int(mask, 0) if mask else 0xFFFFFFFF
            number = int(value, 0)
            return (mark & ~bits & 0xFFFFFFFF) ^ number if option == "--set-xmark" else mark & ~bits | number
    raise NotUnderstoodError(f"MARK {' '.join(values)}")


def _endpoint(text: str, port: int) -> tuple[bytes, int]:
    host, bracket, rest = text.rpartition("]") if text.startswith("[") else ("", "", "")
    if bracket:
        host, number = host[1:], rest.removeprefix(":")
    elif text.count(":") == 1:
        host, _, number = text.partition(":")
    else:
        host, number = text, ""
    address = parse_address(host)
    if address is None or (number and not number.isdecimal()):
        raise NotUnderstoodError(f"the destination {text!r}")
    return address, int(number) if number else port
