"""A report's three files."""

from pathlib import Path

from kproxy.bench.reports.charts import ChartsUnavailableError
from kproxy.bench.reports.markdown import markdown
from kproxy.bench.reports.page import page
from kproxy.bench.results.schema import Result, write


def save(result: Result, stem: Path) -> tuple[list[Path], list[str]]:
    """Write `stem.json`, `stem.md` and `stem.html`; returns what was written, and what kept the rest from it.

    Raises:
        OSError: a file cannot be written
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    written = [stem.with_name(f"{stem.name}.{suffix}") for suffix in ("json", "md", "html")]
    write(result, written[0])
    written[1].write_text(markdown(result), encoding="utf-8")
    try:
        written[2].write_text(page(result), encoding="utf-8")
    except ChartsUnavailableError as error:
        return written[:2], [str(error)]
    return written, []
