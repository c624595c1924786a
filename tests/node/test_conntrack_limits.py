"""The kernel's limits for connection tracking: what is asked for, and what the kernel has afterwards."""

import errno
import os
from pathlib import Path

import pytest

from kproxy.config.duration import Duration
from kproxy.config.sections import Conntrack
from kproxy.kernel import sysctls
from kproxy.kernel.sysctls import read_sysctl, set_sysctl
from kproxy.node import conntrack_limits
from kproxy.node.conntrack_limits import Kept, Limit, LimitProblem, Raised, apply_limits, wanted_limits

PREFIX = "net/netfilter/nf_conntrack_"
NOTHING = Conntrack(max_per_core=0, tcp_established_timeout=Duration(), tcp_close_wait_timeout=Duration())


def values(conntrack: Conntrack, cpus: int = 4) -> dict[str, int]:
    return {limit.sysctl.removeprefix(PREFIX): limit.value for limit in wanted_limits(conntrack, cpus)}


def test_the_defaults() -> None:
    assert values(Conntrack()) == {
        "max": 131072,
        "buckets": 32768,
        "tcp_timeout_established": 86400,
        "tcp_timeout_close_wait": 3600,
    }


def test_zeros_ask_for_nothing_and_zero_per_core_ignores_the_minimum() -> None:
    assert values(NOTHING) == {}
    assert values(Conntrack(max_per_core=0, min=10**6)).keys() == {"tcp_timeout_established", "tcp_timeout_close_wait"}


@pytest.mark.parametrize(
    ("per_core", "least", "cpus", "most", "field"),
    [
        (32768, 131072, 2, 131072, "conntrack.min"),
        (32768, 131072, 8, 262144, "conntrack.maxPerCore"),
        (32768, 0, 1, 32768, "conntrack.maxPerCore"),
        (32768, 131072, 256, 1048576, "conntrack.maxPerCore"),
        (32768, 4_000_000, 256, 4_000_000, "conntrack.min"),
    ],
)
def test_the_number_of_connections(per_core: int, least: int, cpus: int, most: int, field: str) -> None:
    first, second, *_ = wanted_limits(Conntrack(max_per_core=per_core, min=least), cpus)
    assert first == Limit(field, PREFIX + "max", most)
    assert second == Limit(field, PREFIX + "buckets", most // 4)


def test_every_other_field_has_its_setting() -> None:
    seconds = Duration.of(seconds=7)
    asked = Conntrack(
        max_per_core=0,
        tcp_established_timeout=seconds,
        tcp_close_wait_timeout=seconds,
        udp_timeout=seconds,
        udp_stream_timeout=seconds,
        tcp_be_liberal=True,
    )
    assert values(asked) == {
        "tcp_timeout_established": 7,
        "tcp_timeout_close_wait": 7,
        "udp_timeout": 7,
        "udp_timeout_stream": 7,
        "tcp_be_liberal": 1,
    }


@pytest.mark.usefixtures("network_namespace")
def test_the_kernels_values_are_raised_and_never_lowered() -> None:
    set_sysctl(PREFIX + "udp_timeout", "30")
    set_sysctl(PREFIX + "udp_timeout_stream", "300")
    asked = Conntrack(
        max_per_core=0,
        tcp_established_timeout=Duration(),
        tcp_close_wait_timeout=Duration.of(hours=1),
        udp_timeout=Duration.of(seconds=45),
        udp_stream_timeout=Duration.of(seconds=180),
        tcp_be_liberal=True,
    )
    results = apply_limits(asked)
    assert [str(result) for result in results] == [
        "conntrack.tcpCloseWaitTimeout: net/netfilter/nf_conntrack_tcp_timeout_close_wait raised from 60 to 3600",
        "conntrack.udpTimeout: net/netfilter/nf_conntrack_udp_timeout raised from 30 to 45",
        "conntrack.udpStreamTimeout: net/netfilter/nf_conntrack_udp_timeout_stream stays 300, more than 180",
        "conntrack.tcpBeLiberal: net/netfilter/nf_conntrack_tcp_be_liberal raised from 0 to 1",
    ]
    assert read_sysctl(PREFIX + "tcp_timeout_close_wait") == "3600"
    assert read_sysctl(PREFIX + "udp_timeout") == "45"
    assert read_sysctl(PREFIX + "udp_timeout_stream") == "300"
    assert read_sysctl(PREFIX + "tcp_be_liberal") == "1"
    assert [type(result) for result in apply_limits(asked)] == [Kept]


@pytest.mark.usefixtures("network_namespace")
def test_in_a_containers_namespace_the_number_of_connections_is_a_problem_with_a_remedy() -> None:
    most = int(read_sysctl(PREFIX + "max") or 0) + 1
    problem, *_ = apply_limits(Conntrack(max_per_core=1, min=most))
    assert isinstance(problem, LimitProblem)
    assert not problem.read_only
    assert str(problem) == (
        f"conntrack.min: /proc/sys/net/netfilter/nf_conntrack_max is {most - 1}, and cannot be raised to {most}: "
        "Permission denied (only root may, and the number of connections only outside of containers' network "
        f"namespaces); on the node itself run: sysctl -w net.netfilter.nf_conntrack_max={most}, "
        "or set conntrack.maxPerCore to 0"
    )


class Kernel:
    """A /proc/sys and a /sys of files."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.settings = folder / "proc" / "net" / "netfilter"
        self.settings.mkdir(parents=True)
        self.hashsize = folder / "hashsize"
        self.hashsize.write_text("100\n")
        for name in ("max", "buckets"):
            self.write(name, "100\n")
        monkeypatch.setattr(sysctls, "_ROOT", folder / "proc")
        monkeypatch.setattr(conntrack_limits, "_HASHSIZE", self.hashsize)
        monkeypatch.setattr(conntrack_limits, "load_module", lambda name: "there is none")
        monkeypatch.setattr(os, "cpu_count", lambda: 2)

    def write(self, name: str, value: str) -> None:
        (self.settings / f"nf_conntrack_{name}").write_text(value)

    def read(self, name: str) -> str:
        return (self.settings / f"nf_conntrack_{name}").read_text().strip()


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    return Kernel(tmp_path, monkeypatch)


ASKED = Conntrack(max_per_core=1000, min=0, tcp_established_timeout=Duration(), tcp_close_wait_timeout=Duration())


def test_connections_and_hash_table_are_raised_together(kernel: Kernel) -> None:
    results = apply_limits(ASKED)
    assert [type(result) for result in results] == [Raised, Raised]
    assert (kernel.read("max"), kernel.read("buckets")) == ("2000", "500")
    assert kernel.hashsize.read_text() == "100\n"
    assert apply_limits(ASKED) == []


def test_larger_ones_stay(kernel: Kernel) -> None:
    kernel.write("max", "5000")
    kernel.write("buckets", "5000")
    assert [type(result) for result in apply_limits(ASKED)] == [Kept, Kept]
    assert (kernel.read("max"), kernel.read("buckets")) == ("5000", "5000")


def refuse(monkeypatch: pytest.MonkeyPatch, *paths: Path, error: int = errno.EROFS) -> None:
    """Let writing some files fail."""
    write_text = Path.write_text

    def write(self: Path, text: str, encoding: str | None = None) -> int:
        if self in paths:
            raise OSError(error, os.strerror(error))
        return write_text(self, text, encoding)

    monkeypatch.setattr(Path, "write_text", write)


def test_the_hash_table_has_a_second_way_in(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, kernel.settings / "nf_conntrack_buckets")
    assert [type(result) for result in apply_limits(ASKED)] == [Raised, Raised]
    assert kernel.hashsize.read_text() == "500"


def test_a_read_only_file_system_is_told_apart(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, kernel.settings / "nf_conntrack_buckets", kernel.hashsize)
    raised, problem = apply_limits(ASKED)
    assert isinstance(raised, Raised)
    assert isinstance(problem, LimitProblem)
    assert problem.read_only
    assert problem.reason == "Read-only file system"


def test_a_kernel_without_connection_tracking(kernel: Kernel) -> None:
    for name in ("max", "buckets"):
        (kernel.settings / f"nf_conntrack_{name}").unlink()
    results = apply_limits(ASKED)
    assert [result.reason for result in results if isinstance(result, LimitProblem)] == [
        "this kernel has no connection tracking"
    ] * 2


def test_a_file_that_holds_something_else(kernel: Kernel) -> None:
    kernel.write("max", "many")
    problem, _ = apply_limits(ASKED)
    assert isinstance(problem, LimitProblem)
    assert "is unknown, and cannot be raised to 2000: it holds no number" in str(problem)
