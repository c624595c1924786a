"""Tests of rules, applied to a packet: the probability with which it passes."""

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple, Protocol

from kproxy.inspect.rulesets.iptables.saved import Condition, Rule
from kproxy.inspect.rulesets.packet import PROTOCOL_NUMBERS, Packet
from kproxy.inspect.rulesets.routes import Routes, address_type
from kproxy.inspect.rulesets.understanding import NotUnderstoodError
from kproxy.services.addresses import Address, parse_address, parse_network


class Sets(Protocol):
    """The ipsets that rules look into."""

    def matches(self, name: str, directions: str, packet: Packet) -> bool:
        """Whether the packet is in a set.

        Raises:
            NotUnderstoodError: no such set, or one of a type that is not known
        """


class Surroundings(NamedTuple):
    """What a test may refer to beside the packet."""

    routes: Routes
    sets: Sets
    recent: Mapping[str, Collection[Address]]
    """Which sources each list of the `recent` match holds; a list that is not here is empty."""


_MODULES = frozenset(
    {"comment", "tcp", "udp", "sctp", "multiport", "conntrack", "state", "mark", "addrtype", "statistic", "set"}
    | {"recent", "physdev", "nfacct", "iprange", "limit"}
)
_PARAMETERS = frozenset(
    {"--mode", "--packet", "--seconds", "--reap", "--name", "--mask", "--rsource", "--nfacct-name"}
    | {"--limit", "--limit-burst"}
)
"""They say more about another option of the same match, or what a packet alone does not exceed."""


def probability(rule: Rule, packet: Packet, around: Surroundings) -> float:
    """The probability with which the packet passes every test of a rule.

    Raises:
        NotUnderstoodError: it passes those that are known, and there is one that is not
    """
    result = 1.0
    postponed: NotUnderstoodError | None = NotUnderstoodError(rule.unknown) if rule.unknown else None
    for condition in rule.conditions:
        try:
            passes = _test(condition, rule, packet, around)
        except NotUnderstoodError as error:
            postponed = postponed or error
            continue
        if condition.inverted:
            passes = 1.0 - passes
        result *= passes
        if not result:
            return 0.0
    if postponed:
        raise postponed
    return result


def _test(condition: Condition, rule: Rule, packet: Packet, around: Surroundings) -> float:
    option, arguments = condition.option, condition.arguments
    if option in _PARAMETERS:
        return 0.0 if condition.inverted else 1.0
    if option == "-m":
        if arguments[0] not in _MODULES:
            raise NotUnderstoodError(f"the match {arguments[0]}")
        return 1.0
    if option == "--probability":
        return float(arguments[0])
    if option == "--every":
        return 1.0 / float(arguments[0])
    if option == "--match-set":
        return float(around.sets.matches(arguments[0], arguments[1], packet))
    if option in ("--rcheck", "--set", "--update", "--remove"):
        return float(option == "--set" or _is_recent(rule, packet, around))
    if option in ("--src-type", "--dst-type"):
        address = packet.source if option == "--src-type" else packet.destination
        return float(address_type(address, around.routes).upper() in arguments[0].split(","))
    test = _TESTS.get(option)
    if test is None:
        raise NotUnderstoodError(f"the option {option}")
    return float(test(arguments, packet))


def _is_recent(rule: Rule, packet: Packet, around: Surroundings) -> bool:
    options = {condition.option: condition.arguments for condition in rule.conditions}
    if "--rdest" in options or "--hitcount" in options or "--name" not in options:
        raise NotUnderstoodError("this use of the match recent")
    return packet.source in around.recent.get(options["--name"][0], ())


def _network(text: str, address: Address) -> bool:
    if "/" not in text:
        return parse_address(text) == address
    network = parse_network(text)
    if network is None:
        raise NotUnderstoodError(f"the network {text}")
    return address in network


def _interface(pattern: str, name: str | None) -> bool:
    if name is None:
        raise NotUnderstoodError("the interface is not known")
    return name.startswith(pattern[:-1]) if pattern.endswith("+") else name == pattern


def _ports(text: str, port: int | None) -> bool:
    if port is None:
        raise NotUnderstoodError("depends on the source port")
    for part in text.split(","):
        first, _, last = part.partition(":")
        if not first.isdecimal() or (last and not last.isdecimal()):
            raise NotUnderstoodError(f"the port {part}")
        if int(first) <= port <= int(last or first):
            return True
    return False


def _mark(text: str, mark: int) -> bool:
    value, _, mask = text.partition("/")
    return mark & (int(mask, 0) if mask else 0xFFFFFFFF) == int(value, 0)


def _protocol(name: str, packet: Packet) -> bool:
    number = int(name) if name.isdecimal() else PROTOCOL_NUMBERS.get(name)
    if number is None and name != "all":
        raise NotUnderstoodError(f"the protocol {name}")
    return number in (None, 0, PROTOCOL_NUMBERS[packet.protocol.lower()])


def _states(packet: Packet) -> set[str]:
    translated = [("DNAT", packet.destination_translated), ("SNAT", packet.source_translated)]
    return {"NEW", *(name for name, is_ in translated if is_)}


def _in_range(text: str, address: Address) -> bool:
    first, _, last = text.partition("-")
    low, high = parse_address(first), parse_address(last or first)
    if low is None or high is None:
        raise NotUnderstoodError(f"the range {text}")
    return len(low) == len(address) and low <= address <= high


def _is_syn(arguments: tuple[str, ...], packet: Packet) -> bool:
    examined, wanted = (set(argument.split(",")) for argument in arguments)
    flags = {"FIN", "SYN", "RST", "PSH", "ACK", "URG"} if examined == {"ALL"} else examined
    return packet.protocol == "TCP" and flags & {"SYN"} == wanted - {"NONE"}


def _bridged(arguments: tuple[str, ...], packet: Packet) -> bool:
    if packet.bridged is None:
        raise NotUnderstoodError("whether the packet came by a port of a bridge")
    return packet.bridged


_TESTS: dict[str, Callable[[tuple[str, ...], Packet], bool]] = {
    "-s": lambda a, p: _network(a[0], p.source),
    "-d": lambda a, p: _network(a[0], p.destination),
    "-i": lambda a, p: _interface(a[0], p.input_interface),
    "-o": lambda a, p: _interface(a[0], p.output_interface),
    "-p": lambda a, p: _protocol(a[0], p),
    "--dport": lambda a, p: _ports(a[0], p.port),
    "--dports": lambda a, p: _ports(a[0], p.port),
    "--sport": lambda a, p: _ports(a[0], p.source_port),
    "--sports": lambda a, p: _ports(a[0], p.source_port),
    "--ctstate": lambda a, p: bool(_states(p) & set(a[0].split(","))),
    "--state": lambda a, p: "NEW" in a[0].split(","),
    "--mark": lambda a, p: _mark(a[0], p.mark),
    "--physdev-is-in": _bridged,
    "--src-range": lambda a, p: _in_range(a[0], p.source),
    "--dst-range": lambda a, p: _in_range(a[0], p.destination),
    "--tcp-flags": _is_syn,
    "--syn": lambda a, p: p.protocol == "TCP",
}
