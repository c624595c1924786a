"""`kproxy bench local`: every mode on this machine, and other proxies beside it."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from kproxy.cli.benchmarks.options import INTERRUPTED, OutOption, numbers, save_report

SIZES = "100,1000,3000,10000,30000"


def local(
    modes: Annotated[str, typer.Option(help="Which modes, with commas between them; also iptables-nft.")] = (
        "nftables,iptables,ipvs,userspace"
    ),
    services: Annotated[
        str, typer.Option(help="How many Services: a list.  [default: 100,1000,3000,10000,30000]")
    ] = "",
    endpoints: Annotated[int, typer.Option(min=1, max=1000, help="Endpoints of each Service.")] = 10,
    rounds: Annotated[
        int | None, typer.Option(min=1, help="Rounds of each: 5 unless given; 1 with --quick, if nothing is beside it.")
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(help="Another kube-proxy's command, run turn by turn on the same inputs; may be repeated."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="100 and 1,000 Services, one round, few samples.")] = False,
    out: OutOption = Path("bench-results/local"),
) -> None:
    """Measure every mode that this machine has, in network namespaces, with real traffic. Needs root.

    Measures rule updates (from the API until a connection sees them), full sync, connection set-up, requests per
    second, throughput, CPU, memory, kernel memory and kernel objects. Ctrl-C keeps what was measured until then.

    [bold]Examples[/bold]

      kproxy bench local --quick                    # a minute or two

      kproxy bench local                            # everything, half an hour

      kproxy bench local --modes iptables --services 1000,5000 --against /usr/local/bin/kube-proxy
    """
    from kproxy.bench.cluster import Size
    from kproxy.bench.interruption import run_until_interrupted
    from kproxy.bench.local import suite
    from kproxy.bench.local.contenders import Contender, Mode, ours
    from kproxy.bench.local.effort import FULL, QUICK, ROUNDS
    from kproxy.bench.progress import Progress
    from kproxy.lab.privileges import LabUnavailableError, obtain

    try:
        wanted = [Mode(name.strip()) for name in modes.split(",")]
    except ValueError as error:
        raise typer.BadParameter(f"{error}; there are {', '.join(Mode)}") from None
    sizes = [Size(count, endpoints) for count in numbers(services or ("100,1000" if quick else SIZES), "--services")]
    effort = QUICK if quick else FULL
    if rounds or against:
        effort = effort._replace(rounds=rounds or ROUNDS)
    found, remarks = suite.available(wanted)
    rivals = [Contender(f"other{number or ''}", tuple(shlex.split(text))) for number, text in enumerate(against or ())]
    plan = suite.Plan(found, sizes, [ours(), *rivals], effort, suite.LIMITS)
    for remark in remarks:
        typer.echo(remark, err=True)
    if not found:
        raise typer.Exit(1)
    result = suite.new_result(plan, ["kproxy", *sys.argv[1:]], remarks + plan.left_out())
    complete = False
    try:
        obtain()
        with Progress(plan.weight) as progress:
            complete = run_until_interrupted(suite.run(plan, result, progress))
    except LabUnavailableError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    finally:
        if result.runs:
            save_report(result, out)
    if not complete:
        raise typer.Exit(INTERRUPTED)
