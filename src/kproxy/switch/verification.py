"""Does the new mode serve, all of it? Asked of the proxy, of the Services, and of the kernel."""

import asyncio
import time
from collections.abc import Sequence
from typing import NamedTuple

from kproxy.inspect.detection.detect import detect
from kproxy.inspect.detection.endpoint import RunningProxy, ask
from kproxy.inspect.detection.footprints import Owner
from kproxy.kernel.ipvs.listing import read_real_servers
from kproxy.switch.plan import SwitchError
from kproxy.switch.traffic import Target, answering

_INTERVAL = 0.1
_LAST_SYNC = "kubeproxy_sync_proxy_rules_last_timestamp_seconds"


class Leftovers(NamedTuple):
    """What is left of other modes."""

    modes: set[str]
    in_use: int
    """Virtual servers of IPVS mode that have connections, where the proxy removes them once they have none."""
    proxys: bool
    """The proxy removes them, and nobody else should."""


class Verification(NamedTuple):
    """Asks the proxy of this node."""

    metrics: str
    """`address:port` of its metrics server."""
    healthz: str
    """`address:port` of its health server."""

    async def serves(self, mode: str, wanted: Sequence[Target], since: float, patience: float) -> str:
        """Wait until the proxy has synced in a mode and is healthy, and Services answer; returns so, in words.

        As long as the old mode's rules are there it may be these that answer, so the time of the last sync counts, too.

        Args:
            mode: the one that it is to be in
            wanted: those that must answer
            since: when it was restarted, in Unix time
            patience: in seconds

        Raises:
            SwitchError: not in time
        """

        async def lacking() -> str:
            if why := _lacks(await ask(self.metrics, self.healthz), mode, since):
                return why
            silent = set(wanted) - await answering(wanted)
            return f"no answer from {', '.join(sorted(map(str, silent))[:3])}" if silent else ""

        deadline = time.monotonic() + patience
        while why := await lacking():
            if time.monotonic() > deadline:
                raise SwitchError(f"not verified within {patience:g} s: {why}")
            # A proxy that starts announces nothing to others, so it has to be asked again.
            await asyncio.sleep(_INTERVAL)
        return f"{mode} mode, healthy, {len(wanted)} of {len(wanted)} Services answer as before"

    async def leftovers(self, patience: float) -> Leftovers:
        """What is in the kernel beside the running mode's rules.

        Kproxy removes it by itself, after the first sync in its mode: to be faster would be to remove the old rules
        before all of the new ones are there. It gets the time for it.

        Args:
            patience: in seconds; 0 for a proxy that has been in its mode for long
        """
        deadline = time.monotonic() + patience
        while True:
            found = await detect(self.metrics, self.healthz)
            modes = {footprint.mode for footprint in found.stale}
            proxys = patience > 0 and found.running is not None and found.running.owner is Owner.KPROXY
            in_use = await asyncio.to_thread(_in_use) if proxys and modes == {"ipvs"} else 0
            if not modes or not proxys or in_use or time.monotonic() > deadline:
                return Leftovers(modes, in_use, proxys=proxys)
            await asyncio.sleep(_INTERVAL)


def _in_use() -> int:
    try:
        servers = read_real_servers()
    except FileNotFoundError:
        return 0  # no IPVS, no virtual servers
    return sum(any(real.connections for real in found) for found in servers.values())


def _lacks(running: RunningProxy | None, mode: str, since: float) -> str:
    if running is None:
        return "no proxy answers"
    if running.mode != mode:
        return f"/proxyMode answers {running.mode}"
    if running.healthz is None or running.healthz.status != 200:
        return f"/healthz answers {running.healthz.status if running.healthz else 'nothing'}"
    synced = [sample.value for sample in running.values(_LAST_SYNC)]
    return f"the last sync was before the restart ({_LAST_SYNC})" if synced and min(synced) < since else ""
