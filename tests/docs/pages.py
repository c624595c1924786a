"""The documentation as text: pages, their headings, links and code blocks, as GitHub's Markdown has them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
DOCS = CHECKOUT / "docs"
CHINESE = DOCS / "zh"

_FENCE = re.compile(r"^ *(?P<marks>```+|~~~+)(?P<language>[\w-]*)")
_HEADING = re.compile(r"^(?P<level>#{1,6}) +(?P<title>.+?) *$")
_LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\((?P<target>[^)\s]+)\)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of code; `line` is that of its fence, counted from 1."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(CHECKOUT)}:{self.line}"


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading: its level, 1 to 6, and its text."""

    level: int
    title: str


def english_pages() -> list[Path]:
    """The pages directly below docs/."""
    return sorted(DOCS.glob("*.md"))


def all_pages() -> list[Path]:
    """Every page there is, with both READMEs and what lies in other folders."""
    readmes = [path for path in (CHECKOUT / "README.md", CHECKOUT / "README.zh.md") if path.exists()]
    return [*readmes, *sorted(DOCS.rglob("*.md"))]


def _split(page: Path) -> tuple[list[tuple[int, str]], list[Block]]:
    """The lines outside of code, with their numbers, and the code."""
    prose: list[tuple[int, str]] = []
    blocks = []
    start, marks, language, indent, code = 0, "", "", 0, list[str]()
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = _FENCE.match(line)
        if not marks and fence:
            start, marks, language = number, fence["marks"], fence["language"]
            indent, code = len(line) - len(line.lstrip()), []
        elif marks and line.strip() == marks:
            blocks.append(Block(page, start, language, "\n".join(code) + "\n"))
            marks = ""
        elif marks:
            code.append(line[indent:] if not line[:indent].strip() else line.lstrip())
        else:
            prose.append((number, line))
    assert not marks, f"{page}:{start}: this block of code never ends"
    return prose, blocks


def prose(page: Path) -> list[tuple[int, str]]:
    """The lines of a page that are not code, with their numbers."""
    return _split(page)[0]


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, without the indent of those in lists."""
    return _split(page)[1]


def headings(page: Path) -> list[Heading]:
    """The headings of a page, in order."""
    matches = (_HEADING.match(line) for _, line in _split(page)[0])
    return [Heading(len(match["level"]), match["title"]) for match in matches if match]


def anchors(page: Path) -> set[str]:
    """What a link to a heading of this page may have after its `#`, by GitHub's rules."""
    found: set[str] = set()
    for heading in headings(page):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading.title)
        slug = re.sub(r"[^\w\- ]", "", text.replace("`", "").lower()).replace(" ", "-")
        number, unique = 0, slug
        while unique in found:
            number += 1
            unique = f"{slug}-{number}"
        found.add(unique)
    return found


def links(page: Path) -> Iterator[tuple[int, str]]:
    """The targets of a page's links and pictures, with the lines that they stand on."""
    for number, line in _split(page)[0]:
        for match in _LINK.finditer(re.sub(r"`[^`]*`", "``", line)):
            yield number, match["target"]
