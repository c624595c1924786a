"""The pictures are those that their description gives."""

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

from tests.docs.pages import DOCS

SVG = "{http://www.w3.org/2000/svg}"


def test_pictures_are_drawn_from_their_description(tmp_path: Path) -> None:
    subprocess.run([sys.executable, str(DOCS / "tooling" / "diagram.py"), str(tmp_path)], check=True)
    drawn = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.svg"))
    assert drawn == sorted(path.relative_to(DOCS) for path in DOCS.rglob("*.svg") if path.parent.name == "images")
    for path in drawn:
        assert (tmp_path / path).read_bytes() == (DOCS / path).read_bytes(), f"draw {path} again"


def test_words_stay_inside_of_the_picture() -> None:
    """By a rough measure of widths: 0.62 of the size for a Latin letter, all of it for a Chinese one."""
    for path in DOCS.rglob("images/*.svg"):
        root = ElementTree.parse(path).getroot()
        width = float(root.attrib["viewBox"].split()[2])
        for text in root.iter(f"{SVG}text"):
            letters = text.text or ""
            size = float(text.attrib["font-size"])
            length = sum(size if ord(letter) > 0x2E80 else 0.62 * size for letter in letters)
            left = (
                float(text.attrib["x"]) - {"start": 0, "middle": length / 2, "end": length}[text.attrib["text-anchor"]]
            )
            assert left >= 0, (path, letters)
            assert left + length <= width, (path, letters)
