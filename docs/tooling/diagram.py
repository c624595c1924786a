"""Draws the pictures of the documentation: `python docs/tooling/diagram.py [FOLDER]`.

`diagrams.yaml` says what is in each: boxes with a place, a size and a text in two languages, and arrows between them.
English pictures go to images/, Chinese ones to zh/images/.
"""

import sys
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import yaml

HERE = Path(__file__).parent
FOLDERS = {"en": "images", "zh": "zh/images"}

_FILLS = {
    "ours": ("#e7f1ff", "#3f6fb5"),
    "kernel": ("#e8f5e9", "#3e8e47"),
    "other": ("#f4f4f4", "#888888"),
    "refuse": ("#fdecea", "#c0504d"),
    "frame": ("none", "#9aa5b1"),
}
_FONT = "ui-sans-serif, 'Helvetica Neue', Arial, 'PingFang SC', 'Microsoft YaHei', 'Noto Sans CJK SC', sans-serif"
_LINE = 17


def draw(scene: dict[str, Any], language: str) -> str:
    """One scene as an SVG document."""
    width, height = scene["size"]
    marker = '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" font-family="{_FONT}">',
        f"<title>{escape(scene['title'][language])}</title>",
        f'<defs>{marker}<path d="M0 0 8 4 0 8z" fill="#555"/></marker></defs>',
        f'<rect width="{width}" height="{height}" rx="8" fill="#ffffff"/>',
    ]
    boxes = scene["boxes"]
    parts += [_box(box, language) for box in boxes.values()]
    parts += [_arrow(arrow, boxes, language) for arrow in scene["arrows"]]
    return "\n".join([*parts, "</svg>", ""])


def _box(box: dict[str, Any], language: str) -> str:
    (x, y), (width, height) = box["at"], box["size"]
    kind = box.get("kind", "ours")
    fill, stroke = _FILLS[kind]
    dashes = ' stroke-dasharray="6 4"' if kind == "frame" else ""
    lines = _text(box, language).split("\n")
    top = y + 20 if kind == "frame" else y + height / 2 - (len(lines) - 1) * _LINE / 2 + 5
    words = [
        f'<text x="{x + width * box.get("label", 0.985 if kind == "frame" else 0.5):g}" y="{top + number * _LINE:g}" '
        f'text-anchor="{"end" if kind == "frame" else "middle"}" font-size="{14 if number == 0 else 12}" '
        f'font-weight="{600 if number == 0 else 400}" fill="{"#222" if number == 0 else "#444"}">{escape(line)}</text>'
        for number, line in enumerate(lines)
    ]
    rectangle = (
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" fill="{fill}" stroke="{stroke}"{dashes}/>'
    )
    return "\n".join([rectangle, *words])


def _text(part: dict[str, Any], language: str) -> str:
    text = part["text"]
    return str(text if isinstance(text, str) else text[language])


def _arrow(arrow: dict[str, Any], boxes: dict[str, Any], language: str) -> str:
    (x1, y1), (x2, y2), vertical = _ends(boxes[arrow["from"]], boxes[arrow["to"]])
    if vertical:
        middle = (y1 + y2) / 2
        path = f"M{x1:g} {y1:g}V{middle:g}H{x2:g}V{y2:g}"
        label = (x2 + 6, (middle + y2) / 2 + 3) if x1 != x2 else (x1 + 6, middle + 4)
        anchor = "start"
    else:
        middle = (x1 + x2) / 2
        path = f"M{x1:g} {y1:g}H{middle:g}V{y2:g}H{x2:g}"
        label, anchor = (middle, min(y1, y2) - 6), "middle"
    drawn = f'<path d="{path}" fill="none" stroke="#555" stroke-width="1.4" marker-end="url(#head)"/>'
    if "text" not in arrow:
        return drawn
    place = f'x="{label[0]:g}" y="{label[1]:g}" text-anchor="{anchor}"'
    return f'{drawn}\n<text {place} font-size="12" fill="#555">{escape(_text(arrow, language))}</text>'


def _ends(first: dict[str, Any], second: dict[str, Any]) -> tuple[tuple[float, float], tuple[float, float], bool]:
    """Where an arrow begins and ends, and whether it leaves downwards or upwards."""
    (ax, ay), (aw, ah) = first["at"], first["size"]
    (bx, by), (bw, bh) = second["at"], second["size"]
    if ay + ah <= by or by + bh <= ay:
        below = ay + ah <= by
        # Straight down where one box is above the other, though their middles differ.
        left, right = max(ax, bx), min(ax + aw, bx + bw)
        x1, x2 = ax + aw / 2, bx + bw / 2
        if right - left >= 40:
            x1 = x2 = x2 if ax + 10 <= x2 <= ax + aw - 10 else (left + right) / 2
        return (x1, ay + ah if below else ay), (x2, by if below else by + bh), True
    after = ax + aw <= bx
    y1, y2 = ay + ah / 2, by + bh / 2
    return (ax + aw if after else ax, y1), (bx if after else bx + bw, y2), False


def main(folder: Path) -> None:
    """Draw all scenes in all languages below a folder."""
    scenes = yaml.safe_load((HERE / "diagrams.yaml").read_text(encoding="utf-8"))
    for language, name in FOLDERS.items():
        images = folder / name
        images.mkdir(parents=True, exist_ok=True)
        for scene, content in scenes.items():
            (images / f"{scene}.svg").write_text(draw(content, language), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parent)
