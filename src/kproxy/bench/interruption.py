"""Ctrl-C, SIGTERM and a closed terminal end a benchmark in good order: the work is cancelled, and cleans up."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, Final

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_until_interrupted(work: Coroutine[Any, Any, None]) -> bool:
    """Run to the end, or until a signal cancels it; a second one does not hurry what cleans up.

    Returns whether it came to its end.
    """

    async def guarded() -> bool:
        loop = asyncio.get_running_loop()
        task = loop.create_task(work)
        stopping = False

        def stop() -> None:
            nonlocal stopping
            if not stopping:
                stopping = True
                task.cancel()

        for number in SIGNALS:
            loop.add_signal_handler(number, stop)
        try:
            await task
        except asyncio.CancelledError:
            if not stopping:
                raise
            return False
        finally:
            for number in SIGNALS:
                loop.remove_signal_handler(number)
        return True

    return asyncio.run(guarded())
