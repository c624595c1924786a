"""What the demo says, in colour on a terminal."""

import shlex
from collections import Counter
from collections.abc import Sequence
from statistics import median

from rich.console import Console
from rich.markup import escape

from kproxy.lab.demo_plan import Measured, Visit
from kproxy.lab.goodness_of_fit import chi_square
from kproxy.lab.load import Load, quantile
from kproxy.lab.privileges import Privilege
from kproxy.lab.probe import Sample

SUSPICIOUS = 1e-6
"""A p-value below which a spread counts as uneven: a fair balancer meets it once in a million samples."""

GOOD, BAD = "[green]✓[/]", "[red]✗[/]"


def privileged(console: Console, privilege: Privilege) -> None:
    console.print(f"[dim]Built with the rights of {privilege.value}, in namespaces that end with this process.[/]")


def heading(console: Console, text: str) -> None:
    console.print(f"\n[bold]{text}[/]")


def built(console: Console, hosts: int, seconds: float) -> None:
    heading(console, "A node and its neighbours")
    console.print("  node (pod-a pod-b pod-x) ─ fabric ─ peer (pod-c pod-d), ext: a client outside the cluster")
    console.print(f"  {GOOD} {hosts} network namespaces wired, servers running: {_ms(seconds)}")


def synced(console: Console, argv: Sequence[str], pid: int, seconds: float) -> None:
    command = escape(shlex.join(argv))
    console.print(f"  {GOOD} API server in the node, then {command} (pid {pid}): start to first sync {_ms(seconds)}")


def created(console: Console, title: str, seconds: float, commits: int) -> None:
    console.print(f"  {GOOD} {title}: API to kernel {_ms(seconds)} ({_commits(commits)})")


def visited(console: Console, visit: Visit, sample: Sample) -> bool:
    """One line of who answered; returns whether it was as it should be."""
    pods = sorted(visit.pods)
    counts = [sample.pods[pod] for pod in pods]
    spread = "  ".join(f"{pod} {count / sample.tries:4.0%}" for pod, count in zip(pods, counts, strict=True))
    right = not sample.failures and set(sample.pods) == visit.pods
    probability = chi_square(counts)[1] if any(counts) else 0.0
    right = right and probability >= SUSPICIOUS
    where = escape(f"{_endpoint(visit.address, visit.port)}/{visit.transport}".ljust(24))
    route = f"{visit.client:5} → {visit.kind:12} {where}"
    console.print(f"  {_mark(right)} {route} {spread}  [dim]p={probability:.2f}[/]")
    if sample.failures:
        console.print(f"    [red]{', '.join(f'{count} {result}' for result, count in sample.failures.items())}[/]")
    if strangers := set(sample.pods) - visit.pods:
        console.print(f"    [red]answered by {', '.join(sorted(strangers))}, which should not[/]")
    return right


def changed(console: Console, measured: Measured) -> None:
    console.print(
        f"  {_mark(measured.passed)} {measured.change.title:26} API to kernel {_ms(measured.seconds)} "
        f"({_commits(measured.commits)}); {measured.requests} requests since, {measured.failures} failed, "
        f"{measured.strays} astray"
    )
    if measured.missing:
        console.print(f"    [red]never answered: {', '.join(sorted(measured.missing))}[/]")


def summary(
    console: Console,
    visits: Sequence[tuple[Visit, Sample]],
    loads: Sequence[Load],
    changes: Sequence[Measured],
    seconds: float,
) -> None:
    requests = sum(sample.tries for _, sample in visits) + sum(len(load.requests) for load in loads)
    failures = sum(sample.failures.total() for _, sample in visits) + sum(len(load.failures) for load in loads)
    latencies = [request.latency for load in loads for request in load.requests]
    times = [each.seconds for each in changes]
    heading(console, "Summary")
    failed = "none failed" if not failures else f"{failures} failed"
    console.print(f"  {_mark(not failures)} {requests} requests, {failed}")
    for load in loads:
        for result, number in Counter(request.outcome.result for request in load.failures).items():
            where = escape(_endpoint(load.address, load.port))
            console.print(f"    [red]{load.client} → {where}: {number} {result}[/]")
    console.print(
        f"  under load: median {_ms(quantile(latencies, 0.5))}, p99 {_ms(quantile(latencies, 0.99))} a request"
    )
    console.print(f"  {len(times)} changes from API to kernel: median {_ms(median(times))}, slowest {_ms(max(times))}")
    console.print(f"  {seconds:.1f} s in all; nothing is left behind")


def interrupted(console: Console) -> None:
    console.print("\n[yellow]Interrupted; nothing is left behind.[/]")


def failed(console: Console, message: str) -> None:
    console.print(f"{BAD} {escape(message)}", style="red")


def _mark(good: bool) -> str:
    return GOOD if good else BAD


def _ms(seconds: float) -> str:
    return f"[cyan]{seconds * 1000:.1f} ms[/]"


def _commits(number: int) -> str:
    return "1 transaction" if number == 1 else f"{number} transactions"


def _endpoint(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
