"""`make bench-ipvs`: IPVS mode beside the floor that the kernel sets, on a kernel that has IPVS."""

from kproxy.bench import ipvs
from kproxy.bench.cluster import Size
from kproxy.bench.report import Figure, Report, in_ms, ratio

SMALL, LARGE = Size(100, 5), Size(5_000, 5)


def run(report: Report, *, quick: bool = False) -> int:
    """Measure and print; returns the exit status, 1 when a figure misses its bound.

    Raises:
        BackendError: this kernel has no IPVS
    """
    size = Size(1_000, 5) if quick else LARGE
    small = report.in_namespace(f"{SMALL}", lambda: ipvs.measure(SMALL)).changes
    large = report.in_namespace(f"{size}", lambda: ipvs.measure(size))
    floor = report.in_namespace(f"floor of {size}", lambda: ipvs.floor(size))
    changes = large.changes
    figures = [
        _beside("full sync", large.full_sync, floor),
        _beside("one change, from the tracker's", changes.change, changes.floor),
        ratio(f"… beside {SMALL}", changes.change / small.change, 1.5),
        Figure("… from the bytes of its watch event", in_ms(changes.event), floor=in_ms(changes.floor)),
    ]
    return report.show(
        [(str(size), figures)],
        "floor: the same virtual servers, real servers, addresses and set elements encoded and sent by the same\n"
        "sockets with nothing around them, and a change's one message alone, turn by turn with the changes, each\n"
        "after an event was decoded.",
    )


def _beside(name: str, measured: float, floor: float) -> Figure:
    return Figure(
        name,
        f"{in_ms(measured)} = {measured / floor:.2f} ×",
        f"≤ 3 × floor = {in_ms(3 * floor)}",
        measured <= 3 * floor,
        in_ms(floor),
    )
