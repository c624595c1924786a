"""Running a program of the system: argument lists only, a time limit, and errors that repeat what it said."""

import os
import signal
import subprocess
from collections.abc import Sequence

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


def run(arguments: Sequence[str], standard_input: bytes = b"", *, timeout: float) -> bytes:
    """Run a program to its end.

    Args:
        arguments: the program, found on PATH, and its arguments
        standard_input: what it reads
        timeout: seconds after which it is killed

    Returns:
        What it wrote to standard output.

    Raises:
        ProcessError: it is not there, it took too long, or its exit status is not 0
    """
    try:
        completed = subprocess.run(
            arguments,
            input=standard_input,
            capture_output=True,
            check=False,
            timeout=timeout,
            env={**os.environ, **_ENVIRONMENT},
        )
    except subprocess.TimeoutExpired as error:
        said = (error.stderr or b"").decode(errors="replace")
        raise ProcessError(arguments, f"killed after {timeout:g} s", stderr=said) from error
    except OSError as error:
        raise ProcessError(arguments, f"cannot be run: {error.strerror}") from error
    status = completed.returncode
    if status == 0:
        return completed.stdout
    said = completed.stderr.decode(errors="replace")
    if status < 0:
        raise ProcessError(arguments, f"ended by {_signal_name(-status)}", status=status, stderr=said)
    raise ProcessError(arguments, f"exit status {status}", status=status, stderr=said)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
