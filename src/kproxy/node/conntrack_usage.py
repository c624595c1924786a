"""How full the table of connection tracking is, and what it had to give up: metrics read at each scrape."""

import logging
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from kproxy.kernel.sysctls import read_sysctl
from kproxy.node.pipeline_metrics import PREFIX

log = logging.getLogger(__name__)

LOSSES = ("drop", "early_drop", "insert_failed")
"""The kernel's counters of struct ip_conntrack_stat, as `conntrack -S` names them: packets without room for their
flow, flows evicted for others, flows that were lost to a clash on insertion."""
_STATISTICS = Path("/proc/thread-self/net/stat/nf_conntrack")


class ConntrackUsage(Collector):
    """Of the network namespace of the thread that asks; the limit is the whole machine's."""

    def __init__(self, statistics: Path = _STATISTICS) -> None:
        """Args: statistics: a file as the kernel's CONFIG_NF_CONNTRACK_PROCFS shows it, which it may lack."""
        self._statistics = statistics

    def collect(self) -> Iterator[Metric]:
        """Nothing of what this kernel does not have: without connection tracking, nothing at all."""
        for name, words, sysctl in (
            ("conntrack_entries", "Flows in the table of connection tracking", "net/netfilter/nf_conntrack_count"),
            ("conntrack_entries_limit", "Flows that it has room for", "net/netfilter/nf_conntrack_max"),
        ):
            try:
                value = read_sysctl(sysctl)
                if value is not None:
                    yield GaugeMetricFamily(f"{PREFIX}_{name}", words, value=int(value))
            except (OSError, ValueError) as error:
                log.warning("%s cannot be read: %s", sysctl, error)
        losses = self._losses()
        if losses:
            family = CounterMetricFamily(
                f"{PREFIX}_conntrack_losses",
                "Packets and flows that connection tracking gave up, by the kernel's counter",
                labels=["reason"],
            )
            for reason, count in losses.items():
                family.add_metric([reason], count)
            yield family

    def describe(self) -> Iterator[Metric]:
        """Nothing beforehand: what there is depends on the kernel."""
        return iter(())

    def _losses(self) -> dict[str, int]:
        """A line of names, then one of hexadecimal numbers for each CPU; columns differ from kernel to kernel."""
        try:
            header, *lines = self._statistics.read_text(encoding="ascii").splitlines()
            columns = {name: index for index, name in enumerate(header.split()) if name in LOSSES}
            rows = [[int(number, 16) for number in line.split()] for line in lines]
            return {reason: sum(row[index] for row in rows) for reason, index in columns.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, IndexError) as error:
            log.warning("Connection tracking's statistics cannot be read: %s", error)
            return {}
