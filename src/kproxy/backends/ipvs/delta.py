"""Differences between what the kernel holds and what it should, and what it takes to mend them."""

from collections.abc import Container

from kproxy.backends.ipvs.compile import VirtualServer, Weights
from kproxy.backends.ipvs.sets import SetName
from kproxy.kernel.ipset.elements import Element
from kproxy.kernel.ipvs.protocol import Backend, RealServerName, ServerKey, ServerSettings
from kproxy.kernel.links import HostAddress
from kproxy.services.addresses import Address


class Delta:
    """Changes to write, collected over any number of Services."""

    def __init__(self) -> None:
        self.servers_added: list[tuple[ServerKey, ServerSettings]] = []
        self.servers_changed: list[tuple[ServerKey, ServerSettings]] = []
        self.servers_removed: list[ServerKey] = []
        self.backends_added: list[tuple[ServerKey, Backend, int]] = []
        """With their weights."""
        self.backends_changed: list[tuple[ServerKey, Backend, int]] = []
        """Those that there are, with their new weights."""
        self.backends_removed: list[tuple[ServerKey, Backend]] = []
        self.addresses_added: list[Address] = []
        self.addresses_removed: list[Address] = []
        self.elements_added: dict[SetName, list[Element]] = {}
        self.elements_removed: dict[SetName, list[Element]] = {}

    def __bool__(self) -> bool:
        """Whether there is anything to write."""
        return any(vars(self).values())

    def leave_out(self, refused: Container[object]) -> None:
        """Forget what the kernel would refuse again: virtual servers, their real servers, addresses."""
        self.servers_added = [(key, settings) for key, settings in self.servers_added if key not in refused]
        self.servers_changed = [(key, settings) for key, settings in self.servers_changed if key not in refused]
        self.backends_added = [
            (key, backend, weight)
            for key, backend, weight in self.backends_added
            if key not in refused and RealServerName(key, backend) not in refused
        ]
        self.addresses_added = [address for address in self.addresses_added if HostAddress(address) not in refused]

    def add_server(self, key: ServerKey, server: VirtualServer) -> None:
        self.servers_added.append((key, server.settings))
        self.backends_added += [(key, backend, weight) for backend, weight in server.backends.items()]

    def change_server(self, key: ServerKey, old: VirtualServer, new: VirtualServer) -> None:
        if old.settings != new.settings:
            self.servers_changed.append((key, new.settings))
        self.change_backends(key, old.backends, new.backends)

    def change_backends(self, key: ServerKey, before: Weights, after: Weights) -> None:
        if before == after:
            return
        for backend, weight in after.items():
            had = before.get(backend)
            if had is None:
                self.backends_added.append((key, backend, weight))
            elif had != weight:
                self.backends_changed.append((key, backend, weight))
        self.backends_removed += [(key, backend) for backend in before if backend not in after]
