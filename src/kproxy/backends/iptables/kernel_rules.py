"""One family's rules in the kernel, and the runs of iptables-restore that keep them as desired."""

import re
from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import TypeAlias

import msgspec

from kproxy.backends.interface import Model, Outcome, Refused, RuleCount
from kproxy.backends.iptables.compile import FILTER, NAT, Shared
from kproxy.backends.iptables.desired import DesiredRules
from kproxy.backends.iptables.full import full_input
from kproxy.backends.iptables.options import RuleOptions
from kproxy.backends.iptables.partial import PartialChange
from kproxy.backends.iptables.restore_input import RestoreInput
from kproxy.backends.iptables.skeleton import fixed_chains, to_node_ports
from kproxy.backends.iptables.tool import Tool
from kproxy.kernel.processes import ProcessError
from kproxy.services.addresses import Address, Family
from kproxy.services.model import ServiceName

_MAX_REFUSALS = 16
"""How many Services in turn may be refused in one full sync before it is given up until the next one."""
_AT_LINE = re.compile(r"\bline:? (\d+)")


AroundRestore: TypeAlias = Callable[[int, int], AbstractContextManager[None]]
"""Called with the bytes and the number of transactions of each run of iptables-restore."""


def _nothing_around(size: int, transactions: int) -> AbstractContextManager[None]:
    return nullcontext()


class KernelRules:
    """Programs one family. Not for use before the first `sync_all`."""

    def __init__(self, tool: Tool, options: RuleOptions) -> None:
        self.tool = tool
        self.around_restore: AroundRestore = _nothing_around
        self.family: Family = options.family
        self.desired = DesiredRules(options)
        self._refused: set[ServiceName] = set()
        self._loaded = False
        self._written: dict[str, int] = {}
        self._last_rules: list[str] = []
        """How KUBE-SERVICES ends in the kernel."""

    # ------------------------------------------------------------------ how

    def set_options(self, **changes: object) -> None:
        """Change how rules are written; takes effect with the next `sync_all`."""
        options = msgspec.structs.replace(self.desired.options, **changes)
        if options != self.desired.options:
            self.desired.options = options
            self._loaded = False

    def set_node_port_addresses(self, addresses: Collection[Address]) -> None:
        """Set where NodePorts answer, unless that is everywhere; takes effect with the next sync."""
        mine = frozenset(a for a in addresses if len(a) == self.family.length)
        self.desired.options = msgspec.structs.replace(self.desired.options, node_port_addresses=mine)

    def counts(self) -> dict[str, RuleCount]:
        """How many rules there are, by table."""
        desired = self.desired
        totals = {NAT: desired.rules + len(to_node_ports(desired.options)), FILTER: 0}
        for shared in Shared:
            totals[shared.table] += desired.shared_rules[shared]
        for (table, _), rules in fixed_chains(desired.options).items():
            if table in totals:
                totals[table] += len(rules)
        return {table: RuleCount(total, self._written.get(table, 0)) for table, total in totals.items()}

    # ------------------------------------------------------------------ a change

    def sync(self, changed: Iterable[ServiceName], model: Model) -> Outcome:
        """Write the chains of the Services that changed."""
        self.desired.use_comments(not self.desired.too_large_for_comments)
        change = PartialChange(self.desired)
        for name in changed:
            change.service(*self.desired.put(name, model))
            self._refused.discard(name)
        change.node_port_addresses(self._last_rules)
        made = change.finish()
        try:
            size = self._restore(made)
        except ProcessError as error:
            # The kernel was not as thought, or not within reach: a full sync will find out.
            return Outcome(self.family, False, 0, 0, (Refused(None, str(error)),))
        return Outcome(self.family, False, len(made), size, ())

    # ------------------------------------------------------------------ everything

    def sync_all(self, changed: Collection[ServiceName], model: Model) -> Outcome:
        """Read the rules back and write the difference.

        A Service that iptables-restore refuses is left out, so that the others are served; the next call tries it
        again.
        """
        desired = self.desired
        if not self._loaded or desired.options.comments is desired.too_large_for_comments:
            desired.load(model)
            self._loaded = True
        else:
            for name in {*changed, *self._refused}:
                desired.put(name, model)
        self._refused.clear()
        refused: list[Refused] = []
        while True:
            made = RestoreInput()
            try:
                made = full_input(desired, self.tool.save())
                size = self._restore(made)
            except ProcessError as error:
                culprit = self._culprit(error, made)
                if culprit is None or len(refused) == _MAX_REFUSALS:
                    refused.append(Refused(None, str(error)))
                    return Outcome(self.family, True, 0, 0, tuple(refused))
                refused.append(Refused(culprit, str(error)))
                desired.remove(culprit)
                self._refused.add(culprit)
            else:
                return Outcome(self.family, True, len(made), size, tuple(refused))

    def _restore(self, made: RestoreInput) -> int:
        """Run iptables-restore, unless there is nothing to do; returns the bytes that it read.

        Raises:
            ProcessError: it failed
        """
        self._written = made.rules_by_table()
        commands = self._commands(made)
        if commands:
            with self.around_restore(len(commands), made.transactions):
                self.tool.restore(commands)
        self._last_rules = to_node_ports(self.desired.options)
        return len(commands)

    def _commands(self, made: RestoreInput) -> bytes:
        return made.to_bytes(descending=self.tool.prefers_descending)

    def _culprit(self, error: ProcessError, made: RestoreInput) -> ServiceName | None:
        """The Service whose rule iptables-restore complains of, if it names a line, and that line is a rule of one."""
        found = _AT_LINE.search(error.stderr)
        if found is None:
            return None
        lines = self._commands(made).splitlines()
        number = int(found.group(1))
        return self.desired.owner(lines[number - 1]) if 0 < number <= len(lines) else None
