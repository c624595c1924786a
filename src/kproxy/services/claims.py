"""Who owns an address and port that several Services claim.

Nothing in the API stops two Services from naming the same external IP (CVE-2020-8554) or, in manifests, the
same node port. The kernel has one answer per address and port, so the older Service has it and the others
wait: a newcomer never takes traffic away.
"""

from typing import NamedTuple, TypeAlias

from kproxy.services.addresses import Address, format_address
from kproxy.services.model import ServiceName
from kproxy.services.objects import Protocol
from kproxy.services.specification import Specification


class Frontend(NamedTuple):
    """An address and port on which a Service can be reached; a node port has the address b""."""

    address: Address
    protocol: Protocol
    port: int

    def __str__(self) -> str:
        where = f"{format_address(self.address)} port" if self.address else "node port"
        return f"{where} {self.port}/{self.protocol}"


Seniority: TypeAlias = tuple[str, ServiceName]
"""Creation time, then name: the smaller one wins."""


def frontends(service: Specification) -> set[Frontend]:
    """Every address and port of a Service."""
    found: set[Frontend] = set()
    for addresses in (service.ipv4, service.ipv6):
        if addresses is None:
            continue
        for address in (addresses.cluster_ip, *addresses.external_ips, *addresses.load_balancer_ips):
            found.update(Frontend(address, port.protocol, port.port) for port in service.ports)
    found.update(Frontend(b"", port.protocol, port.node_port) for port in service.ports if port.node_port)
    return found


class Claims:
    """The owner of each frontend, and who waits for it."""

    def __init__(self) -> None:
        self._owner: dict[Frontend, Seniority] = {}
        self._waiting: dict[Frontend, set[Seniority]] = {}
        self._denied: dict[ServiceName, set[Frontend]] = {}

    def denied(self, service: ServiceName) -> set[Frontend]:
        """The frontends that the Service claims and another one owns."""
        return self._denied.get(service, set())

    def owner(self, frontend: Frontend) -> ServiceName | None:
        seniority = self._owner.get(frontend)
        return seniority[1] if seniority else None

    def replace(self, old: Specification | None, new: Specification | None) -> set[ServiceName]:
        """Exchange one Service's claims for its new ones.

        Returns the other Services that gained or lost a frontend by it.
        """
        before = frontends(old) if old else set()
        after = frontends(new) if new else set()
        if old and new and old.created == new.created and before == after:
            return set()
        affected: set[ServiceName] = set()
        if old:
            for frontend in before:
                affected |= self._release(frontend, (old.created, old.name))
        if new:
            for frontend in after:
                affected |= self._claim(frontend, (new.created, new.name))
        name = (new or old).name if new or old else None  # type: ignore[union-attr]
        return affected - {name} if name else affected

    def _claim(self, frontend: Frontend, claimant: Seniority) -> set[ServiceName]:
        owner = self._owner.get(frontend)
        if owner is None:
            self._owner[frontend] = claimant
            return set()
        loser = max(owner, claimant)
        self._owner[frontend] = min(owner, claimant)
        self._waiting.setdefault(frontend, set()).add(loser)
        self._denied.setdefault(loser[1], set()).add(frontend)
        return {owner[1]} if loser == owner else set()

    def _release(self, frontend: Frontend, claimant: Seniority) -> set[ServiceName]:
        waiting = self._waiting.get(frontend)
        if self._owner[frontend] != claimant:
            if waiting:
                waiting.discard(claimant)
                self._forget_if_nobody_waits(frontend)
            self._allow(frontend, claimant)
            return set()
        if not waiting:
            del self._owner[frontend]
            return set()
        heir = min(waiting)
        waiting.remove(heir)
        self._owner[frontend] = heir
        self._allow(frontend, heir)
        self._forget_if_nobody_waits(frontend)
        return {heir[1]}

    def _allow(self, frontend: Frontend, claimant: Seniority) -> None:
        denied = self._denied.get(claimant[1])
        if denied:
            denied.discard(frontend)
            if not denied:
                del self._denied[claimant[1]]

    def _forget_if_nobody_waits(self, frontend: Frontend) -> None:
        if not self._waiting.get(frontend):
            self._waiting.pop(frontend, None)
