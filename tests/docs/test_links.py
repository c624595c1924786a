"""Every relative link leads somewhere, to a heading that is there."""

from itertools import zip_longest
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.docs.pages import CHECKOUT, CHINESE, DOCS, all_pages, anchors, blocks, english_pages, headings, links


def _name(page: Path) -> str:
    return str(page.relative_to(CHECKOUT))


@pytest.mark.parametrize("page", all_pages(), ids=_name)
def test_links_resolve(page: Path) -> None:
    broken = []
    for line, link in links(page):
        url = urlsplit(link)
        if url.scheme:
            continue
        target = (page.parent / unquote(url.path)).resolve() if url.path else page
        if not target.exists():
            broken.append(f"line {line}: {link}: there is no {target}")
        elif not target.is_relative_to(CHECKOUT):
            broken.append(f"line {line}: {link} leaves the repository")
        elif url.fragment and (target.suffix != ".md" or unquote(url.fragment) not in anchors(target)):
            broken.append(f"line {line}: {link}: no such heading")
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("page", english_pages(), ids=_name)
def test_a_page_is_also_there_in_chinese(page: Path) -> None:
    twin = CHINESE / page.name
    assert twin.exists(), f"{_name(twin)} is missing"
    assert [heading.level for heading in headings(twin)] == [heading.level for heading in headings(page)]


def test_chinese_pages_all_have_an_english_one() -> None:
    assert {page.name for page in CHINESE.glob("*.md")} <= {page.name for page in DOCS.glob("*.md")}


def test_both_languages_show_the_same_code() -> None:
    """Commands and what they print are not translated."""
    pairs = [(page, CHINESE / page.name) for page in english_pages()]
    different = [
        f"{block}: not what {_name(page)} shows"
        for page, twin in [*pairs, (CHECKOUT / "README.md", CHECKOUT / "README.zh.md")]
        if twin.exists()
        for block, shown in zip_longest(blocks(twin), blocks(page))
        if block is None or shown is None or block.text != shown.text
    ]
    assert not different, "\n".join([*different, "run python docs/tooling/same_code.py"])


def test_the_readmes_have_the_same_parts() -> None:
    levels = [[heading.level for heading in headings(CHECKOUT / name)] for name in ("README.md", "README.zh.md")]
    assert levels[0] == levels[1]
