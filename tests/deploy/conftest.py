import subprocess
import sys

import pytest

from tests.deploy.rendering import CHECKOUT, DEPLOY, Renderer


@pytest.fixture(scope="session")
def render() -> Renderer:
    folder = CHECKOUT / "build" / "kubernetes-tools"
    fetching = subprocess.run(
        [str(DEPLOY / "tools" / "kubernetes-tools"), str(folder)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "PYTHON": sys.executable},
    )
    if fetching.returncode:
        pytest.skip(f"no kubectl and helm: {fetching.stderr.strip()}")
    return Renderer(folder)
