"""The figures that the suite knows: what each is called, what it is measured in, and which way is better."""

from enum import StrEnum
from typing import NamedTuple


class Unit(StrEnum):
    SECONDS = "s"
    BYTES = "B"
    BITS_PER_SECOND = "bit/s"
    PER_SECOND = "1/s"
    SHARE = "share"
    """Of one core."""
    COUNT = "count"


class Definition(NamedTuple):
    title: str
    unit: Unit
    about: str
    higher_is_better: bool = False


FIGURES = {
    "start_to_synced": Definition(
        "start to synced",
        Unit.SECONDS,
        "from the start of the process until connections to the first, the middle and the last Service are answered",
    ),
    "creation_to_synced": Definition(
        "creation to synced",
        Unit.SECONDS,
        "from the first write of the benchmark's Services until connections to the first, the middle and the last are "
        "answered",
    ),
    "full_sync": Definition(
        "full sync", Unit.SECONDS, "the daemon's own account of its first sync: sync_proxy_rules_duration_seconds"
    ),
    "sync_duration": Definition(
        "sync after a change",
        Unit.SECONDS,
        "the daemon's own account, the mean over all changes: sync_proxy_rules_duration_seconds",
    ),
    "update_kernel": Definition(
        "rule update, kernel",
        Unit.SECONDS,
        "from the API server's write of one changed endpoint until the kernel announces the commit "
        "(only nf_tables announces any)",
    ),
    "update_connection": Definition(
        "rule update, connection",
        Unit.SECONDS,
        "from the same write until a new connection reaches the new endpoint, tried every 0.3 ms or so",
    ),
    "update_under_churn": Definition(
        "rule update under churn",
        Unit.SECONDS,
        "the same while other Services' endpoints change at the stated rate",
    ),
    "connect_direct": Definition(
        "connection set-up, no Service", Unit.SECONDS, "connect() to an endpoint's own address: the floor"
    ),
    "connect_first": Definition("connection set-up, first Service", Unit.SECONDS, "connect() to its cluster IP"),
    "connect_middle": Definition("connection set-up, middle Service", Unit.SECONDS, "connect() to its cluster IP"),
    "connect_last": Definition("connection set-up, last Service", Unit.SECONDS, "connect() to its cluster IP"),
    "requests": Definition(
        "requests per second", Unit.PER_SECOND, "a new connection for each, 16 at a time, last Service (wrk)", True
    ),
    "requests_direct": Definition(
        "requests per second, no Service", Unit.PER_SECOND, "the same to an endpoint's own address", True
    ),
    "throughput": Definition("throughput", Unit.BITS_PER_SECOND, "one TCP stream through a Service (iperf3)", True),
    "throughput_direct": Definition(
        "throughput, no Service", Unit.BITS_PER_SECOND, "the same to an endpoint's own address", True
    ),
    "cpu_start": Definition("CPU until synced", Unit.SECONDS, "of the proxy and the programs it ran"),
    "cpu_creation": Definition(
        "CPU from creation until synced",
        Unit.SECONDS,
        "of this node's proxy and the programs it ran, while the benchmark's Services were made",
    ),
    "cpu_change": Definition(
        "CPU for one change", Unit.SECONDS, "of the proxy and the programs it ran, the kernel's share included"
    ),
    "cpu_idle": Definition("idle CPU", Unit.SHARE, "share of one core while the benchmark changes nothing"),
    "resident": Definition("resident memory", Unit.BYTES, "of the proxy once synced"),
    "resident_peak": Definition("peak of resident memory", Unit.BYTES, "of the proxy until the end of the run"),
    "pods_cpu_before": Definition(
        "CPU of the proxy's pods, before",
        Unit.SHARE,
        "share of one core of each of the DaemonSet's pods before there were any of the benchmark's Services, averaged "
        "by metrics-server over its window (metrics.k8s.io)",
    ),
    "pods_cpu": Definition(
        "CPU of the proxy's pods, changes",
        Unit.SHARE,
        "the same, over the first window that ended after the last change: most of it may lie before the first one",
    ),
    "pods_memory_before": Definition(
        "memory of the proxy's pods, before",
        Unit.BYTES,
        "working set of each of the DaemonSet's pods before there were any of the benchmark's Services "
        "(metrics.k8s.io)",
    ),
    "pods_memory": Definition("memory of the proxy's pods", Unit.BYTES, "the same after the last change"),
    "kernel_memory": Definition(
        "kernel memory",
        Unit.BYTES,
        "growth of unreclaimable slab, vmalloc and per-CPU memory (/proc/meminfo, of the whole machine) from before "
        "the Services until synced",
    ),
    "kernel_slab": Definition("… of which slab", Unit.BYTES, "growth of SUnreclaim"),
    "kernel_objects": Definition(
        "kernel objects", Unit.COUNT, "rules, chains, sets and elements, or virtual and real servers, as listed back"
    ),
    "kernel_objects_added": Definition(
        "kernel objects added", Unit.COUNT, "by how many the same grew with the benchmark's Services"
    ),
}
