"""Running programs: what comes back, and what an error says."""

import pytest

from kproxy.kernel.processes import ProcessError, run


def test_input_goes_in_and_output_comes_back() -> None:
    data = bytes(range(256)) * 4096
    assert run(["cat"], data, timeout=10) == data


def test_a_failure_says_what_the_program_said() -> None:
    with pytest.raises(ProcessError, match="sh: exit status 3: no such chain") as caught:
        run(["sh", "-c", "echo no such chain >&2; exit 3"], timeout=10)
    assert caught.value.status == 3


def test_a_program_that_is_missing_killed_or_slow() -> None:
    with pytest.raises(ProcessError, match="no-such-program: cannot be run: No such file"):
        run(["no-such-program"], timeout=10)
    with pytest.raises(ProcessError, match="sh: ended by SIGKILL"):
        run(["sh", "-c", "kill -9 $$"], timeout=10)
    with pytest.raises(ProcessError, match=r"sleep: killed after 0\.05 s"):
        run(["sleep", "60"], timeout=0.05)


def test_a_program_that_does_not_read_its_input_is_judged_by_its_exit_status() -> None:
    assert run(["true"], b"x" * 10_000_000, timeout=10) == b""
    with pytest.raises(ProcessError, match="false: exit status 1"):
        run(["false"], b"x" * 10_000_000, timeout=10)
