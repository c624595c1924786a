"""The node's mode, from everything that tells it, with the evidence for it."""

import asyncio
from typing import NamedTuple

from kproxy.inspect.detection.endpoint import DEFAULT_HEALTHZ, DEFAULT_METRICS, RunningProxy, ask
from kproxy.inspect.detection.footprints import Footprint, Owner, read_kernel
from kproxy.inspect.detection.processes import ProxyProcess, proxy_processes


class Detection(NamedTuple):
    """What was found."""

    mode: str | None
    """None when nothing shows any mode, or the kernel shows several and no proxy says which."""
    owner: Owner | None
    """Whose rules serve; None along with the mode."""
    evidence: tuple[str, ...]
    running: RunningProxy | None
    processes: tuple[ProxyProcess, ...]
    footprints: tuple[Footprint, ...]
    stale: tuple[Footprint, ...]
    """Footprints that are not the running proxy's: of other modes, or of the other program."""
    problems: tuple[str, ...]

    @property
    def active(self) -> tuple[Footprint, ...]:
        """The footprints of the mode."""
        return tuple(footprint for footprint in self.footprints if footprint not in self.stale)


async def detect(metrics: str = DEFAULT_METRICS, healthz: str = DEFAULT_HEALTHZ) -> Detection:
    """Ask the proxy that runs here, and look into the kernel of the calling thread's network namespace."""
    running, kernel, processes = await asyncio.gather(
        ask(metrics, healthz), asyncio.to_thread(read_kernel), asyncio.to_thread(proxy_processes)
    )
    footprints = kernel.footprints
    mode, evidence = _mode(running, footprints)
    stale = tuple(each for each in footprints if mode is not None and not belongs(each, mode, running))
    active = [each for each in footprints if each not in stale]
    return Detection(
        mode=mode,
        owner=_owner(running, active, mode),
        evidence=evidence,
        running=running,
        processes=tuple(processes),
        footprints=footprints,
        stale=stale,
        problems=kernel.problems,
    )


def _mode(running: RunningProxy | None, footprints: tuple[Footprint, ...]) -> tuple[str | None, tuple[str, ...]]:
    from_kernel = tuple(f"kernel: {words}" for footprint in footprints for words in footprint.evidence)
    if running is not None:
        said = f"http://{running.address}/proxyMode answers {running.mode}"
        mine = tuple(f"kernel: {w}" for each in footprints if each.mode == running.mode for w in each.evidence)
        return running.mode, (said, *mine)
    modes = {footprint.mode for footprint in footprints}
    if len(modes) == 1:
        return modes.pop(), from_kernel
    return None, from_kernel


_BORROWED = {"userspace": ("nftables", "iptables")}
"""Modes whose kernel objects are another mode's: userspace mode redirects with that one's rules."""


def belongs(footprint: Footprint, mode: str, running: RunningProxy | None) -> bool:
    """Whether kernel objects are those of a mode, and of the program that runs in it."""
    if footprint.mode not in _BORROWED.get(mode, (mode,)):
        return False
    if running is None or Owner.EITHER in (footprint.owner, running.owner):
        return True
    return footprint.owner is running.owner


def _owner(running: RunningProxy | None, active: list[Footprint], mode: str | None) -> Owner | None:
    if running is not None and running.owner is not Owner.EITHER:
        return running.owner
    if mode is None:
        return None
    return next((each.owner for each in active), Owner.EITHER)
