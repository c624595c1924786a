"""The demo with a stand-in for the proxy."""

import asyncio
import io
import os
import shlex
import signal
import sys
from pathlib import Path

import pytest
from rich.console import Console

from kproxy.lab import demo

pytestmark = pytest.mark.root

STANDIN = [sys.executable, str(Path(__file__).with_name("standin_proxy.py"))]


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Console:
    monkeypatch.setattr(demo, "HOLD", 0.3)
    monkeypatch.setattr(demo, "TRIES", 60)
    return Console(file=io.StringIO(), soft_wrap=True, highlight=False)


def said(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


async def test_with_a_right_proxy_nothing_fails(short: Console) -> None:
    assert await demo.play(short, STANDIN) == 0, said(short)
    assert "✗" not in said(short)
    assert "none failed" in said(short)
    assert "changes from API to kernel: median" in said(short)


async def test_with_a_wrong_proxy_it_says_so(short: Console) -> None:
    assert await demo.play(short, [*STANDIN, "--fault", "lose-an-endpoint"]) == 1
    assert "never answered: pod-d" in said(short)
    assert "none failed" not in said(short)


async def test_a_proxy_that_ends_is_quoted(short: Console) -> None:
    assert await demo.play(short, [*STANDIN, "--fault", "exit"]) == 1
    assert "no such mode" in said(short)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_interrupted_it_cleans_up(number: signal.Signals, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "kproxy.lab.demo", "--proxy", shlex.join(STANDIN)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "TMPDIR": str(tmp_path)}
    running = await asyncio.create_subprocess_exec(
        *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env=environment
    )
    assert running.stdout is not None
    output = b""
    while b"pid " not in output:
        line = await running.stdout.readline()
        assert line, output.decode()
        output += line
    child = int(output.partition(b"(pid ")[2].partition(b")")[0])
    running.send_signal(number)
    output += await running.stdout.read()
    assert await running.wait() == 130, output.decode()
    assert b"Interrupted" in output
    assert b"Traceback" not in output
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
    assert not os.listdir(tmp_path)  # noqa: PTH208
