from collections.abc import AsyncIterator

import pytest

from kproxy.lab.lab import Lab
from kproxy.lab.privileges import has_capabilities


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if has_capabilities():
        return
    skip = pytest.mark.skip(reason="needs CAP_SYS_ADMIN and CAP_NET_ADMIN to make network namespaces")
    for item in items:
        if item.get_closest_marker("root"):
            item.add_marker(skip)


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with Lab.open() as opened:
        yield opened
