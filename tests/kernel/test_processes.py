"""Running programs: what comes back, and what an error says."""

import asyncio
import os
import time

import pytest

from kproxy.kernel.processes import ProcessError, run, run_blocking


async def test_input_goes_in_and_output_comes_back() -> None:
    data = bytes(range(256)) * 4096
    assert await run(["cat"], data, time_limit=10) == data
    assert await run(["cat"], time_limit=10) == b""
    assert run_blocking(["echo", "done"], time_limit=10) == b"done\n"


async def test_a_failure_says_what_the_program_said() -> None:
    with pytest.raises(ProcessError, match="sh: exit status 3: no such chain") as caught:
        await run(["sh", "-c", "echo no such chain >&2; exit 3"], time_limit=10)
    assert (caught.value.status, caught.value.stderr) == (3, "no such chain\n")
    with pytest.raises(ProcessError, match="sh: exit status 3: no such chain"):
        run_blocking(["sh", "-c", "echo no such chain >&2; exit 3"], time_limit=10)


MISSING, KILLED, SLOW = ["no-such-program"], ["sh", "-c", "echo dying >&2; kill -9 $$"], ["sleep", "60"]


async def test_a_program_that_is_missing_killed_or_slow() -> None:
    with pytest.raises(ProcessError, match="no-such-program: cannot be run: No such file"):
        await run(MISSING, time_limit=10)
    with pytest.raises(ProcessError, match="sh: ended by SIGKILL: dying"):
        await run(KILLED, time_limit=10)
    with pytest.raises(ProcessError, match=r"sleep: killed after 0\.05 s"):
        await run(SLOW, time_limit=0.05)


def test_the_same_when_nobody_else_waits() -> None:
    with pytest.raises(ProcessError, match="no-such-program: cannot be run: No such file"):
        run_blocking(MISSING, time_limit=10)
    with pytest.raises(ProcessError, match="sh: ended by SIGKILL: dying"):
        run_blocking(KILLED, time_limit=10)
    with pytest.raises(ProcessError, match=r"sleep: killed after 0\.05 s"):
        run_blocking(SLOW, time_limit=0.05)


async def test_a_program_that_does_not_read_its_input_is_judged_by_its_exit_status() -> None:
    assert await run(["true"], b"x" * 10_000_000, time_limit=10) == b""
    with pytest.raises(ProcessError, match="false: exit status 1"):
        await run(["false"], b"x" * 10_000_000, time_limit=10)


async def test_others_run_meanwhile() -> None:
    begin = time.perf_counter()
    await asyncio.gather(*(run(["sleep", "0.3"], time_limit=10) for _ in range(5)))
    assert time.perf_counter() - begin < 1.0


async def test_whoever_gives_up_waiting_ends_the_program() -> None:
    started: asyncio.Queue[int] = asyncio.Queue()
    running = asyncio.create_task(run(SLOW, time_limit=60, on_start=started.put_nowait))
    process = await started.get()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
