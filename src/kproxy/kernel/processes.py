"""Running a program of the system: argument lists only, a time limit, and errors that repeat what it said."""

import os
import signal
import subprocess
from collections.abc import Callable, Sequence

_ENVIRONMENT = {"LC_ALL": "C"}
_MAX_WORDS = 500
"""Characters of a program's complaint that an error repeats."""


class ProcessError(OSError):
    """A program could not be started, failed, or took too long; the message says which, and what it complained of."""

    def __init__(self, arguments: Sequence[str], reason: str, *, status: int | None = None, stderr: str = "") -> None:
        """Describe the failure.

        Args:
            arguments: what was run
            reason: what happened, in words
            status: the exit status, negative for a signal; None when the program did not end by itself
            stderr: all that it wrote to standard error
        """
        self.program = os.path.basename(arguments[0])  # noqa: PTH119 - a name, not a path that is opened
        self.status, self.stderr = status, stderr
        words = " ".join(stderr.split())
        super().__init__(f"{self.program}: {reason}" + (f": {words[:_MAX_WORDS]}" if words else ""))


def run(
    arguments: Sequence[str],
    standard_input: bytes = b"",
    *,
    timeout: float,
    on_start: Callable[[int], None] = lambda process_id: None,
) -> bytes:
    """Run a program to its end.

    Args:
        arguments: the program, found on PATH, and its arguments
        standard_input: what it reads
        timeout: seconds after which it is killed
        on_start: called with its process id before it reads anything

    Returns:
        What it wrote to standard output.

    Raises:
        ProcessError: it is not there, it took too long, or its exit status is not 0
    """
    pipe = subprocess.PIPE
    environment = {**os.environ, **_ENVIRONMENT}
    try:
        process = subprocess.Popen(arguments, stdin=pipe, stdout=pipe, stderr=pipe, env=environment)
    except OSError as error:
        raise ProcessError(arguments, f"cannot be run: {error.strerror}") from error
    with process:
        on_start(process.pid)
        try:
            output, said = process.communicate(standard_input, timeout)
        except subprocess.TimeoutExpired as error:
            process.kill()
            _, said = process.communicate()
            raise ProcessError(arguments, f"killed after {timeout:g} s", stderr=_text(said)) from error
        except BaseException:
            process.kill()
            raise
    status = process.returncode
    if status == 0:
        return output
    reason = f"ended by {_signal_name(-status)}" if status < 0 else f"exit status {status}"
    raise ProcessError(arguments, reason, status=status, stderr=_text(said))


def _text(output: bytes) -> str:
    return output.decode(errors="replace")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
