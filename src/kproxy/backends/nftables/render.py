"""Our table in words, as `nft list table` prints it."""

import sys
from collections.abc import Iterator, Sequence

from kproxy.backends.nftables.delta import split
from kproxy.backends.nftables.desired import DesiredTable
from kproxy.backends.nftables.messages import rules_of
from kproxy.backends.nftables.ruleset import TABLE, Chain, RulesetOptions, chains, remembering_rule
from kproxy.backends.nftables.sets import SetDeclaration, declaration, declarations
from kproxy.backends.nftables.statements import ADDRESS, CLASSID, INET_PROTO, INET_SERVICE, IP, MARK, DataType
from kproxy.kernel.nftnl.protocol import HOOK_PREROUTING, Hook
from kproxy.services.addresses import Address, format_address

_HOOKS = ("prerouting", "input", "forward", "output", "postrouting")
_PROTOCOLS = {6: "tcp", 17: "udp", 132: "sctp"}


def render(desired: DesiredTable, options: RulesetOptions) -> Iterator[str]:
    """The lines of one family's table."""
    family = desired.family
    contents = dict(desired.everything())
    balancers = sorted(desired.balancers(), key=lambda b: b.identifier)
    yield f"table {IP[family]} {TABLE} {{"
    yield '\tcomment "rules for kube-proxy"'
    for set_ in declarations(family):
        if set_.is_verdict_map:
            elements = [f"{_value(CLASSID, b.encoded)} : jump {b.chain}" for b in balancers]
        else:
            records = sorted(split(contents.get(set_.name, b""), set_.layout.record))
            elements = [element_text(set_, record) for record in records]
        yield from _set_lines(set_, elements, set_.size(len(elements)))
    timeouts = sorted(desired.timeouts())
    for timeout in timeouts:
        set_ = declaration(family, timeout.name)
        elements = [element_text(set_, r) for r in split(contents[set_.name], set_.layout.record)]
        yield from _set_lines(set_, elements, 0)
    for chain in chains(family, options):
        if not chain.rules:
            rules = [remembering_rule(t, family) for t in timeouts if t.chain == chain.name]
            chain = chain._replace(rules=tuple(rules))
        yield from _chain_lines(chain)
    for balancer in balancers:
        yield from _chain_lines(Chain(balancer.chain, rules_of(balancer, family, options)))
    yield "}"


def _set_lines(set_: SetDeclaration, elements: Sequence[str], size: int) -> Iterator[str]:
    type_ = " . ".join(t.name for t in set_.key)
    if set_.data:
        type_ += " : " + " . ".join(t.name for t in set_.data)
    yield f"\t{'map' if set_.data else 'set'} {set_.name} {{"
    yield f"\t\ttype {type_}"
    if size:
        yield f"\t\tsize {size}"
    if set_.ranges:
        yield "\t\tflags interval"
    if set_.learned:
        yield "\t\tflags dynamic,timeout"
    yield f'\t\tcomment "{set_.comment}"'
    if elements:
        yield "\t\telements = { " + ",\n\t\t\t     ".join(elements) + " }"
    yield "\t}"
    yield ""


def _chain_lines(chain: Chain) -> Iterator[str]:
    yield f"\tchain {chain.name} {{"
    if chain.hook:
        yield f"\t\t{_hook_text(chain.hook)}"
    for rule in chain.rules:
        comment = f' comment "{rule.comment}"' if rule.comment else ""
        yield "\t\t" + " ".join(statement.text for statement in rule.statements) + comment
    yield "\t}"
    yield ""


def _hook_text(hook: Hook) -> str:
    priority = str(hook.priority)
    if hook.number == HOOK_PREROUTING:  # `dstnat` is a name at this hook only
        priority = {-100: "dstnat", -110: "dstnat - 10"}.get(hook.priority, priority)
    else:
        priority = {0: "filter", 100: "srcnat"}.get(hook.priority, priority)
    return f"type {hook.type} hook {_HOOKS[hook.number]} priority {priority}; policy accept;"


def element_text(set_: SetDeclaration, record: bytes) -> str:
    """One element, as `nft list` prints it."""
    layout = set_.layout
    if set_.ranges:
        half = layout.key // 2
        first, last = _values(set_.key, record[:half]), _values(set_.key, record[half : layout.key])
        size = set_.key[-1].length
        prefix = _prefix_length(record[half - size : half], record[layout.key - size : layout.key])
        shown = first[-1] if first[-1] == last[-1] else f"{first[-1]}/{prefix}"
        return " . ".join([*first[:-1], shown])
    text = " . ".join(_values(set_.key, record[: layout.key]))
    return f"{text} : {' . '.join(_values(set_.data, record[layout.key :]))}" if set_.data else text


def _prefix_length(first: Address, last: Address) -> int:
    differing = int.from_bytes(first, "big") ^ int.from_bytes(last, "big")
    return len(first) * 8 - differing.bit_length()


def _values(types: Sequence[DataType], encoded: bytes) -> list[str]:
    values, position = [], 0
    for type_ in types:
        values.append(_value(type_, encoded[position : position + type_.length]))
        position += (type_.length + 3) // 4 * 4
    return values


def _value(type_: DataType, encoded: bytes) -> str:
    if type_ in ADDRESS.values():
        return format_address(encoded)
    if type_ is INET_PROTO:
        return _PROTOCOLS.get(encoded[0], str(encoded[0]))
    if type_ is INET_SERVICE:
        return str(int.from_bytes(encoded, "big"))
    number = int.from_bytes(encoded, sys.byteorder)
    return f"{number:#010x}" if type_ is MARK else f"{number >> 16:x}:{number & 0xFFFF:x}"
