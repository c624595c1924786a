"""`make bench-iptables`: iptables mode beside the bare program, and the bounds it must keep."""

from kproxy.backends.iptables.tool import Variant
from kproxy.bench import iptables
from kproxy.bench.cluster import Size
from kproxy.bench.iptables import Cost
from kproxy.bench.report import Figure, Report, ratio, seconds

LARGE, SMALLER = Size(10_000, 10), Size(2_000, 10)
NOTES = """\
floor: `iptables-restore --noflush` of the same input, alone.
ours, the tool's, the kernel's: CPU time of this process, of the programs, and of the kernel working for them.
waiting: the rest, such as for processors that still use the old rules, and for one that is free."""


def run(report: Report, *, quick: bool = False) -> int:
    """Measure and print; returns the exit status, 1 when a figure misses its bound."""
    runs = [(SMALLER, Variant.LEGACY)] if quick else [(LARGE, Variant.LEGACY), (SMALLER, Variant.NFT)]
    found = []
    for size, variant in runs:
        name = f"{size}, {variant.value}"
        measured = report.in_namespace(name, lambda s=size, v=variant: iptables.measure(s, v))  # type: ignore[misc]
        figures = [seconds("build the full input", measured.build, 0.5)]
        figures += _cost("full sync", measured.full_sync) + _cost("one change", measured.change)
        found.append((name, figures))
    return report.show(found, NOTES)


def _cost(name: str, cost: Cost) -> list[Figure]:
    parts = " / ".join(f"{part:.3f} s" for part in (cost.ours, cost.tool, cost.kernel, cost.waiting))
    return [
        Figure(name, f"{cost.total:.2f} s", floor=f"{cost.bare:.2f} s"),
        ratio("… ratio", cost.ratio, 1.1),
        Figure("… ours / tool's / kernel's / waiting", parts),
        Figure("… input", f"{cost.bytes / 1e6:.2f} MB"),
    ]
