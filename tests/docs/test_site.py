"""The site is built without a warning, and asks nothing of other hosts."""

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.docs.pages import CHECKOUT, CHINESE, DOCS

LANGUAGES = {"en": "mkdocs.yml", "zh": "mkdocs.zh.yml"}

pytestmark = pytest.mark.skipif(find_spec("material") is None, reason="mkdocs-material is not installed")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    for language, configuration in LANGUAGES.items():
        target = folder if language == "en" else folder / language
        command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
        building = subprocess.run(
            [*command, "--config-file", str(CHECKOUT / configuration), "--site-dir", str(target)],
            capture_output=True,
            text=True,
            check=False,
            cwd=CHECKOUT,
            env={"NO_MKDOCS_2_WARNING": "1", "PATH": "/usr/bin:/bin"},
        )
        assert building.returncode == 0, building.stdout + building.stderr
    return folder


def _pages(site: Path) -> list[Path]:
    return [page for page in site.rglob("*.html") if "benchmarks" not in page.parts]


def test_every_page_is_on_the_site(site: Path) -> None:
    for folder, target in ((DOCS, site), (CHINESE, site / "zh")):
        for page in folder.glob("*.md"):
            name = "index.html" if page.stem == "index" else f"{page.stem}/index.html"
            assert (target / name).exists(), name


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    loading = re.compile(r'<(?:script|img|iframe|source)[^>]*\ssrc="?(https?:)?//|<link[^>]*\shref="?(https?:)?//')
    assert not [page for page in _pages(site) if loading.search(page.read_text(encoding="utf-8"))]


def test_links_between_the_pages_of_the_site_resolve(site: Path) -> None:
    broken = []
    for page in _pages(site):
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r'<(?:a|img|link|script)\b[^>]*?\s(?:href|src)="?([^"\s>]+)', text):
            path = target.partition("#")[0]
            if not path or re.match(r"[a-z]+:", path):
                continue
            there = (page.parent / path).resolve() if page.name != "404.html" else site
            if not (there / "index.html" if there.is_dir() else there).exists():
                broken.append(f"{page.relative_to(site)}: {target}")
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_search_index_has_the_pages(site: Path, language: str) -> None:
    folder = site if language == "en" else site / language
    index = json.loads((folder / "search" / "search_index.json").read_text(encoding="utf-8"))
    # Chinese text is cut into words by spaces of no width, without which it could be searched by whole sentences only.
    words = {word for entry in index["docs"] for word in re.split(r"[\s\u200b]+", entry["text"])}
    assert ("连接" if language == "zh" else "connection") in words
