"""Do Services answer? Connections through their cluster IPs, before and after a switch."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from kproxy.services.addresses import Address, format_address
from kproxy.services.model import ServicePort

_SECONDS = 2.0
_AT_ONCE = 32
_MOST = 200
"""Services that are tried; in a larger cluster, every n-th."""


class Target(NamedTuple):
    name: str
    address: Address
    port: int

    def __str__(self) -> str:
        host = format_address(self.address)
        return f"{self.name} ({f'[{host}]' if ':' in host else host}:{self.port})"


def targets(ports: Iterable[ServicePort]) -> list[Target]:
    """The TCP Services with endpoints, evenly thinned out where there are many."""
    found = [
        Target(str(port), port.cluster_ip, port.port)
        for port in ports
        if port.protocol == "TCP" and port.internal_endpoints
    ]
    step = -(-len(found) // _MOST) or 1
    return found[::step]


async def answering(wanted: Sequence[Target]) -> set[Target]:
    """Those that accept a connection now."""
    limit = asyncio.Semaphore(_AT_ONCE)

    async def ask(target: Target) -> Target | None:
        async with limit:
            return target if await connects(format_address(target.address), target.port) else None

    return {target for target in await asyncio.gather(*map(ask, wanted)) if target is not None}


async def connects(host: str, port: int) -> bool:
    """Whether a TCP connection is accepted in time."""
    try:
        async with asyncio.timeout(_SECONDS):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
