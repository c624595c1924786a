"""The node that the benchmark runs on: the proxy's process there, and the kernel that it programs."""

import asyncio
import os
from pathlib import Path
from typing import Final

from kproxy.bench.local.contenders import Mode, obstacle
from kproxy.bench.local.kernel_state import KernelMemory, count_objects, settled_memory
from kproxy.bench.local.usage import AT_REST, Usage, at_rest
from kproxy.bench.remote.witnesses import UnavailableError, Witness
from kproxy.bench.results.schema import Run
from kproxy.inspect.detection.detect import Detection
from kproxy.inspect.detection.processes import ProxyProcess

_REST_SECONDS: Final = 20.0
_IDLE_SECONDS: Final = 2.0
_SETTLE_SECONDS: Final = 3.0
"""No longer than that: on a node that others use, memory never settles."""


class ProxyUsage(Witness):
    """CPU and memory of the proxy's process, from /proc."""

    subject = "CPU and memory of this node's proxy"

    def __init__(self, run: Run, detection: Detection) -> None:
        super().__init__(run)
        self._detection = detection
        self._pid = 0
        self._cpu = 0.0

    async def before(self) -> None:
        self._pid = proxy_pid(self._detection)
        self._cpu = self._used()

    async def created(self) -> None:
        self._run.add("cpu_creation", [self._used() - self._cpu])
        busy = await at_rest(self._pid, _REST_SECONDS)
        if busy > AT_REST:
            self._run.miss(f"the proxy was not at rest before the changes: {busy:.0%} of a core")
        begin, at = Usage.of(self._pid), asyncio.get_running_loop().time()
        self._run.add("resident", [float(begin.resident)])
        await asyncio.sleep(_IDLE_SECONDS)
        self._run.add("cpu_idle", [(self._used() - begin.cpu) / (asyncio.get_running_loop().time() - at)])

    async def changing(self) -> None:
        self._cpu = self._used()

    async def changed(self, changes: int) -> None:
        self._run.add("cpu_change", [(self._used() - self._cpu) / changes])

    async def finished(self) -> None:
        self._run.add("resident_peak", [float(Usage.of(self._pid).peak)])

    def _used(self) -> float:
        return Usage.of(self._pid).cpu


class KernelMemoryGrowth(Witness):
    """Memory of this machine's kernel, if it is the kernel that the proxy programs."""

    subject = "kernel memory"

    def __init__(self, run: Run, detection: Detection) -> None:
        super().__init__(run)
        self._detection = detection
        self._memory = KernelMemory(0, 0, 0)

    async def before(self) -> None:
        _check_node(self._detection)
        self._memory = await settled_memory(_SETTLE_SECONDS)

    async def created(self) -> None:
        memory = await settled_memory(_SETTLE_SECONDS)
        self._run.add("kernel_memory", [float(memory.total - self._memory.total)])
        self._run.add("kernel_slab", [float(memory.slab - self._memory.slab)])


class KernelObjects(Witness):
    """Objects of the kinds that the proxy makes, all of them: others may have some, so that only growth is ours."""

    subject = "kernel objects"

    def __init__(self, run: Run, detection: Detection) -> None:
        super().__init__(run)
        self._detection = detection
        self._modes: list[Mode] = []
        self._before = 0

    async def before(self) -> None:
        _check_node(self._detection)
        self._modes = _countable(self._detection.mode)
        self._before = await self._count()

    async def created(self) -> None:
        growth = await self._count() - self._before
        if growth <= 0:
            raise UnavailableError("this network namespace's did not grow with the Services: another's are the proxy's")
        self._run.add("kernel_objects_added", [float(growth)])

    async def _count(self) -> int:
        return await asyncio.to_thread(lambda: sum(map(count_objects, self._modes)))


def proxy_pid(detection: Detection) -> int:
    """The process of this node's proxy; its workers, which are children, are not proxies of their own.

    Raises:
        UnavailableError: none is seen, or several are
    """
    found = {each.pid: each for each in detection.processes}
    proxies = [each for each in found.values() if _parent(each) not in found]
    if not proxies:
        raise UnavailableError(
            "no proxy's process is seen in this network namespace: run this as root on a node, "
            "or in a pod with hostNetwork and hostPID"
        )
    if len(proxies) > 1:
        raise UnavailableError(f"several proxies run here: {'; '.join(map(str, proxies))}")
    return proxies[0].pid


def _parent(process: ProxyProcess) -> int:
    try:
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    return int(dict(line.partition(":")[::2] for line in status.splitlines()).get("PPid", "0"))


def _check_node(detection: Detection) -> None:
    """Whether this is the kernel, and the network namespace, that the proxy programs.

    Raises:
        UnavailableError: it is not, or it cannot be told
    """
    if os.geteuid() != 0:
        raise UnavailableError("reading it takes root")
    if not detection.processes and not detection.active:
        raise UnavailableError(
            "this network namespace has neither a proxy's process nor its rules: run this on a node, or in a pod with "
            "hostNetwork"
        )


def _countable(mode: str | None) -> list[Mode]:
    """What to list for a configured mode: of iptables, every variant that is installed.

    Raises:
        UnavailableError: the mode is unknown, or nothing here can list it
    """
    if mode is None:
        raise UnavailableError("the proxy's mode is not known: its metrics do not answer, and its rules do not tell")
    candidates = [each for each in Mode if each.configured == mode]
    found = [each for each in candidates if obstacle(each) is None]
    if not found:
        raise UnavailableError("; ".join(reason for each in candidates if (reason := obstacle(each))) or f"mode {mode}")
    return found
