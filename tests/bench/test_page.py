"""The HTML page: self-contained, and its charts are drawn by a browser."""

import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from kproxy.bench.reports.charts import CHARTS, draw
from kproxy.bench.reports.page import page
from tests.bench.results import result

imread = pytest.importorskip("matplotlib.image", reason="charts need matplotlib: pip install 'kproxy[bench]'").imread

BENCHMARKS = Path(__file__).parents[2] / "docs" / "benchmarks"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
NFTABLES, IPTABLES, IPVS = (0x1B, 0x78, 0x37), (0xD6, 0x60, 0x4D), (0x43, 0x93, 0xC3)
"""The colours of the modes' lines."""


class _Attributes(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.outside: list[str] = []
        self.figures = self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.figures += tag == "figure"
        self.scripts += tag == "script"
        self.outside += [
            value
            for name, value in attrs
            if value and name in ("src", "href", "xlink:href", "srcset") and not value.startswith(("#", "data:"))
        ]


def _parsed(html: str) -> _Attributes:
    parser = _Attributes()
    parser.feed(html)
    return parser


def test_the_page_needs_nothing_from_elsewhere() -> None:
    html = page(result())
    parsed = _parsed(html)
    assert parsed.outside == []
    assert parsed.scripts == 0
    assert parsed.figures == 4  # as many as the result has figures for
    assert "@import" not in html
    assert "url(http" not in html
    assert "&lt;no kernel&gt;" in html


def test_a_chart_without_data_is_left_out() -> None:
    empty = result()
    empty.runs = []
    assert all(draw(chart, empty) is None for chart in CHARTS)


def test_charts_are_the_same_each_time() -> None:
    assert draw(CHARTS[0], result()) == draw(CHARTS[0], result())


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium: scripts/install-packages chromium")
def test_a_browser_draws_the_charts(tmp_path: Path) -> None:
    html = tmp_path / "report.html"
    html.write_text(page(result()), encoding="utf-8")
    _check_lines(html, tmp_path, NFTABLES, IPTABLES)


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium: scripts/install-packages chromium")
@pytest.mark.parametrize(
    ("name", "colours"),
    [("local.html", (NFTABLES, IPTABLES)), ("ipvs-emulated.html", (NFTABLES, IPTABLES, IPVS))],
)
def test_a_browser_draws_the_charts_of_a_committed_report(
    tmp_path: Path, name: str, colours: tuple[tuple[int, int, int], ...]
) -> None:
    _check_lines(BENCHMARKS / name, tmp_path, *colours)


def _check_lines(html: Path, folder: Path, *colours: tuple[int, int, int]) -> None:
    screenshot = _screenshot(html, folder)
    for colour in colours:
        # A line is hundreds of pixels long; nothing else on the page has these colours.
        assert _count(screenshot, colour) > 200, f"no line in {colour} on the page"


def _screenshot(html: Path, folder: Path) -> Path:
    target = folder / "page.png"
    argv = [
        str(CHROMIUM),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        f"--user-data-dir={folder / 'profile'}",
        "--window-size=1300,2600",
        f"--screenshot={target}",
        html.resolve().as_uri(),
    ]
    ended = subprocess.run(argv, capture_output=True, timeout=60, check=False)
    assert target.exists(), ended.stderr.decode(errors="replace")
    return target


def _count(png: Path, colour: tuple[int, int, int]) -> int:
    """How many pixels of an image have exactly that colour."""
    pixels = (imread(png)[..., :3] * 255).round().astype(int)
    return int((pixels == colour).all(axis=-1).sum())
