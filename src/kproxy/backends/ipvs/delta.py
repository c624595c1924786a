"""Differences between what the kernel holds and what it should, and what it takes to mend them."""

from collections.abc import Sized

from kproxy.backends.ipvs.compile import VirtualServer
from kproxy.backends.ipvs.sets import SetName
from kproxy.kernel.ipset.elements import Element
from kproxy.kernel.ipvs.protocol import Backend, ServerKey, ServerSettings
from kproxy.services.addresses import Address


class Delta:
    """Changes to write, collected over any number of Services."""

    def __init__(self) -> None:
        self.servers_added: list[tuple[ServerKey, ServerSettings]] = []
        self.servers_changed: list[tuple[ServerKey, ServerSettings]] = []
        self.servers_removed: list[ServerKey] = []
        self.backends_added: list[tuple[ServerKey, Backend]] = []
        self.backends_removed: list[tuple[ServerKey, Backend]] = []
        self.addresses_added: list[Address] = []
        self.addresses_removed: list[Address] = []
        self.elements_added: dict[SetName, list[Element]] = {}
        self.elements_removed: dict[SetName, list[Element]] = {}

    def __len__(self) -> int:
        lists: tuple[Sized, ...] = (
            self.servers_added,
            self.servers_changed,
            self.servers_removed,
            self.backends_added,
            self.backends_removed,
            self.addresses_added,
            self.addresses_removed,
            *self.elements_added.values(),
            *self.elements_removed.values(),
        )
        return sum(map(len, lists))

    def add_server(self, key: ServerKey, server: VirtualServer) -> None:
        self.servers_added.append((key, server.settings))
        self.backends_added += [(key, backend) for backend in server.backends]

    def change_server(self, key: ServerKey, old: VirtualServer, new: VirtualServer) -> None:
        if old.settings != new.settings:
            self.servers_changed.append((key, new.settings))
        if old.backends != new.backends:
            self.backends_added += [(key, backend) for backend in new.backends - old.backends]
            self.backends_removed += [(key, backend) for backend in old.backends - new.backends]
