"""What every proxy mode does, whatever it programs."""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple, Protocol

from kproxy.services.addresses import Address, Family
from kproxy.services.flows import ServedModel
from kproxy.services.local_traffic import LocalTraffic
from kproxy.services.model import ServiceName, ServicePort


class Model(Protocol):
    """Where a backend asks what a Service does."""

    def names(self) -> Iterable[ServiceName]:
        """Every Service that is served."""

    def ports(self, name: ServiceName, family: Family) -> tuple[ServicePort, ...]:
        """A Service's ports in one family; empty when it has gone."""


class Refused(NamedTuple):
    """Something that the kernel would not take."""

    service: ServiceName | None
    """The Service at fault; None when it cannot be told."""
    reason: str

    def __str__(self) -> str:
        return f"Service {self.service} is left out: {self.reason}" if self.service else self.reason


class Outcome(NamedTuple):
    """What a sync of one family did."""

    family: Family
    full: bool
    """Compared with the kernel, not only written as a change."""
    objects: int
    """Kernel objects written or deleted; 0 when nothing had to be."""
    bytes: int
    refused: tuple[Refused, ...]
    """When not empty: unless every one names its Service (which is then left out, and tried again by later
    full syncs), the kernel does not hold what it should, and a full sync is due."""

    @property
    def failed(self) -> bool:
        """The kernel is not as desired for reasons beyond single Services."""
        return any(refused.service is None for refused in self.refused)


class RuleCount(NamedTuple):
    total: int
    """Rules that a table should have from us."""
    last: int
    """Rules that the last sync wrote to it."""


class Sample(NamedTuple):
    """One value of a metric that a single mode has."""

    name: str
    help: str
    labels: Mapping[str, str]
    value: float
    gauge: bool
    """Else, a counter."""


class BackendError(Exception):
    """The kernel lacks what the mode needs, or refuses it to this process; the message says which."""


class Backend(Protocol):
    """A proxy mode. Every method is called from one thread, and raises OSError only for lost sockets.

    While a sync waits for another program, changes may be announced and anything be set: the next sync heeds it.
    """

    @property
    def mode(self) -> str:
        """The mode's name, as `mode` in the configuration has it."""

    @property
    def rules(self) -> str:
        """The mode whose rules this one writes: its own, as a rule; empty when it writes none."""

    def families(self) -> Collection[Family]:
        """The IP families that this kernel serves."""

    async def sync(self, changed: Collection[ServiceName], model: Model) -> list[Outcome]:
        """Write what changed, one transaction a family. Costs what the change weighs."""

    async def sync_all(self, changed: Collection[ServiceName], model: Model) -> list[Outcome]:
        """Compare everything with the kernel and write the difference; the first call loads all Services."""

    def set_node_port_addresses(self, addresses: Collection[Address]) -> None:
        """Set where NodePorts answer; takes effect with the next sync."""

    def set_node_ips(self, addresses: Collection[Address]) -> None:
        """Set this node's own address in each family, which source ranges may admit; for the next sync."""

    def rule_counts(self) -> Mapping[Family, Mapping[str, RuleCount]]:
        """Of modes that write rules into other programs' tables: how many, by table."""

    def object_counts(self) -> Mapping[Family, Mapping[str, int]]:
        """How many objects of each kind the kernel should hold: elements by map, rules by table, virtual servers."""

    def metrics(self) -> Iterable[Sample]:
        """What only this mode counts."""

    def flow_model(self, services: ServedModel) -> ServedModel | None:
        """Where tracked flows to Services may lead, for whoever deletes stale ones; None: nobody may."""

    def packet_counters(self) -> Mapping[str, int]:
        """Packets that rules of this mode have counted, by what they did.

        Raises:
            OSError: the kernel could not be asked
        """

    def set_local_traffic(self, local_traffic: Mapping[Family, LocalTraffic]) -> None:
        """Set how each family's packets from local pods are recognised; takes effect with the next full sync."""

    def watch(self, on_tampering: Callable[[], None]) -> None:
        """Call back, on the running event loop, when somebody else changed what this backend programmed."""

    def close(self) -> None:
        """Let go of sockets; what is programmed stays."""
