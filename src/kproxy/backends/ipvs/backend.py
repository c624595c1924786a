"""The IPVS mode: both families behind the interface that every mode has."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping

from kproxy.backends.interface import BackendError, Model, Outcome, Refused, RuleCount, Sample
from kproxy.backends.iptables.matches import from_pods
from kproxy.backends.iptables.tool import Tool
from kproxy.backends.iptables.variants import choose
from kproxy.backends.ipvs import readback, rule_tables
from kproxy.backends.ipvs.draining import clock
from kproxy.backends.ipvs.options import IpvsOptions
from kproxy.backends.ipvs.prerequisites import open_sockets
from kproxy.backends.ipvs.programmer import Programmer
from kproxy.backends.ipvs.readback import PresentState, Sockets
from kproxy.backends.ipvs.rules import JUMPS, FixedRules
from kproxy.kernel.ipset.socket import SetSocket
from kproxy.kernel.ipvs.socket import IpvsSocket
from kproxy.kernel.links import LinkSocket
from kproxy.kernel.processes import ProcessError
from kproxy.services.addresses import Address, Family
from kproxy.services.flows import ServedModel
from kproxy.services.local_traffic import LocalTraffic
from kproxy.services.model import ServiceName

log = logging.getLogger(__name__)

_DRAIN_SECONDS = 5.0
"""How often real servers that drain are looked at."""


class IpvsBackend:
    """Implements `kproxy.backends.interface.Backend`, in the network namespace of the thread that makes it."""

    mode = rules = "ipvs"

    def __init__(self, families: Collection[Family], options: IpvsOptions) -> None:
        """Open sockets, load modules and set sysctls; no Service is programmed yet.

        Args:
            families: the IP families to serve, as far as iptables works for them
            options: how

        Raises:
            BackendError: the kernel or the programs of iptables lack something, or may not be used
        """
        self._sockets = open_sockets(options, os.uname().release)
        try:
            self._tools: Mapping[Family, Tool] = choose(families)
        except BackendError:
            self._sockets.close()
            raise
        self._options = options
        self._local_traffic: Mapping[Family, LocalTraffic] = {}
        self._programmers = {family: Programmer(self._sockets, family, options) for family in self._tools}
        self._rule_counts: dict[Family, dict[str, RuleCount]] = {}
        self._using_rules = asyncio.Lock()
        self._syncs = 0
        self._repeating: list[asyncio.Task[None]] = []

    def families(self) -> Collection[Family]:
        return self._programmers.keys()

    async def sync(self, changed: Collection[ServiceName], model: Model) -> list[Outcome]:
        self._syncs += 1
        return [programmer.sync(changed, model) for programmer in self._programmers.values()]

    async def sync_all(self, changed: Collection[ServiceName], model: Model) -> list[Outcome]:
        self._syncs += 1
        outcomes = []
        for family, programmer in self._programmers.items():
            outcome = programmer.sync_all(changed, model)
            # The rules look into the sets, which exist from here on.
            async with self._using_rules:
                outcomes.append(await self._with_rules(family, outcome))
        return outcomes

    async def _with_rules(self, family: Family, outcome: Outcome) -> Outcome:
        try:
            commands = await self._missing_rules(family)
            if commands:
                await self._tools[family].restore(commands)
        except ProcessError as error:
            return outcome._replace(refused=(*outcome.refused, Refused(None, str(error))))
        written = rule_tables.written(commands)
        self._rule_counts[family] = {
            table: RuleCount(sum(map(len, chains.values())) + len(JUMPS[table]), written.get(table, 0))
            for table, chains in self._rules(family).tables().items()
        }
        objects = outcome.objects + sum(written.values())
        return outcome._replace(objects=objects, bytes=outcome.bytes + len(commands))

    async def _missing_rules(self, family: Family) -> bytes:
        return rule_tables.missing(self._rules(family), await rule_tables.read(self._tools[family]))

    def _rules(self, family: Family) -> FixedRules:
        return FixedRules(
            family,
            masquerade_mark=self._options.masquerade_mark,
            masquerade_all=self._options.masquerade_all,
            local_traffic=self._local_traffic.get(family, LocalTraffic()),
        )

    def rule_counts(self) -> Mapping[Family, Mapping[str, RuleCount]]:
        return self._rule_counts

    def object_counts(self) -> Mapping[Family, Mapping[str, int]]:
        return {family: programmer.desired.counts() for family, programmer in self._programmers.items()}

    def metrics(self) -> Iterable[Sample]:
        return ()

    def flow_model(self, services: ServedModel) -> ServedModel:
        return services

    def packet_counters(self) -> Mapping[str, int]:
        return {}

    def set_node_port_addresses(self, addresses: Collection[Address]) -> None:
        for programmer in self._programmers.values():
            programmer.set_node_port_addresses(addresses)

    def set_node_ips(self, addresses: Collection[Address]) -> None:
        for programmer in self._programmers.values():
            programmer.set_node_ips(addresses)

    def set_local_traffic(self, local_traffic: Mapping[Family, LocalTraffic]) -> None:
        for local in local_traffic.values():
            try:
                from_pods(local)
            except ValueError as error:
                raise BackendError(f"detectLocal: {error}") from error
        self._local_traffic = local_traffic

    # ------------------------------------------------------------------ from time to time

    def watch(self, on_tampering: Callable[[], None]) -> None:
        """Compare the kernel with what it should hold now and then, as IPVS notifies nobody; end what has drained."""

        async def audit() -> None:
            if await self._drifted():
                on_tampering()

        self._every(_DRAIN_SECONDS, self._end_draining)
        self._every(self._options.audit_seconds, audit)

    def _every(self, seconds: float, call: Callable[[], Awaitable[None]]) -> None:
        async def repeat() -> None:
            while True:
                await asyncio.sleep(seconds)
                try:
                    await call()
                except OSError as error:
                    log.error("The kernel could not be looked at: %s", error)

        self._repeating.append(asyncio.create_task(repeat(), name=f"IPVS every {seconds:g} s"))

    async def _end_draining(self) -> None:
        for family, programmer in self._programmers.items():
            ended = programmer.end_draining(clock())
            if ended:
                log.debug("%s: %d real servers have drained", family.value, ended)

    async def _drifted(self) -> bool:
        """Whether the kernel differs from what it should hold; not when that changed in the meantime."""
        for family, programmer in self._programmers.items():
            syncs = self._syncs
            # A thread, and sockets of its own: in a large cluster, to read everything takes a second.
            state = await asyncio.to_thread(_read_apart, family)
            if syncs == self._syncs and programmer.differs_from(state):
                return True
            async with self._using_rules:
                if await self._missing_rules(family):
                    return True
        return False

    def close(self) -> None:
        for task in self._repeating:
            task.cancel()
        self._sockets.close()


def _read_apart(family: Family) -> PresentState:
    sockets = Sockets(IpvsSocket(), SetSocket(), LinkSocket())
    try:
        return readback.read(sockets, family)
    finally:
        sockets.close()
