"""The tables of ip_tables, the kernel's part of iptables-legacy."""

from pathlib import Path

from kproxy.services.addresses import Family

_NAMES = {Family.IPV4: "ip_tables_names", Family.IPV6: "ip6_tables_names"}


def legacy_tables(family: Family) -> list[str]:
    """The names of those that exist in the calling thread's network namespace; none when the kernel has no ip_tables.

    To read a table that does not exist is to make it, so the kernel is asked for its names first.
    """
    try:
        return Path("/proc/thread-self/net", _NAMES[family]).read_text(encoding="ascii").split()
    except OSError:
        return []
