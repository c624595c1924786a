"""What is wrong with a configuration, and where: values to collect, one exception to carry them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value was written: a file with a line and a column (from 1), or a flag (line 0)."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        """`FILE:LINE`, or `--flag`."""
        return f"{self.source}:{self.line}" if self.line else self.source


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding about one field. `path` is dotted as in the file (`iptables.masqueradeBit`, `vmodule[0]`)."""

    path: str
    message: str
    origin: Origin | None = None

    def __str__(self) -> str:
        """`FILE:LINE: field.path: message`, leaving out what is unknown."""
        return ": ".join(part for part in (str(self.origin or ""), self.path, self.message) if part)


class ConfigError(Exception):
    """A configuration that cannot be used. `str()` is one problem a line."""

    def __init__(self, problems: Sequence[Problem], warnings: Sequence[Problem] = ()) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)
        self.warnings = tuple(warnings)


def locate(problems: Iterable[Problem], origins: Mapping[str, Origin]) -> tuple[Problem, ...]:
    """Give each problem the origin of its field or, where that was not written, of what contains it."""
    return tuple(
        problem if problem.origin else replace(problem, origin=_nearest_origin(problem.path, origins))
        for problem in problems
    )


def _nearest_origin(path: str, origins: Mapping[str, Origin]) -> Origin | None:
    while path and path not in origins:
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return origins.get(path)


def suggestion(name: str, valid: Iterable[str]) -> str:
    """Return `; did you mean "x"?` for the nearest valid name, or nothing when none is near."""
    # A mistake is rare, so its import must not slow down every start.
    import difflib

    by_folded = {candidate.casefold(): candidate for candidate in valid}
    near = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.6)
    return f'; did you mean "{by_folded[near[0]]}"?' if near else ""
