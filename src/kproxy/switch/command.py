"""`kproxy switch` from its options to its exit status."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeAlias

from rich.console import Console

from kproxy.inspect.output import ExitStatus, Format, complain, emit
from kproxy.sources.errors import SourceError
from kproxy.sources.kubeconfig import load_connection
from kproxy.switch.cluster import ClusterOptions, ClusterSwitch
from kproxy.switch.cluster_client import ClusterClient
from kproxy.switch.node import NodeOptions, NodeSwitch
from kproxy.switch.plan import Plan, Report, Step, SwitchError
from kproxy.switch.show import show_plan, show_result, show_step

Confirm: TypeAlias = Callable[[], bool]


class Asked(NamedTuple):
    """What the command line says of either switch."""

    dry_run: bool
    abort: bool
    format: Format
    confirm: Confirm
    """Asks the person who has seen the plan."""


def _telling(asked: Asked) -> Callable[[Step], None]:
    console = Console(highlight=False)
    return (lambda step: show_step(step, console)) if asked.format is Format.TABLE else lambda step: None


async def switch_node(options: NodeOptions, asked: Asked) -> ExitStatus:
    """Switch this node.

    Raises:
        SwitchError, InspectionError: it cannot be planned, or not be taken back
    """
    switch = NodeSwitch(options, _telling(asked))
    plan, found = await switch.plan()
    if asked.abort:
        return _end(await switch.abort(plan, found), asked)
    if (refused := _refused(plan, asked)) is not None:
        return refused
    return _end(await switch.run(plan, found), asked)


async def switch_cluster(kubeconfig: Path | None, options: ClusterOptions, asked: Asked) -> ExitStatus:
    """Switch a cluster.

    Raises:
        SwitchError: it cannot be planned, or not be taken back
    """
    try:
        async with ClusterClient(load_connection(kubeconfig), qps=50, burst=100) as client:
            switch = ClusterSwitch(client, options, _telling(asked))
            plan, found = await switch.plan()
            if asked.abort:
                await switch.roll_back(found)
                return _end(Report(plan=plan, steps=(), succeeded=True), asked)
            if (refused := _refused(plan, asked)) is not None:
                return refused
            return _end(await switch.run(plan, found), asked)
    except SourceError as error:
        raise SwitchError(str(error)) from error


def _refused(plan: Plan, asked: Asked) -> ExitStatus | None:
    """Show the plan; an exit status when it is not to be carried out."""
    if asked.format is Format.TABLE:
        show_plan(plan, Console(highlight=False))
    if asked.dry_run or not plan.possible:
        report = Report(plan=plan, steps=plan.steps, succeeded=False, dry_run=asked.dry_run)
        if asked.format is not Format.TABLE or plan.possible:
            emit(report, asked.format, lambda console: show_result(report, console))
        return ExitStatus.FINE if plan.possible else ExitStatus.FOUND
    if not asked.confirm():
        complain("kproxy switch: not confirmed, nothing was changed")
        return ExitStatus.FOUND
    return None


def _end(report: Report, asked: Asked) -> ExitStatus:
    emit(report, asked.format, lambda console: show_result(report, console))
    return ExitStatus.FINE if report.succeeded else ExitStatus.FOUND
