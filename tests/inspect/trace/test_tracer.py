"""Switching tracing on, and that it never stays on."""

import contextlib
import os
import signal
import socket
import subprocess
import sys

from kproxy.inspect.trace.live.tracer import Tracer

LOCALHOST = bytes((127, 0, 0, 1))
TABLE = """
table ip t {
    chain further { drop; }
    chain out {
        type filter hook output priority 0; policy accept;
        udp dport 9 counter jump further
    }
}
"""
HOLDING = """
import sys
from kproxy.inspect.trace.live.tracer import Tracer
tracer = Tracer(bytes((127, 0, 0, 1)), 9, "UDP", 999)
print("tracing", flush=True)
sys.stdin.read()
"""


def ruleset() -> str:
    return subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout


def test_every_rule_of_one_flow_is_told(network_namespace: None) -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["nft", "-f", "-"], input=TABLE, text=True, check=True)
    mine, other = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    with mine, other:
        mine.bind(("127.0.0.1", 0))
        with Tracer(LOCALHOST, 9, "UDP", mine.getsockname()[1]) as tracer:
            for sock in (other, mine):
                with contextlib.suppress(PermissionError):  # the sender is told of the drop
                    sock.sendto(b"x", ("127.0.0.1", 9))
            told = list(tracer.told())
    assert [(each.chain, each.verdict, each.target) for each in told] == [
        ("out", "jump", "further"),
        ("further", "drop", ""),
    ]
    assert len({each.packet for each in told}) == 1
    assert "kproxy-trace" not in ruleset()


def test_nothing_stays_when_the_tracing_process_is_killed(network_namespace: None) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDING], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"tracing\n"
        assert "kproxy-trace" in ruleset()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert "kproxy-trace" not in ruleset()
