"""Running a program of the system: argument lists only, a time limit, and errors that repeat what it said."""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence

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


async def run(
    arguments: Sequence[str],
    standard_input: bytes = b"",
    *,
    time_limit: float,
    on_start: Callable[[int], None] = lambda process_id: None,
) -> bytes:
    """Run a program to its end, in the network namespace of the calling thread, while others have the event loop.

    Input and output are files in memory (memfd_create(2)): megabytes of them do not pass through the event loop.

    Args:
        arguments: the program, found on PATH, and its arguments
        standard_input: what it reads
        time_limit: seconds after which it is killed, as it is when the caller is cancelled
        on_start: called with its process id

    Returns:
        What it wrote to standard output.

    Raises:
        ProcessError: it is not there, it took too long, or its exit status is not 0
    """
    with _memory_file("in", standard_input) as read, _memory_file("out") as output, _memory_file("err") as said:
        try:
            process = _start(arguments, read, output, said)
        except OSError as error:
            raise _not_run(arguments, error) from error
        on_start(process.pid)
        try:
            async with asyncio.timeout(time_limit):
                status = await _end(process)
        except TimeoutError as error:
            raise _too_slow(arguments, time_limit, _contents(said)) from error
        finally:
            if process.returncode is None:
                process.kill()
                await _end(process)
        _check(arguments, status, _contents(said))
        return _contents(output)


def run_blocking(arguments: Sequence[str], *, time_limit: float) -> bytes:
    """Run a program that reads nothing, while nobody else has anything to do: when the proxy starts.

    Args:
        arguments: the program, found on PATH, and its arguments
        time_limit: seconds after which it is killed

    Returns:
        What it wrote to standard output.

    Raises:
        ProcessError: as `run`
    """
    try:
        done = subprocess.run(
            arguments,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=time_limit,
            env=_environment(),
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _too_slow(arguments, time_limit, error.stderr or b"") from error
    except OSError as error:
        raise _not_run(arguments, error) from error
    _check(arguments, done.returncode, done.stderr)
    return done.stdout


def _start(arguments: Sequence[str], read: int, output: int, said: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(arguments, stdin=read, stdout=output, stderr=said, env=_environment())


async def _end(process: subprocess.Popen[bytes]) -> int:
    """Wait for a program's end, and give its exit status.

    By a descriptor (pidfd_open(2)): asyncio of Python 3.11 starts a thread for each program, and raises what is no
    OSError when it may not, with the program running.
    """
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    descriptor = os.pidfd_open(process.pid)
    try:
        loop.add_reader(descriptor, ended.set)
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    return process.wait()


def _environment() -> Mapping[str, str]:
    return {**os.environ, **_ENVIRONMENT}


@contextlib.contextmanager
def _memory_file(name: str, contents: bytes = b"") -> Iterator[int]:
    descriptor = os.memfd_create(name)
    try:
        rest = memoryview(contents)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


def _contents(descriptor: int) -> bytes:
    size = os.fstat(descriptor).st_size
    parts: list[bytes] = []
    position = 0
    while position < size:
        parts.append(os.pread(descriptor, size - position, position))
        position += len(parts[-1])
    return b"".join(parts)


def _not_run(arguments: Sequence[str], error: OSError) -> ProcessError:
    return ProcessError(arguments, f"cannot be run: {error.strerror}")


def _too_slow(arguments: Sequence[str], time_limit: float, said: bytes) -> ProcessError:
    return ProcessError(arguments, f"killed after {time_limit:g} s", stderr=_text(said))


def _check(arguments: Sequence[str], status: int, said: bytes) -> None:
    if status != 0:
        reason = f"ended by {_signal_name(-status)}" if status < 0 else f"exit status {status}"
        raise ProcessError(arguments, reason, status=status, stderr=_text(said))


def _text(output: bytes) -> str:
    return output.decode(errors="replace")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
