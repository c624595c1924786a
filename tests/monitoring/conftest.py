import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
DEPLOYED = CHECKOUT / "deploy" / "monitoring"


@dataclass(frozen=True)
class Tools:
    """Debian's prometheus and promtool."""

    folder: Path

    @property
    def prometheus(self) -> str:
        return str(self.folder / "prometheus")

    def promtool(self, *arguments: str, text: str = "") -> tuple[int, str]:
        """Run promtool; returns its exit status and all that it prints."""
        argv = [str(self.folder / "promtool"), *arguments]
        done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="session")
def tools() -> Tools:
    folder = CHECKOUT / "build" / "prometheus"
    script = Path(__file__).with_name("fetch-prometheus")
    fetching = subprocess.run([str(script), str(folder)], capture_output=True, text=True, check=False)
    if fetching.returncode:
        pytest.skip(f"no prometheus: {fetching.stderr.strip()}")
    return Tools(folder)
