"""Coroutines in tests that are not ones."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Result = TypeVar("Result")


def to_end(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """The result of a coroutine, run on an event loop of its own, whatever loop the caller runs on."""
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(asyncio.run, coroutine).result()
