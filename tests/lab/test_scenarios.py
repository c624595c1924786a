"""The project's scenarios, with the project's proxy."""

from pathlib import Path

import pytest

from kproxy.lab.runner import DEFAULT_PROXY, SCENARIOS, Source, run_scenario

pytestmark = pytest.mark.root

FROM_API = [(path, "api") for path in sorted(SCENARIOS.glob("*.yaml"))]
FROM_MANIFESTS = [(SCENARIOS / "updates.yaml", "manifests")]


@pytest.mark.parametrize(
    ("path", "source"), [*FROM_API, *FROM_MANIFESTS], ids=lambda value: value.stem if isinstance(value, Path) else value
)
async def test_nftables(path: Path, source: Source) -> None:
    report = await run_scenario(path, DEFAULT_PROXY[source], "nftables", source)
    assert report.passed, str(report)
