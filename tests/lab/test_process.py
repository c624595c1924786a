import asyncio
import signal
import socket
import sys

import pytest

from kproxy.lab.lab import Lab

pytestmark = pytest.mark.root

# Ignores SIGTERM, and says so over a connection.
STUBBORN = """
import signal, socket, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
socket.create_connection(("127.0.0.1", 7000)).send(b"up")
time.sleep(300)
"""


async def test_a_program_runs_inside_the_namespace(lab: Lab) -> None:
    async with lab.process("pod-a", ["ip", "-brief", "address"]) as process:
        assert await process.wait() == 0
        assert "10.244.1.10/24" in process.output()
        assert "192.168.77.2/24" not in process.output()


async def test_the_exit_status_and_the_output_are_kept(lab: Lab) -> None:
    code = "import os, sys; print(os.environ['GREETING'], flush=True); sys.exit('goodbye')"
    async with lab.process("node", [sys.executable, "-c", code], env={"GREETING": "hello"}) as process:
        assert await process.wait() == 1
        assert process.output() == "hello\ngoodbye\n"


async def test_a_missing_program_is_reported_by_its_status(lab: Lab) -> None:
    async with lab.process("node", ["/no/such/program"]) as process:
        assert await process.wait() == 127
        assert "/no/such/program" in process.output()


async def test_a_program_ends_with_the_block(lab: Lab) -> None:
    async with lab.process("node", ["sleep", "300"]) as process:
        assert process.returncode is None
    assert process.returncode == -signal.SIGTERM


async def test_one_that_ignores_sigterm_is_killed(lab: Lab) -> None:
    listener = lab.namespace("node").socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 7000))
    listener.listen()
    async with lab.process("node", [sys.executable, "-c", STUBBORN]) as process:
        with listener:
            connection, _ = await asyncio.get_running_loop().sock_accept(listener)
        with connection:
            assert await asyncio.get_running_loop().sock_recv(connection, 2) == b"up"
        assert await process.stop(grace=0.1) == -signal.SIGKILL


async def test_one_is_killed_when_the_block_fails(lab: Lab) -> None:
    with pytest.raises(ZeroDivisionError):
        async with lab.process("node", ["sleep", "300"]) as process:
            _ = 1 / 0
    assert process.returncode == -signal.SIGKILL
