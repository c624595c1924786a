"""A program that watches the node that it runs on, connects to a Service meanwhile, and saves the picture.

Arguments: the proxy's configuration file, and where the picture goes.
"""

import asyncio
import socket
import sys
from pathlib import Path
from typing import Any

from textual.widgets import DataTable

from kproxy.inspect.desired import Where
from kproxy.inspect.status.collect import collect
from kproxy.inspect.status.live import LiveStatus
from kproxy.inspect.status.rates import Names
from kproxy.inspect.status.report import Status

PATIENCE = 15.0


async def watch(config: str) -> str:
    where = Where(config=Path(config))

    async def look() -> tuple[Status, Names]:
        found = await collect(where)
        return found.status, Names.of(found.desired)

    app = LiveStatus(look, interval=0.2, tick=0.2)
    async with app.run_test(size=(150, 34)) as pilot:
        table = app.query_one(DataTable)
        async with asyncio.timeout(PATIENCE):
            while not any("web" in name for name in rows(table)):
                for _ in range(5):
                    socket.create_connection(("10.96.0.10", 80), 2).close()
                await pilot.pause(0.05)
        print("rows:", *rows(table))
        await pilot.press("n", "p")
        await pilot.pause(0.05)
        return app.export_screenshot()


def rows(table: DataTable[Any]) -> list[str]:
    return [str(key.value) for key in table.rows]


Path(sys.argv[2]).write_text(asyncio.run(watch(sys.argv[1])))
