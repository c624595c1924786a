"""Copies the code blocks of the English pages into the Chinese ones: `python docs/tooling/same_code.py`.

Commands and what they print are not translated. A page whose numbers of blocks differ is named, and left as it is.
"""

import re
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1]
TOP = DOCS.parent
_BLOCK = re.compile(r"^(?P<indent> *)```(?P<rest>.*?)^ *```$", re.MULTILINE | re.DOTALL)


def copy(english: str, chinese: str) -> str | None:
    """The Chinese page with the English page's code; None if they have not as many blocks."""
    originals = [(match["indent"], match[0]) for match in _BLOCK.finditer(english)]
    if len(originals) != len(_BLOCK.findall(chinese)):
        return None
    remaining = iter(originals)

    def replace(match: re.Match[str]) -> str:
        indent, block = next(remaining)
        flush = re.sub(rf"^{indent}", "", block, flags=re.MULTILINE)
        return re.sub(r"^(?=.)", match["indent"], flush, flags=re.MULTILINE)

    return _BLOCK.sub(replace, chinese)


def main() -> int:
    """Copy; the exit status is 1 when a page could not be done."""
    failed = 0
    pairs = [(page, DOCS / "zh" / page.name) for page in DOCS.glob("*.md")]
    for page, twin in [*pairs, (TOP / "README.md", TOP / "README.zh.md")]:
        if not twin.exists():
            continue
        text = copy(page.read_text(encoding="utf-8"), twin.read_text(encoding="utf-8"))
        if text is None:
            print(f"{twin.relative_to(TOP)} does not have as many blocks of code as {page.relative_to(TOP)}")
            failed = 1
        else:
            twin.write_text(text, encoding="utf-8")
    return failed


if __name__ == "__main__":
    sys.exit(main())
