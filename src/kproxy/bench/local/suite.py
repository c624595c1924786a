"""All modes, sizes and contenders, turn by turn, in rounds; what was measured is kept, whatever ends the run."""

import asyncio
import itertools
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from kproxy.apiserver import Store
from kproxy.bench import api
from kproxy.bench.cluster import Size
from kproxy.bench.local.contenders import Contender, Mode, commands, obstacle
from kproxy.bench.local.effort import Effort
from kproxy.bench.local.load_programs import missing
from kproxy.bench.local.measurement import MeasurementError, extra_services, measure
from kproxy.bench.progress import Progress
from kproxy.bench.results.machine import describe
from kproxy.bench.results.noise import NoiseMeter
from kproxy.bench.results.schema import Result
from kproxy.daemon import memory
from kproxy.lab.probe import now
from kproxy.lab.proxy import ProxyFailedError

_WORDS: Final = 400
LIMITS: Final = {Mode.IPTABLES_NFT: 3_000}
"""Beyond, a start takes minutes: iptables-nft builds its rule-set slowly."""


class Plan(NamedTuple):
    """What is measured."""

    modes: Sequence[Mode]
    sizes: Sequence[Size]
    contenders: Sequence[Contender]
    effort: Effort
    limits: dict[Mode, int]
    """The most Services that a mode is given; without an entry, any number."""

    def turns(self, size: Size, round_: int) -> list[tuple[Mode, Contender]]:
        """The order of one round: contenders in turn, none always first."""
        modes = [mode for mode in self.modes if size.services <= self.limits.get(mode, size.services)]
        contenders = list(self.contenders)
        shift = round_ % len(contenders)
        return list(itertools.product(modes, contenders[shift:] + contenders[:shift]))

    def left_out(self) -> list[str]:
        """Remarks on the limits that this plan runs into."""
        largest = max(size.services for size in self.sizes)
        return [
            f"mode {mode} is measured up to {limit:,} Services only"
            for mode, limit in self.limits.items()
            if mode in self.modes and limit < largest
        ]

    @property
    def weight(self) -> float:
        """Of the whole run, in the units of `cost`."""
        return sum(
            cost(mode, size)
            for size in self.sizes
            for n in range(self.effort.rounds)
            for mode, _ in self.turns(size, n)
        )


def cost(mode: Mode, size: Size) -> float:
    """About how many seconds a round takes, for the estimate of the time left."""
    dearer = {Mode.IPTABLES: 1.5e-4, Mode.IPTABLES_NFT: 1e-3, Mode.USERSPACE: 5e-5, Mode.IPVS: 5e-5}
    return 20 + size.total * (2e-5 + dearer.get(mode, 0.0))


def available(modes: Sequence[Mode]) -> tuple[list[Mode], list[str]]:
    """The modes that can work here, and remarks on the others."""
    found, remarks = [], []
    for mode in modes:
        if (reason := obstacle(mode)) is None:
            found.append(mode)
        else:
            remarks.append(f"mode {mode} is left out: {reason}")
    return found, remarks


async def run(plan: Plan, result: Result, progress: Progress) -> None:
    """Measure into a result until done or cancelled; what is there by then is whole rounds and parts of one."""
    meter = NoiseMeter()
    begin = now()
    try:
        for size in plan.sizes:
            progress.doing(f"{size}: filling the API")
            store = Store()
            api.fill(store, size)
            extra_services(store, size)
            memory.settle()  # or this process's collections would show in every latency
            for number in range(plan.effort.rounds):
                for mode, contender in plan.turns(size, number):
                    meter.probe()
                    await _turn(plan, mode, contender, size, store, number, result, progress)
    except asyncio.CancelledError:
        result.interrupted = True
        raise
    finally:
        meter.probe()
        result.noise = meter.result()
        result.seconds = now() - begin


def new_result(plan: Plan, command: Sequence[str], remarks: Sequence[str]) -> Result:
    """An empty result of a plan."""
    return Result(
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        command=list(command),
        machine=describe(),
        contenders=commands(plan.contenders),
        settings=plan.effort.settings(),
        remarks=[*remarks, *missing()],
    )


async def _turn(
    plan: Plan,
    mode: Mode,
    contender: Contender,
    size: Size,
    store: Store,
    number: int,
    result: Result,
    progress: Progress,
) -> None:
    label = f"{contender.name}, {mode}, {size.services:,} × {size.endpoints}, round {number + 1}"
    run_ = result.run(contender.name, mode.value, size.services, size.endpoints)
    try:
        await measure(contender, mode, size, store, plan.effort, run_, lambda what: progress.doing(f"{label}: {what}"))
    except (MeasurementError, ProxyFailedError, OSError) as error:
        words = " ".join(str(error).split())[-_WORDS:]
        run_.miss(words)
        progress.note(f"{label}: {words}")
    progress.advance(cost(mode, size))
