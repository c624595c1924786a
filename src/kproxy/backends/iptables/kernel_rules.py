"""One family's rules in the kernel, and the runs of iptables-restore that keep them as desired."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TypeAlias

import msgspec

from kproxy.backends.interface import Model, Outcome, Refused, RuleCount
from kproxy.backends.iptables.compile import FILTER, NAT, Shared
from kproxy.backends.iptables.desired import Change, DesiredRules
from kproxy.backends.iptables.full import full_input, missing_services
from kproxy.backends.iptables.isolation import MAX_REFUSED, RestoreRefusedError, Written, explain, write_each
from kproxy.backends.iptables.options import RuleOptions
from kproxy.backends.iptables.partial import PartialChange
from kproxy.backends.iptables.restore_input import RestoreInput
from kproxy.backends.iptables.skeleton import fixed_chains, to_node_ports
from kproxy.backends.iptables.tool import Tool
from kproxy.kernel.processes import ProcessError
from kproxy.services.addresses import Address, Family
from kproxy.services.model import ServiceName

AroundRestore: TypeAlias = Callable[[int, int], AbstractContextManager[None]]
"""Called with the bytes and the number of transactions of each run of iptables-restore."""


def _nothing_around(size: int, transactions: int) -> AbstractContextManager[None]:
    return nullcontext()


class KernelRules:
    """Programs one family, one sync at a time. Not for use before the first `sync_all`."""

    def __init__(self, tool: Tool, options: RuleOptions) -> None:
        self.tool = tool
        self.around_restore: AroundRestore = _nothing_around
        self.family: Family = options.family
        self.desired = DesiredRules(options)
        self._options = options
        """For the next sync: a sync that waits for a program must not see them change."""
        self._refused: set[ServiceName] = set()
        self._loaded = False
        self._written: dict[str, int] = {}
        self._last_rules: list[str] = []
        """How KUBE-SERVICES ends in the kernel."""

    # ------------------------------------------------------------------ how

    @property
    def options(self) -> RuleOptions:
        """How the next full sync will write rules."""
        return self._options

    def set_options(self, **changes: object) -> None:
        """Change how rules are written; takes effect with the next `sync_all`."""
        self._options = msgspec.structs.replace(self._options, **changes)

    def set_node_port_addresses(self, addresses: Collection[Address]) -> None:
        """Set where NodePorts answer, unless that is everywhere; takes effect with the next sync."""
        self.set_options(node_port_addresses=frozenset(a for a in addresses if len(a) == self.family.length))

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

    async def sync(self, changed: Iterable[ServiceName], model: Model) -> Outcome:
        """Write the chains of the Services that changed, but for those that iptables-restore refuses: these go."""
        desired = self.desired
        addresses = self._options.node_port_addresses
        desired.use(msgspec.structs.replace(desired.options, node_port_addresses=addresses))
        desired.use_comments(not desired.too_large_for_comments)
        changes = [desired.put(name, model) for name in changed]
        self._refused.difference_update(changed)
        try:
            written = await self._write_each(changes)
        except (ProcessError, RestoreRefusedError) as error:
            # The kernel was not as thought, or not within reach: a full sync will find out.
            return Outcome(self.family, False, 0, 0, (Refused(None, str(error)),))
        return Outcome(self.family, False, *written)

    async def _write_each(self, changes: Sequence[Change]) -> Written:
        written = await write_each(changes, self.desired, self._write)
        self._refused.update(refused.service for refused in written.refused if refused.service)
        return written

    async def _write(self, changes: Sequence[Change], tables: Collection[str]) -> tuple[int, int]:
        partial = PartialChange(self.desired)
        for change in changes:
            partial.service(change)
        partial.node_port_addresses(self._last_rules)
        made = partial.finish().only(tables)
        size = await self._restore(made)
        if NAT in tables:
            self._last_rules = to_node_ports(self.desired.options)
        return len(made), size

    # ------------------------------------------------------------------ everything

    async def sync_all(self, changed: Collection[ServiceName], model: Model) -> Outcome:
        """Read the rules back and write the difference.

        A Service that iptables-restore refuses is left out, so that the others are served; the next call tries it
        again.
        """
        desired = self.desired
        if desired.use(self._options) or not self._loaded or desired.options.comments is desired.too_large_for_comments:
            desired.load(model)
            self._loaded = True
        else:
            for name in {*changed, *self._refused}:
                desired.put(name, model)
        self._refused.clear()
        refused: list[Refused] = []
        objects = size = 0
        try:
            while True:
                try:
                    objects, size = await self._write_all()
                    break
                except RestoreRefusedError as error:
                    culprit = desired.owner(error.line)
                    if culprit is None or len(refused) == MAX_REFUSED:
                        written = await self._write_all_but_the_missing()
                        refused += written.refused
                        objects, size = written.objects, written.bytes
                        break
                    refused.append(Refused(culprit, str(error)))
                    desired.remove(culprit)
                    self._refused.add(culprit)
        except (ProcessError, RestoreRefusedError) as error:
            refused.append(Refused(None, str(error)))
        return Outcome(self.family, True, objects, size, tuple(refused))

    async def _write_all(self) -> tuple[int, int]:
        saved = await self.tool.save()
        # A thread: in a large cluster, this takes most of a second, in which nothing else looks at the rules.
        made = await asyncio.to_thread(full_input, self.desired, saved)
        size = await self._restore(made)
        self._last_rules = to_node_ports(self.desired.options)
        return len(made), size

    async def _write_all_but_the_missing(self) -> Written:
        """Write what all Services share, and then, apart from those that the kernel has, one Service after the other.

        Raises:
            RestoreRefusedError: it is no Service's fault
            ProcessError: iptables-restore failed for other reasons
        """
        desired = self.desired
        names = await asyncio.to_thread(missing_services, desired, await self.tool.save())
        changes = [desired.remove(name) for name in names]
        try:
            objects, size = await self._write_all()
        except BaseException:
            for change in changes:
                desired.replace(change.name, change.new)
            raise
        written = await self._write_each(changes)
        return Written(objects + written.objects, size + written.bytes, written.refused)

    async def _restore(self, made: RestoreInput) -> int:
        """Run iptables-restore, unless there is nothing to do; returns the bytes that it read.

        Raises:
            RestoreRefusedError: it failed for this input
            ProcessError: it failed for other reasons
        """
        self._written = made.rules_by_table()
        commands = made.to_bytes(descending=self.tool.prefers_descending)
        if commands:
            try:
                with self.around_restore(len(commands), made.transactions):
                    await self.tool.restore(commands)
            except ProcessError as error:
                raise explain(error, commands) from error
        return len(commands)
