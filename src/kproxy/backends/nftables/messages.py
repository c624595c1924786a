"""From rules and records to the messages of a transaction."""

import hashlib
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from kproxy.backends.nftables.balancers import Balancer
from kproxy.backends.nftables.delta import Delta
from kproxy.backends.nftables.ruleset import (
    TABLE,
    Rule,
    RulesetOptions,
    chains,
    remembering_rule,
)
from kproxy.backends.nftables.sets import SetDeclaration, SetName, StickyTimeout, declaration, declarations
from kproxy.backends.nftables.statements import NFPROTO
from kproxy.kernel.netlink import HEADER, nested
from kproxy.kernel.nftnl import protocol
from kproxy.kernel.nftnl.elements import ElementLayout
from kproxy.kernel.nftnl.expressions import JUMP, value, verdict_data
from kproxy.kernel.nftnl.protocol import Message
from kproxy.services.addresses import Family

_COMMENT, _DIGEST = 0, 0x80
"""Types of rule user data: nft's comment, and ours, which nft passes over."""


class ElementRun(NamedTuple):
    """What a message adds to or deletes from a set: the records from `first` on."""

    name: str
    records: bytes
    first: int
    delete: bool
    start: int
    """Where the first element is in the message, from its header."""
    layout: ElementLayout

    def key_at(self, offset: int) -> bytes:
        """The key of the element into whose encoding the offset falls."""
        index = self.first + self.layout.index_of(offset - self.start, keys=self.delete)
        size = self.layout.key if self.delete else self.layout.record
        return self.records[index * size : index * size + self.layout.key]

    def __str__(self) -> str:
        return f"{'deleting from' if self.delete else 'adding to'} set {self.name}"


def userdata(rule: Rule) -> bytes:
    """The rule's comment, and a digest of what it does, by which it is recognised when read back."""
    expressions = b"".join(s.expressions for s in rule.statements)
    digest = hashlib.blake2b(expressions, digest_size=8).digest()
    encoded = protocol.comment(_COMMENT, rule.comment) if rule.comment else b""
    return encoded + bytes((_DIGEST, len(digest))) + digest


def skeleton(family: Family, options: RulesetOptions, sizes: Mapping[str, int]) -> Iterator[Message]:
    """Create the table with its sets, chains and rules; it must not exist.

    Args:
        family: of the table
        options: how
        sizes: how many elements each set may hold
    """
    proto = NFPROTO[family]
    yield protocol.new_table(proto, TABLE, protocol.comment(0, "rules for kube-proxy"))
    for set_ in declarations(family):
        yield _create_set(family, set_, sizes[set_.name])
    for chain in chains(family, options):
        yield protocol.new_chain(proto, TABLE, chain.name, chain.hook)
        yield from _rules(family, chain.name, chain.rules)


def _create_set(family: Family, set_: SetDeclaration, size: int = 0) -> Message:
    return protocol.new_set(
        NFPROTO[family],
        TABLE,
        set_.name,
        set_.attributes,
        identifier=zlib.crc32(set_.name.encode()),
        fields=set_.fields,
        size=size,
        userdata=set_.userdata,
    )


def create_timeouts(family: Family, timeouts: Iterable[StickyTimeout]) -> Iterator[Message]:
    """Create the sets and rules of timeouts of session affinity."""
    for timeout in sorted(timeouts):
        yield _create_set(family, declaration(family, timeout.name))
        yield from _rules(family, timeout.chain, [remembering_rule(timeout, family)])


def delete_timeouts(
    family: Family, unused: Iterable[StickyTimeout], remaining: Iterable[StickyTimeout]
) -> Iterator[Message]:
    """Delete the sets and rules of timeouts; the rules of those that remain are written anew."""
    kept = sorted(remaining)
    gone = sorted(unused)
    for chain in dict.fromkeys(timeout.chain for timeout in gone):
        yield protocol.flush_chain(NFPROTO[family], TABLE, chain)
        yield from _rules(family, chain, [remembering_rule(t, family) for t in kept if t.chain == chain])
    for timeout in gone:
        yield protocol.delete_set(NFPROTO[family], TABLE, timeout.name)


def _rules(family: Family, chain: str, rules: Iterable[Rule]) -> Iterator[Message]:
    for rule in rules:
        expressions = b"".join(s.expressions for s in rule.statements)
        yield protocol.new_rule(NFPROTO[family], TABLE, chain, expressions, userdata(rule))


def rules_of(balancer: Balancer, family: Family, options: RulesetOptions) -> tuple[Rule, ...]:
    return tuple(Rule(statements) for statements in balancer.rules(family, options.masquerade_mark))


def create_balancers(family: Family, options: RulesetOptions, balancers: Iterable[Balancer]) -> Iterator[Message]:
    """Create balancers' chains and make the lookups find them."""
    for balancer in sorted(balancers, key=lambda b: b.identifier):
        yield protocol.new_chain(NFPROTO[family], TABLE, balancer.chain)
        yield from _rules(family, balancer.chain, rules_of(balancer, family, options))
        yield _balancer_element(family, balancer, delete=False)


def delete_balancers(family: Family, balancers: Iterable[Balancer]) -> Iterator[Message]:
    for balancer in sorted(balancers, key=lambda b: b.identifier):
        yield _balancer_element(family, balancer, delete=True)
        yield protocol.delete_chain(NFPROTO[family], TABLE, balancer.chain)


def _balancer_element(family: Family, balancer: Balancer, *, delete: bool) -> Message:
    key = value(protocol.ELEMENT_KEY, balancer.encoded)
    data = b"" if delete else verdict_data(protocol.ELEMENT_DATA, JUMP, balancer.chain)
    element = nested(protocol.LIST_ELEMENT, key, data)
    about = f"balancer {balancer.chain}"
    return protocol.elements_message(NFPROTO[family], TABLE, SetName.BALANCERS, element, delete=delete, about=about)


def elements(family: Family, set_: SetDeclaration, records: bytes, *, delete: bool = False) -> Iterator[Message]:
    """Add records to a set, or delete the elements with the given keys."""
    layout = set_.layout
    start = HEADER.size + 4 + sum(8 + len(name) // 4 * 4 for name in (TABLE, set_.name)) + 4
    position = 0
    for encoded in layout.encode_keys(records) if delete else layout.encode(records):
        run = ElementRun(set_.name, records, position, delete, start, layout)
        yield protocol.elements_message(NFPROTO[family], TABLE, set_.name, encoded, delete=delete, about=run)
        position += layout.index_of(len(encoded), keys=delete)


def change(family: Family, delta: Delta) -> Iterator[Message]:
    """Write a delta: what goes, then what comes, so that an element can be replaced."""
    for name, gone in delta.deleted.items():
        set_ = declaration(family, name)
        keys = b"".join([record[: set_.layout.key] for record in gone])
        yield from elements(family, set_, keys, delete=True)
    for name, come in delta.added.items():
        yield from elements(family, declaration(family, name), b"".join(come))


def restore_learned(family: Family, learned: Mapping[str, Iterable[bytes]]) -> Iterator[Message]:
    """Add what the packet path had learned, as it was read, to the sets of that name."""
    for name, lists in learned.items():
        for encoded in lists:
            yield protocol.elements_message(NFPROTO[family], TABLE, name, encoded, delete=False, about=f"set {name}")


def replace_table(family: Family) -> Iterator[Message]:
    """Delete the table if it exists."""
    yield protocol.new_table(NFPROTO[family], TABLE)
    yield protocol.delete_table(NFPROTO[family], TABLE)
