"""Hooks of MkDocs: what differs between the pages as GitHub shows them and the site.

Pages link to each other and to files of the repository with relative paths, which is what GitHub wants. On the site,
files of the repository are not there, and the other language is a site of its own.
"""

import os
import posixpath
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.pages import Page

_LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]+)\]\((?P<target>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")
_FENCE = re.compile(r"^\s*(```|~~~)")
_NUMBERED = re.compile(r"^\d\. ")
_CHINESE = PurePosixPath("docs/zh")
_ENGLISH = PurePosixPath("docs")
_ALTERNATE = "https://alternate.invalid/"


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **_: Any) -> str:
    """Point links that leave the site's folder to where the target is, or leave their text alone."""
    top = Path(config.config_file_path).parent
    folder = PurePosixPath(os.path.relpath(config.docs_dir, top))
    here = folder / PurePosixPath(page.file.src_uri).parent

    def replace(match: re.Match[str]) -> str:
        target = match["target"]
        if re.match(r"[a-z]+:|/", target):
            return match[0]
        path = PurePosixPath(posixpath.normpath(str(here / target)))
        other = path.is_relative_to(_CHINESE) != (folder == _CHINESE)
        if path.is_relative_to(_ENGLISH) and other:
            return f'<a href="{_site_link(page, path, match["anchor"])}">{match["text"]}</a>'
        if path.is_relative_to(folder):
            return match[0]
        return match["text"] if match["text"].startswith("`") else f"`{match['text']}`"

    return "\n".join(_lines(markdown, replace))


def _lines(markdown: str, replace: Callable[[re.Match[str]], str]) -> list[str]:
    lines = []
    fenced = in_item = False
    for line in markdown.split("\n"):
        if _FENCE.match(line):
            fenced = not fenced
        elif not fenced:
            in_item = bool(_NUMBERED.match(line)) or (in_item and (not line.strip() or line.startswith("   ")))
            line = _LINK.sub(replace, line)
        # Python-Markdown wants four spaces below a numbered item, where CommonMark is content with three.
        lines.append(f" {line}" if in_item and line.startswith("   ") else line)
    return lines


def _site_link(page: Page, path: PurePosixPath, anchor: str | None) -> str:
    """The address of a page of the other language's site, as seen from a page of this one."""
    up = "../" * page.url.count("/")
    inner = path.relative_to(_CHINESE) if path.is_relative_to(_CHINESE) else path.relative_to(_ENGLISH)
    site = "zh/" if path.is_relative_to(_CHINESE) else "../"
    if inner.suffix != ".md":
        return f"{up}{site}{inner}"
    url = "" if inner.name == "index.md" else f"{inner.with_suffix('')}/"
    return f"{up}{site}{url}index.html{anchor or ''}"


def on_page_context(context: Any, page: Page, config: MkDocsConfig, **_: Any) -> Any:
    """Let the choice of a language lead to the same page in it."""
    config.extra["alternate"] = [
        {"name": name, "lang": language, "link": f"{_ALTERNATE}{language}/{page.url}"}
        for language, name in {"en": "English", "zh": "中文"}.items()
    ]
    return context


def on_post_page(output: str, page: Page, config: MkDocsConfig, **_: Any) -> str:
    """Make these links relative: MkDocs's own filter does not, where both languages' pages have the same name."""
    here = posixpath.join("zh" if config.theme["language"] == "zh" else "", page.url) or "."

    def replace(match: re.Match[str]) -> str:
        there = posixpath.join("zh" if match["language"] == "zh" else "", match["url"]) or "."
        return f"{posixpath.relpath(there, here)}/"

    return re.sub(rf"{_ALTERNATE}(?P<language>en|zh)/(?P<url>[^\"> ]*)", replace, output)
