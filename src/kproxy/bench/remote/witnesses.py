"""What is watched beside the client while a cluster is measured, each as far as it can be had."""

from collections.abc import Awaitable, Callable, Sequence

from kproxy.bench.results.schema import Run


class UnavailableError(Exception):
    """Figures cannot be had; the message says why, on one line."""


class Witness:
    """Sees the same run from another side: called at its turning points, it adds figures of its own to the run.

    Methods raise UnavailableError, or OSError, when there is nothing more to be had.
    """

    subject = ""
    """What it tells of, for people."""

    def __init__(self, run: Run) -> None:
        self._run = run

    async def before(self) -> None:
        """None of the benchmark's Services are there yet."""

    async def created(self) -> None:
        """They are there and answer; nothing changes."""

    async def changing(self) -> None:
        """Changes begin."""

    async def changed(self, changes: int) -> None:
        """So many were made since, and have been seen."""

    async def finished(self) -> None:
        """All has been measured; the Services are still there."""


class Witnesses:
    """Those that still have something to tell. One that has not is left out from then on, and the run says why."""

    def __init__(self, run: Run, witnesses: Sequence[Witness], told: Callable[[str], None]) -> None:
        """Take them, before anything is made.

        Args:
            run: where reasons go
            witnesses: the first is the nearest to what is measured: the last to be called before, the first after
            told: called with what is being asked, for people
        """
        self._run, self._witnesses, self._told = run, list(witnesses), told

    async def before(self) -> None:
        await self._each("before there is any Service", lambda witness: witness.before(), reverse=True)

    async def created(self) -> None:
        await self._each("once there are Services", lambda witness: witness.created())

    async def changing(self) -> None:
        await self._each("before the changes", lambda witness: witness.changing(), reverse=True)

    async def changed(self, changes: int) -> None:
        await self._each("after the changes", lambda witness: witness.changed(changes))

    async def finished(self) -> None:
        await self._each("at the end", lambda witness: witness.finished())

    async def _each(self, when: str, ask: Callable[[Witness], Awaitable[None]], *, reverse: bool = False) -> None:
        for witness in self._witnesses[:: -1 if reverse else 1]:
            self._told(f"{when}: {witness.subject}")
            try:
                await ask(witness)
            except (UnavailableError, OSError) as error:
                self._witnesses.remove(witness)
                self._run.miss(f"{witness.subject}: {' '.join(str(error).split())}")
