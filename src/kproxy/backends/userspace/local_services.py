"""The table of local ports, for people who run the proxy without redirection."""

from collections.abc import Iterable
from typing import NamedTuple

from kproxy.services.addresses import format_address
from kproxy.services.model import ServicePort


class LocalService(NamedTuple):
    """A Service port, and where it can be reached on this machine."""

    service: str
    """`<namespace>/<name>`, and the port's name behind a colon if it has one."""
    port: int
    protocol: str
    address: str
    local_port: int
    endpoints: int

    @property
    def reachable_at(self) -> str:
        """Address and port as URLs have them."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.local_port}"


def local_service(port: ServicePort, address: bytes, local_port: int) -> LocalService:
    return LocalService(
        str(port), port.port, port.protocol, format_address(address), local_port, len(port.internal_endpoints)
    )


def table(services: Iterable[LocalService]) -> str:
    """Lines of plain text, sorted by Service."""
    rows = [("SERVICE", "PORT", "LOCAL ADDRESS", "ENDPOINTS")]
    rows += [
        (each.service, f"{each.port}/{each.protocol}", each.reachable_at, str(each.endpoints))
        for each in sorted(services)
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
