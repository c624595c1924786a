"""The mode's metrics: what its workers count, by the names that the metrics server shows."""

from collections.abc import Iterator, Mapping

from kproxy.backends.interface import Sample

_PREFIX = "kproxy_userspace_"
_METRICS: tuple[tuple[str, str, bool, Mapping[str, tuple[str, str]]], ...] = (
    (
        "connections",
        "Client connections (TCP) and flows (UDP) that are open",
        True,
        {"connections": ("protocol", "TCP"), "flows": ("protocol", "UDP")},
    ),
    (
        "connections_total",
        "Client connections accepted (TCP) and flows begun (UDP)",
        False,
        {"accepted": ("protocol", "TCP"), "flows_opened": ("protocol", "UDP")},
    ),
    (
        "connections_refused_total",
        "TCP connections that were reset instead of forwarded, by reason",
        False,
        {
            "refused_limit": ("reason", "limit"),
            "refused_no_endpoint": ("reason", "no_endpoint"),
            "refused_unknown": ("reason", "unknown_destination"),
        },
    ),
    (
        "limit_reached_total",
        "Things given up because a limit was reached, apart from connections refused",
        False,
        {
            "flows_evicted": ("limit", "flows"),
            "pipes_exhausted": ("limit", "pipes"),
            "affinity_forgotten": ("limit", "affinity_clients"),
        },
    ),
    (
        "connect_attempts_failed_total",
        "Connections to endpoints that could not be made, and UDP endpoints that were not there",
        False,
        {"connect_failures": ("reason", "error"), "connect_timeouts": ("reason", "timeout")},
    ),
    ("connect_retries_total", "Other endpoints tried for a client", False, {"connect_retries": ("", "")}),
    ("resets_total", "Connections that a reset ended after they were made", False, {"resets": ("", "")}),
    ("endpoints_failing", "Endpoints left alone for now, summed over workers", True, {"endpoints_failing": ("", "")}),
    ("forwarded_bytes_total", "Bytes forwarded over TCP, both directions", False, {"tcp_bytes": ("", "")}),
    ("datagrams_total", "UDP datagrams received, both directions", False, {"udp_datagrams": ("", "")}),
    ("datagrams_dropped_total", "UDP datagrams that could not be forwarded", False, {"udp_dropped": ("", "")}),
)


def samples(counters: Mapping[str, int], *, worker_restarts: int, unserved_ports: int) -> Iterator[Sample]:
    """All metrics.

    Args:
        counters: the sum over all workers, by the names of `Counters`
        worker_restarts: workers that were started again
        unserved_ports: Service ports for which no local port is free
    """
    for name, words, gauge, parts in _METRICS:
        for counter, (label, value) in parts.items():
            labels = {label: value} if label else {}
            yield Sample(_PREFIX + name, words, labels, counters.get(counter, 0), gauge)
    yield Sample(f"{_PREFIX}worker_restarts_total", "Workers started again", {}, worker_restarts, False)
    yield Sample(f"{_PREFIX}ports_unserved", "Service ports without a local port", {}, unserved_ports, True)
