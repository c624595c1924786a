"""What the kernel holds of one family, read back."""

from typing import NamedTuple

from kproxy.backends.ipvs.sets import SetName, specifications
from kproxy.kernel.interface_addresses import VIRTUAL_SERVERS_INTERFACE
from kproxy.kernel.ipset.elements import Element, SetType
from kproxy.kernel.ipset.socket import ListedSet, SetSocket
from kproxy.kernel.ipvs.listing import read_real_servers
from kproxy.kernel.ipvs.protocol import Backend, ServerKey, ServerSettings
from kproxy.kernel.ipvs.socket import IpvsSocket
from kproxy.kernel.links import LinkSocket
from kproxy.services.addresses import Address, Family

INTERFACE = VIRTUAL_SERVERS_INTERFACE
"""The dummy interface that has the addresses of all Services."""


class Sockets(NamedTuple):
    """To the parts of the kernel that the mode programs."""

    ipvs: IpvsSocket
    sets: SetSocket
    links: LinkSocket

    def close(self) -> None:
        for socket in self:
            socket.close()


class PresentServer(NamedTuple):
    settings: ServerSettings
    weights: dict[Backend, int]


class PresentState(NamedTuple):
    """What there is, ours or not."""

    interface: int
    """The index of our dummy interface, 0 when there is none."""
    servers: dict[ServerKey, PresentServer]
    addresses: frozenset[Address]
    """On our dummy interface."""
    own_addresses: frozenset[Address]
    """On all other interfaces."""
    sets: dict[SetName, ListedSet | None]

    def elements(self, name: SetName) -> set[Element]:
        listed = self.sets[name]
        return listed.elements if listed else set()


def read(sockets: Sockets, family: Family) -> PresentState:
    """Read everything, in a fixed number of requests.

    Args:
        sockets: to ask
        family: whose objects

    Raises:
        OSError: the kernel refuses
    """
    real_servers = read_real_servers()
    servers = {
        key: PresentServer(settings, {s.backend: s.weight for s in real_servers.get(key, ())})
        for key, settings in sockets.ipvs.servers()
        if len(key.address) == family.length
    }
    interface = sockets.links.index(INTERFACE)
    by_interface = sockets.links.addresses()
    own = {a for index, found in by_interface.items() if index != interface for a in found}
    sets = {name: _usable(sockets.sets.list(wanted), wanted.type) for name, wanted in specifications(family).items()}
    return PresentState(
        interface,
        servers,
        frozenset(a for a in by_interface.get(interface, ()) if len(a) == family.length and not _link_local(a)),
        frozenset(a for a in own if len(a) == family.length),
        sets,
    )


def _usable(listed: ListedSet | None, type_: SetType) -> ListedSet | None:
    return listed if listed is None or listed.type == type_.value else listed._replace(elements=set())


def _link_local(address: Address) -> bool:
    """fe80::/10: what the kernel gives an interface that somebody switched on."""
    return len(address) == 16 and address[0] == 0xFE and address[1] & 0xC0 == 0x80
