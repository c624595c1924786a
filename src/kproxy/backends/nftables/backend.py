"""The nftables mode: both families' tables behind the interface that every mode has."""

import asyncio
import errno
from collections.abc import Callable, Collection, Iterable, Mapping

import msgspec

from kproxy.backends.interface import BackendError, Model, Outcome, RuleCount, Sample
from kproxy.backends.nftables import messages
from kproxy.backends.nftables.ruleset import TABLE, RulesetOptions
from kproxy.backends.nftables.statements import NFPROTO
from kproxy.backends.nftables.table import KernelTable
from kproxy.kernel.nftnl.monitor import TableMonitor
from kproxy.kernel.nftnl.transaction import NftSocket
from kproxy.services.addresses import Address, Family
from kproxy.services.flows import ServedModel
from kproxy.services.local_traffic import LocalTraffic
from kproxy.services.model import ServiceName


class NftablesBackend:
    """Implements `kproxy.backends.interface.Backend`, in the network namespace of the thread that makes it."""

    mode = rules = "nftables"

    def __init__(self, families: Collection[Family], options: RulesetOptions) -> None:
        """Open sockets; nothing is written yet.

        Args:
            families: the IP families to serve
            options: how, except for what `set_local_traffic` sets

        Raises:
            BackendError: the kernel has no nf_tables, or this process may not use it
        """
        self._socket = open_nftables()
        self._tables = {family: KernelTable(self._socket, family, options) for family in families}
        self._monitor: TableMonitor | None = None
        self._on_tampering: Callable[[], None] = lambda: None

    def families(self) -> Collection[Family]:
        return self._tables.keys()

    async def sync(self, changed: Collection[ServiceName], model: Model) -> list[Outcome]:
        return [await table.sync(changed, model) for table in self._tables.values()]

    async def sync_all(self, changed: Collection[ServiceName], model: Model) -> list[Outcome]:
        if self._monitor is None:
            return [await table.sync_all(changed, model) for table in self._tables.values()]
        generation, commits = self._socket.generation(), self._socket.commits
        with self._monitor.paused():
            outcomes = [await table.sync_all(changed, model) for table in self._tables.values()]
        if self._socket.generation() - generation != self._socket.commits - commits:
            # Somebody else committed while nobody listened; it may have been to our table.
            self._on_tampering()
        return outcomes

    def set_node_port_addresses(self, addresses: Collection[Address]) -> None:
        for table in self._tables.values():
            table.set_node_port_addresses(addresses)

    def set_node_ips(self, addresses: Collection[Address]) -> None:
        for family, table in self._tables.items():
            table.set_node_ip(next((a for a in addresses if len(a) == family.length), None))

    def rule_counts(self) -> Mapping[Family, Mapping[str, RuleCount]]:
        return {}

    def object_counts(self) -> Mapping[Family, Mapping[str, int]]:
        return {family: table.element_counts for family, table in self._tables.items()}

    def metrics(self) -> Iterable[Sample]:
        return ()

    def flow_model(self, services: ServedModel) -> ServedModel:
        return services

    def packet_counters(self) -> Mapping[str, int]:
        return {}

    def set_local_traffic(self, local_traffic: Mapping[Family, LocalTraffic]) -> None:
        for family, table in self._tables.items():
            local = local_traffic.get(family, LocalTraffic())
            table.options = msgspec.structs.replace(table.options, local_traffic=local)

    def watch(self, on_tampering: Callable[[], None]) -> None:
        self._on_tampering = on_tampering
        families = {NFPROTO[family] for family in self._tables}
        monitor = self._monitor = TableMonitor(TABLE, families, self._socket.netlink.port_id)

        def read() -> None:
            if monitor.touched():
                on_tampering()

        asyncio.get_running_loop().add_reader(monitor.fileno(), read)

    def close(self) -> None:
        if self._monitor:
            asyncio.get_running_loop().remove_reader(self._monitor.fileno())
            self._monitor.close()
            self._monitor = None
        self._socket.close()


def open_nftables() -> NftSocket:
    """Open a socket and ask nf_tables for a sign of life.

    Raises:
        BackendError: says what is missing
    """
    try:
        socket = NftSocket()
    except OSError as error:
        raise BackendError(f"this kernel has no netfilter netlink (CONFIG_NETFILTER_NETLINK): {error}") from error
    try:
        socket.generation()
    except OSError as error:
        socket.close()
        if error.errno == errno.EPERM:
            raise BackendError(
                "no permission to use nf_tables: run as root, or with the capability NET_ADMIN"
            ) from error
        raise BackendError(f"this kernel has no nf_tables (modprobe nf_tables; CONFIG_NF_TABLES): {error}") from error
    return socket


def cleanup(families: Collection[Family] = tuple(Family)) -> list[Family]:
    """Delete our tables; returns the families that had one.

    Raises:
        BackendError: the kernel has no nf_tables, or this process may not use it
    """
    socket = open_nftables()
    try:
        removed = []
        for family in families:
            if not _exists(socket, family):
                continue
            result = socket.commit(list(messages.replace_table(family)))
            if isinstance(result, list):
                raise BackendError("; ".join(map(str, result)))
            removed.append(family)
        return removed
    finally:
        socket.close()


def _exists(socket: NftSocket, family: Family) -> bool:
    from kproxy.kernel.nftnl.reading import read_table

    return read_table(socket, NFPROTO[family], TABLE) is not None
