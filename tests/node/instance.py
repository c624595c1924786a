"""A proxy that has nothing but its lock: run by tests as a process, which prints what becomes of it."""

import asyncio
import logging
import sys

from kproxy.kernel.instance_lock import AlreadyRunningError, acquire, take_over


async def hold(seconds_to_end: float, description: str, *, replacing: bool, patience: float) -> None:
    lock = take_over(description, patience) if replacing else acquire(description)
    print("holding", flush=True)
    ends = asyncio.Event()
    await lock.serve(ends.set)
    await ends.wait()
    print("ending", flush=True)
    await asyncio.sleep(seconds_to_end)
    lock.close()
    print("ended", flush=True)


def main() -> int:
    logging.basicConfig(level=logging.INFO, stream=sys.stdout)
    how, description, seconds_to_end, patience = sys.argv[1:]
    try:
        asyncio.run(hold(float(seconds_to_end), description, replacing=how == "--takeover", patience=float(patience)))
    except AlreadyRunningError as error:
        print(f"refused: {error}", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
