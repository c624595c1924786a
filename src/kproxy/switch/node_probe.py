"""Does a node's proxy serve? Asked over the network, from wherever the command runs."""

import asyncio
import time
from collections.abc import Sequence
from typing import NamedTuple

import aiohttp

from kproxy.config import KubeProxyConfiguration
from kproxy.config.addresses import parse_endpoint
from kproxy.inspect.detection.endpoint import fetch
from kproxy.switch.plan import SwitchError
from kproxy.switch.traffic import connects

_SECONDS = 3.0
_INTERVAL = 0.2


class Baseline(NamedTuple):
    """What a node answers before its switch."""

    healthz: bool
    """It can be asked from here at all."""
    node_ports: tuple[int, ...]

    @property
    def tells_nothing(self) -> bool:
        return not self.healthz and not self.node_ports


class NodeProbe:
    """Asks nodes as the proxy's configuration says."""

    def __init__(self, configuration: KubeProxyConfiguration, node_ports: Sequence[int]) -> None:
        self._health = _port(configuration.healthz_bind_address)
        self._metrics = _reachable_port(configuration.metrics_bind_address)
        self._node_ports = node_ports

    async def baseline(self, address: str) -> Baseline:
        """What a node answers now."""
        answers = await asyncio.gather(*(connects(address, port) for port in self._node_ports))
        healthy = await self._status(address, self._health, "/healthz") == 200
        found = (port for port, answered in zip(self._node_ports, answers, strict=True) if answered)
        return Baseline(healthy, tuple(found))

    async def verify(self, address: str, mode: str, before: Baseline, patience: float) -> str:
        """Wait until a node answers as it did; returns what was seen, in words.

        Raises:
            SwitchError: it does not in time
        """
        deadline = time.monotonic() + patience
        while why := await self._lacks(address, mode, before):
            if time.monotonic() > deadline:
                raise SwitchError(f"not verified within {patience:g} s: {why}")
            # Nothing outside the node announces that its rules are in place.
            await asyncio.sleep(_INTERVAL)
        health = "healthy, " if before.healthz else ""
        return f"{health}{len(before.node_ports)} NodePorts answer as before"

    async def _lacks(self, address: str, mode: str, before: Baseline) -> str:
        if before.healthz and (status := await self._status(address, self._health, "/healthz")) != 200:
            return f"{address}: /healthz answers {status or 'nothing'}"
        if self._metrics and before.healthz:
            said = await self._body(address, self._metrics, "/proxyMode")
            if said and said != mode:
                return f"{address}: /proxyMode answers {said}"
        answers = await asyncio.gather(*(connects(address, port) for port in before.node_ports))
        silent = [str(port) for port, answered in zip(before.node_ports, answers, strict=True) if not answered]
        return f"{address}: no answer on NodePort {', '.join(silent[:3])}" if silent else ""

    async def _status(self, address: str, port: int, path: str) -> int | None:
        answer = await _get(address, port, path)
        return answer[0] if answer else None

    async def _body(self, address: str, port: int, path: str) -> str:
        answer = await _get(address, port, path)
        return answer[1] if answer and answer[0] == 200 else ""


async def _get(address: str, port: int, path: str) -> tuple[int, str] | None:
    if not port:
        return None
    host = f"[{address}]" if ":" in address else address
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_SECONDS)) as session:
        answer = await fetch(session, f"{host}:{port}", path)
    return (answer.status, answer.body.decode(errors="replace").strip()) if answer else None


def _port(address: str) -> int:
    try:
        return parse_endpoint(address).port
    except ValueError:
        return 0


def _reachable_port(address: str) -> int:
    """Of a server that listens on more than loopback; 0 otherwise."""
    try:
        endpoint = parse_endpoint(address)
    except ValueError:
        return 0
    return 0 if endpoint.address.is_loopback else endpoint.port
