"""How many Service ports a Local traffic policy leaves without an endpoint on this node."""

from collections.abc import Collection, Iterable
from typing import NamedTuple

from kproxy.services.addresses import Family
from kproxy.services.model import Policy, ServiceName, ServicePort


class Lacking(NamedTuple):
    """Ports of one Service, or of all, for which the cluster has endpoints, but this node has none."""

    internal: int
    external: int


class NoLocalEndpoints:
    """Counts them, a Service at a time; Services without a Local policy take no room."""

    def __init__(self) -> None:
        self._of_service: dict[tuple[ServiceName, Family], Lacking] = {}
        self._totals: dict[Family, Lacking] = {family: Lacking(0, 0) for family in Family}

    def update(self, name: ServiceName, family: Family, ports: Iterable[ServicePort]) -> None:
        """Count one Service anew.

        Args:
            name: the Service
            family: of the ports
            ports: all its ports, none if neither of its policies is Local or if it is gone
        """
        old = self._of_service.pop((name, family), Lacking(0, 0))
        new = _lacking([port for port in ports if port.has_endpoints and not port.local_endpoints])
        if any(new):
            self._of_service[name, family] = new
        total = self._totals[family]
        self._totals[family] = Lacking(
            total.internal + new.internal - old.internal, total.external + new.external - old.external
        )

    def total(self, family: Family) -> Lacking:
        """Of all Services."""
        return self._totals[family]


def _lacking(ports: Collection[ServicePort]) -> Lacking:
    return Lacking(
        sum(port.internal_policy is Policy.LOCAL for port in ports),
        sum(port.external_policy is Policy.LOCAL and port.externally_accessible for port in ports),
    )
