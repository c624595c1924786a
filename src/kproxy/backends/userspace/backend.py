"""The userspace mode: workers that forward, and rules that redirect traffic to them, behind the usual interface."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping

from kproxy.backends.interface import Backend, BackendError, Model, Outcome, RuleCount, Sample
from kproxy.backends.userspace.desired import target
from kproxy.backends.userspace.local_ports import LocalPorts, NoFreePortError
from kproxy.backends.userspace.local_services import LocalService, local_service
from kproxy.backends.userspace.metrics import samples
from kproxy.backends.userspace.options import Redirect, UserspaceOptions
from kproxy.backends.userspace.redirected_flows import RedirectedFlows
from kproxy.backends.userspace.redirected_model import RedirectedModel, redirected
from kproxy.backends.userspace.redirection import open_rules
from kproxy.backends.userspace.served_ports import PROTOCOLS, ServedPorts
from kproxy.backends.userspace.workers import Workers
from kproxy.kernel.interface_addresses import list_addresses
from kproxy.services.addresses import Address, Family
from kproxy.services.flows import ServedModel
from kproxy.services.local_traffic import LocalTraffic
from kproxy.services.model import ServiceName, ServicePort

log = logging.getLogger(__name__)

_LOCALHOST = bytes((127, 0, 0, 1))
_SLICE = 500
"""How many Services are looked at in one go, before the event loop gets a turn."""


class UserspaceBackend:
    """Implements `kproxy.backends.interface.Backend`.

    Redirected, it works in the network namespace of the thread that makes it and of the one that calls it, which
    must be the same.
    """

    mode = "userspace"

    def __init__(
        self,
        families: Collection[Family],
        options: UserspaceOptions,
        *,
        on_local_services: Callable[[list[LocalService]], None] = lambda services: None,
    ) -> None:
        """Open what writes the rules; workers start with the first sync.

        Args:
            families: the IP families to serve; without redirection, those of the addresses to bind are
            options: how
            on_local_services: called after each sync that changed the table of local ports; without redirection only

        Raises:
            BackendError: redirection is not possible here, or nothing to bind was given without it
        """
        self._options = options
        self._rules: Backend | None = None
        if options.redirect is Redirect.NONE:
            if not options.bind:
                raise BackendError("userspace mode without redirection needs an address to bind")
            self._families: Collection[Family] = [Family.of(address) for address in options.bind]
        else:
            self._rules = open_rules(families, options)
            self._families = self._rules.families()
        self._workers = Workers(options.workers, options.limits)
        local_ports = LocalPorts(options.port_range, options.workers, absent_addresses=self._rules is not None)
        self._served = ServedPorts(self._workers, local_ports, redirected=self._rules is not None)
        self._redirected = RedirectedModel()
        self._node_ips: dict[Family, Address] = {}
        self._targets: dict[Family, Address] = {}
        self._addresses_changed = True
        self._unwritten: set[ServiceName] = set()
        """Services whose rules are to be written."""
        self._on_local_services = on_local_services
        self._local_services: list[LocalService] = []
        self._loaded = False
        self._unforwarded: set[ServiceName] = set()

    @property
    def rules(self) -> str:
        return self._rules.rules if self._rules else ""

    def families(self) -> Collection[Family]:
        return self._families

    # ------------------------------------------------------------------ syncing

    async def sync(self, changed: Collection[ServiceName], model: Model) -> list[Outcome]:
        return await self._sync(changed, model, full=False)

    async def sync_all(self, changed: Collection[ServiceName], model: Model) -> list[Outcome]:
        names = set(changed) if self._loaded else {*changed, *model.names()}
        names.update(name for name, _, _, _ in self._served.unserved)
        outcomes = await self._sync(names, model, full=True)
        self._loaded = True
        return outcomes

    async def _sync(self, changed: Collection[ServiceName], model: Model, *, full: bool) -> list[Outcome]:
        """Workers know a port before packets for it come, and forget it when none come any more.

        Raises:
            OSError: workers cannot be started or do not answer, nothing can be bound, or the rules not be written
        """
        self._workers.start()
        if (full or self._addresses_changed) and self._follow_addresses():
            changed = {*changed, *self._redirected.names()}
        objects: Counter[Family] = Counter()
        for number, name in enumerate(changed, 1):
            if number % _SLICE == 0:
                await asyncio.sleep(0)
            ports = {family: model.ports(name, family) for family in self._families}
            objects.update({family: len(of_family) for family, of_family in ports.items()})
            self._served.put(name, [port for of_family in ports.values() for port in of_family])
            if self._rules is not None and self._redirect(name, ports):
                self._unwritten.add(name)
        additions = self._served.tell_additions()
        if additions or full:
            await self._workers.flush()
        if self._rules is None:
            outcomes = [Outcome(family, full, objects[family], 0, ()) for family in self._families]
        else:
            sync = self._rules.sync_all if full else self._rules.sync
            unwritten = frozenset(self._unwritten)
            outcomes = await sync(unwritten, self._redirected)
            self._unwritten -= unwritten
        if self._served.tell_removals():
            await self._workers.flush()
        self._tell_local_services()
        return outcomes

    def _redirect(self, name: ServiceName, ports: Mapping[Family, tuple[ServicePort, ...]]) -> bool:
        if any(port.protocol not in PROTOCOLS for of_family in ports.values() for port in of_family):
            if name not in self._unforwarded:
                self._unforwarded.add(name)
                log.warning("Service %s: userspace mode forwards TCP and UDP only; its other ports are rejected", name)
        else:
            self._unforwarded.discard(name)
        through_us = {
            family: tuple(
                redirected(port, self._targets[family], self._served.listening(name, port)) for port in of_family
            )
            for family, of_family in ports.items()
        }
        return self._redirected.replace(name, through_us)

    def _follow_addresses(self) -> bool:
        """Await packets at the right addresses; returns whether redirected ones must go elsewhere than before."""
        if self._rules is None:
            targets = {Family.of(address): address for address in self._options.bind}
        else:
            present = [found.address for found in list_addresses() if not found.link_scope]
            targets = {family: target(family, self._node_ips.get(family), present) for family in self._families}
        self._addresses_changed = False
        if targets == self._targets:
            return False
        for family, address in targets.items():
            try:
                self._served.set_address(family, address)
            except NoFreePortError as error:
                raise OSError(str(error)) from error
        self._targets = targets
        return True

    def _tell_local_services(self) -> None:
        if self._rules is not None:
            return
        services = self.local_services()
        if services != self._local_services:
            self._local_services = services
            self._on_local_services(services)

    # ------------------------------------------------------------------ what there is to know

    def local_services(self) -> list[LocalService]:
        """Every Service port that has a local port of its own, sorted."""
        return sorted(local_service(*own) for own in self._served.own_ports())

    def flow_model(self, services: ServedModel) -> ServedModel | None:
        return RedirectedFlows(services, self._redirected) if self._rules else None

    def metrics(self) -> list[Sample]:
        """What the workers counted, up to a second old."""
        restarts, unserved = self._workers.restarts, len(self._served.unserved)
        return list(samples(self._workers.counters(), worker_restarts=restarts, unserved_ports=unserved))

    def worker_pids(self) -> list[int]:
        """The process ids of the workers that are running."""
        return self._workers.pids

    def rule_counts(self) -> Mapping[Family, Mapping[str, RuleCount]]:
        return self._rules.rule_counts() if self._rules else {}

    def object_counts(self) -> Mapping[Family, Mapping[str, int]]:
        """Those of the rules, and the Service ports that workers forward."""
        ruled = self._rules.object_counts() if self._rules else {}
        forwarded = self._served.counts()
        return {
            family: {**ruled.get(family, {}), "forwarded-ports": forwarded.get(family, 0)} for family in self._families
        }

    def packet_counters(self) -> Mapping[str, int]:
        return self._rules.packet_counters() if self._rules else {}

    # ------------------------------------------------------------------ what the daemon sets

    def set_node_port_addresses(self, addresses: Collection[Address]) -> None:
        if self._rules:
            loopback = [_LOCALHOST] if self._options.localhost_node_ports and Family.IPV4 in self._families else []
            self._rules.set_node_port_addresses([*addresses, *loopback])
            # Told because addresses of interfaces have changed.
            self._addresses_changed = True

    def set_node_ips(self, addresses: Collection[Address]) -> None:
        self._addresses_changed = True
        self._node_ips = {Family.of(address): address for address in addresses}
        if self._rules:
            self._rules.set_node_ips(addresses)

    def set_local_traffic(self, local_traffic: Mapping[Family, LocalTraffic]) -> None:
        if self._rules:
            self._rules.set_local_traffic(local_traffic)

    def watch(self, on_tampering: Callable[[], None]) -> None:
        if self._rules:
            self._rules.watch(on_tampering)

    def close(self) -> None:
        """End the workers, and with them all connections; rules stay, so that clients are refused at once."""
        self._workers.close()
        if self._rules:
            self._rules.close()
