"""What one family's rules should be, kept up to date one Service at a time."""

from collections.abc import Iterator
from typing import NamedTuple, Self

import msgspec

from kproxy.backends.interface import Model
from kproxy.backends.iptables.compile import NOTHING, Compiled, Shared, compile_service
from kproxy.backends.iptables.options import LARGE_CLUSTER_ENDPOINTS, RuleOptions
from kproxy.services.model import ServiceName


class Change(NamedTuple):
    """What a Service's rules were, and what they should be."""

    name: ServiceName
    old: Compiled
    new: Compiled

    def reversed(self) -> Self:
        return self._replace(old=self.new, new=self.old)


class DesiredRules:
    """Every Service's rules, compiled to bytes; a change costs what the Service weighs."""

    def __init__(self, options: RuleOptions) -> None:
        self.options = options
        self.compiled: dict[ServiceName, Compiled] = {}
        self.endpoints = 0
        self.rules = 0
        """Rules in chains of single Services."""
        self.shared_rules = [0] * len(Shared)

    # ------------------------------------------------------------------ changes

    def use(self, options: RuleOptions) -> bool:
        """Take other options; returns whether Services have to be compiled anew for them."""
        before = self.options
        self.options = msgspec.structs.replace(options, comments=before.comments)
        return self.options != msgspec.structs.replace(before, node_port_addresses=options.node_port_addresses)

    def put(self, name: ServiceName, model: Model) -> Change:
        """Take a Service's present model (nothing, when it has gone); returns what it had and what it has now."""
        old = self.compiled.get(name, NOTHING)
        new = compile_service(model.ports(name, self.options.family), self.options)
        return Change(name, old, self.replace(name, new))

    def remove(self, name: ServiceName) -> Change:
        """Forget a Service; the change is the one back."""
        old = self.compiled.get(name, NOTHING)
        self.replace(name, NOTHING)
        return Change(name, NOTHING, old)

    def load(self, model: Model) -> None:
        """Compile everything anew, with comments as long as there are not too many endpoints for them."""
        self.use_comments(True)
        names = list(model.names())
        for gone in self.compiled.keys() - set(names):
            self.remove(gone)
        with_comments = []
        for name in names:
            if self.options.comments:
                with_comments.append(name)
            self.put(name, model)
            self.use_comments(self.options.comments and not self.too_large_for_comments)
        if not self.options.comments:
            for name in with_comments:
                self.put(name, model)

    def use_comments(self, use: bool) -> None:
        """Whether the Services that are put from now on have comments in their chains."""
        if self.options.comments is not use:
            self.options = msgspec.structs.replace(self.options, comments=use)

    def replace(self, name: ServiceName, new: Compiled) -> Compiled:
        """Give a Service other rules; returns them."""
        old = self.compiled.get(name, NOTHING)
        if new == old:
            return old
        if new == NOTHING:
            del self.compiled[name]
        else:
            self.compiled[name] = new
        self.endpoints += new.endpoints - old.endpoints
        self.rules += new.rules.count(b"\n") - old.rules.count(b"\n")
        for i, (had, needs) in enumerate(zip(old.shared, new.shared, strict=True)):
            if had or needs:
                self.shared_rules[i] += needs.count(b"\n") - had.count(b"\n")
        return new

    # ------------------------------------------------------------------ the whole

    @property
    def too_large_for_comments(self) -> bool:
        return self.endpoints > LARGE_CLUSTER_ENDPOINTS

    def shared(self, chain: Shared) -> list[bytes]:
        """All Services' rules in a shared chain, as blocks of lines."""
        return [block for compiled in self.compiled.values() if (block := compiled.shared[chain])]

    def owner(self, line: bytes) -> ServiceName | None:
        """The Service that a line of a restore input belongs to; searches all, for error messages."""
        return next((name for name, compiled in self.compiled.items() if has_line(compiled, line)), None)


def has_line(compiled: Compiled, line: bytes) -> bool:
    """Whether a line of a restore input, without its end, is a Service's."""
    kind, rest = line[:2], line[2:]
    whole = (b"-A" + rest if kind in (b"-I", b"-D") else line) + b"\n"
    return any(
        block.startswith(whole) or b"\n" + whole in block
        for block in (compiled.rules, compiled.chains, *compiled.shared)
    )


def chains_of(compiled: Compiled) -> Iterator[tuple[bytes, bytes]]:
    """A Service's own chains, each with its rules joined."""
    rules: dict[bytes, list[bytes]] = {line[1 : line.index(b" ")]: [] for line in compiled.chains.splitlines()}
    for line in compiled.rules.splitlines(keepends=True):
        rules[line[3 : line.index(b" ", 3)]].append(line)
    return ((chain, b"".join(lines)) for chain, lines in rules.items())
