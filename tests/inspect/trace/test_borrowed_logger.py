"""The kernel's logger, which tracing iptables-legacy needs: taken, given back, and found again after a SIGKILL."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kproxy.inspect.trace.live import borrowed_logger
from kproxy.inspect.trace.live.legacy_tracer import LegacyTracer
from kproxy.kernel.netlink import NETLINK_NETFILTER, NetlinkSocket
from kproxy.kernel.nflog.loggers import NFNETLINK_LOG, NO_LOGGER, read_logger, set_logger
from kproxy.kernel.nflog.socket import LogSocket
from kproxy.kernel.nftnl.protocol import MULTICAST_GROUP
from kproxy.services.addresses import Family
from tests.inspect.trace.test_tracer import ruleset

KPROXY = str(Path(sys.executable).parent / "kproxy")
ALL = tuple(Family)


@pytest.fixture(autouse=True)
def before(network_namespace: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A node with legacy rules of both families, and its loggers."""
    monkeypatch.setenv("XTABLES_LOCKFILE", str(tmp_path / "xtables.lock"))
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for program in ("iptables-legacy", "ip6tables-legacy"):
        subprocess.run([program, "-A", "OUTPUT", "-p", "udp", "--dport", "9", "-j", "DROP"], check=True)
    return loggers()


def loggers() -> list[str]:
    return [read_logger(family) for family in Family]


@pytest.fixture
def reader() -> Iterator[LogSocket]:
    """Another program that reads what tracing would."""
    log = LogSocket(0, length=64)
    yield log
    log.close()


def leave(family: Family) -> None:
    """Be killed while tracing."""
    script = f"""
import os, signal
from kproxy.inspect.trace.live.legacy_tracer import LegacyTracer
from kproxy.services.addresses import Family
tracer = LegacyTracer(Family.{family.name})
assert not tracer.notes, tracer.notes
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", script], check=False, stderr=subprocess.PIPE, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize("family", Family)
def test_the_logger_is_exchanged_and_put_back(family: Family, before: list[str]) -> None:
    with LegacyTracer(family) as tracer:
        assert tracer.listening
        assert read_logger(family) == NFNETLINK_LOG
        assert [name for name in loggers() if name != NFNETLINK_LOG] == [
            name for each, name in zip(ALL, before, strict=True) if each is not family
        ]
        assert borrowed_logger.noted(family) == before[ALL.index(family)]
    assert loggers() == before
    assert ruleset() == ""
    assert tracer.notes == []


def test_none_is_put_back_too() -> None:
    set_logger(Family.IPV4, NO_LOGGER)
    with LegacyTracer(Family.IPV4):
        assert read_logger(Family.IPV4) == NFNETLINK_LOG
    assert read_logger(Family.IPV4) == NO_LOGGER


def test_it_is_put_back_when_the_trace_fails(before: list[str]) -> None:
    with pytest.raises(ZeroDivisionError), LegacyTracer(Family.IPV4):
        raise ZeroDivisionError
    assert loggers() == before
    assert ruleset() == ""


@pytest.mark.parametrize("family", Family)
@pytest.mark.parametrize("later", Family)
def test_what_a_killed_one_left_is_put_back_by_the_next(family: Family, later: Family, before: list[str]) -> None:
    leave(family)
    assert read_logger(family) == NFNETLINK_LOG
    left = ruleset().split()
    assert left[:3] == ["table", "ip" if family is Family.IPV4 else "ip6", borrowed_logger.NOTE]
    assert "chain" not in left
    with LegacyTracer(later) as tracer:
        assert tracer.listening
        assert tracer.notes == []
    assert loggers() == before
    assert ruleset() == ""


def test_a_logger_that_somebody_set_meanwhile_stays() -> None:
    leave(Family.IPV4)
    set_logger(Family.IPV4, NO_LOGGER)
    with LegacyTracer(Family.IPV4):
        assert read_logger(Family.IPV4) == NFNETLINK_LOG
        set_logger(Family.IPV4, "nf_log_ipv4")
    assert read_logger(Family.IPV4) == "nf_log_ipv4"
    assert ruleset() == ""


def test_a_noted_logger_that_is_no_longer_there_becomes_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(borrowed_logger, "read_logger", lambda family: "nf_log_of_a_module")
        borrowed_logger.borrow(Family.IPV4)
    assert borrowed_logger.give_back(Family.IPV4)
    assert read_logger(Family.IPV4) == NO_LOGGER
    assert ruleset() == ""


def test_nfnetlink_log_that_somebody_else_set_stays() -> None:
    set_logger(Family.IPV6, NFNETLINK_LOG)
    with LegacyTracer(Family.IPV6) as tracer:
        assert tracer.listening
        assert ruleset() == ""
    assert read_logger(Family.IPV6) == NFNETLINK_LOG


def test_another_reader_keeps_what_it_reads(reader: LogSocket, before: list[str]) -> None:
    with LegacyTracer(Family.IPV4) as tracer:
        assert not tracer.listening
        assert tracer.fileno() is None
        assert loggers() == before
    assert tracer.notes == ["rules of iptables-legacy are not told: another program reads nfnetlink_log's group 0"]


def test_two_at_a_time(before: list[str]) -> None:
    with LegacyTracer(Family.IPV4) as first:
        with LegacyTracer(Family.IPV4) as second:
            assert not second.listening
        assert second.notes
        assert first.listening
        assert read_logger(Family.IPV4) == NFNETLINK_LOG
    assert loggers() == before


def test_a_logger_that_may_not_be_set_is_left_alone(before: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(family: Family, name: str) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(borrowed_logger, "set_logger", read_only)
    with LegacyTracer(Family.IPV4) as tracer:
        assert not tracer.listening
    assert "Read-only file system" in tracer.notes[0]
    assert loggers() == before
    assert ruleset() == ""


def test_without_legacy_rules_nothing_is_asked(network_namespace: None, reader: LogSocket) -> None:
    script = "from kproxy.inspect.trace.live.legacy_tracer import *; t = LegacyTracer(Family.IPV4); print(t.notes)"
    bare = ["unshare", "--net", sys.executable, "-c", script]
    assert subprocess.run(bare, check=True, capture_output=True, text=True).stdout == "[]\n"


def test_the_command_copes_with_its_own_death(before: list[str]) -> None:
    """Killed while it waits for an answer; the next tells all, and leaves nothing."""
    subprocess.run(["ip", "addr", "add", "192.0.2.1/24", "dev", "lo"], check=True)
    silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    silent.bind(("192.0.2.1", 0))

    def command(port: int) -> list[str]:
        return [KPROXY, "trace", "node", f"192.0.2.1:{port}/udp", "--live", "--mode", "iptables"]

    watch = NetlinkSocket(NETLINK_NETFILTER)
    watch.join(MULTICAST_GROUP)
    waiting = command(silent.getsockname()[1])
    with subprocess.Popen(waiting, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        mine = f"kproxy-trace-{process.pid}".encode()
        while mine not in (watch.receive() or b""):  # its table: the probe is about to be sent
            pass
        os.kill(process.pid, signal.SIGKILL)
    watch.close()
    silent.close()
    assert read_logger(Family.IPV4) == NFNETLINK_LOG
    assert borrowed_logger.NOTE in ruleset()
    assert mine.decode() not in ruleset()
    done = subprocess.run(command(9), check=False, capture_output=True, text=True, timeout=60)
    assert "iptables-legacy filter OUTPUT: dropped" in done.stdout.partition("Live:")[2], done.stdout + done.stderr
    assert loggers() == before
    assert ruleset() == ""
