"""How a command line is cut into flags: the rules of pflag, which every Kubernetes program follows.

`--name value`, `--name=value`, a boolean without a value (and never with a separate one), `-v2`, `-v 2`, `-v=2`, `--`
as the end of flags, underscores for dashes in names.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from kproxy.config.flag_table import REMOVED, Flag
from kproxy.config.problems import Origin, Problem, suggestion
from kproxy.config.scalars import shown

_WITHOUT_VALUE = "true"
_COMMAND_LINE = Origin("command line")


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One use of a flag, with its text still to be understood."""

    flag: Flag
    text: str


def split(arguments: Sequence[str], known: Mapping[str, Flag]) -> tuple[list[Occurrence], list[Problem]]:
    """Return the flags in the order given, and what is wrong with the rest."""
    cutter = _Cutter(known)
    remaining = iter(arguments)
    for argument in remaining:
        if argument == "--":
            cutter.positional(remaining)
        elif argument.startswith("--"):
            cutter.long(argument, remaining)
        elif argument.startswith("-") and len(argument) > 1:
            cutter.short(argument, remaining)
        else:
            cutter.positional([argument])
    return cutter.occurrences, cutter.problems


class _Cutter:
    def __init__(self, known: Mapping[str, Flag]) -> None:
        self._known = known
        self._short = {flag.shorthand: flag for flag in known.values() if flag.shorthand}
        self.occurrences: list[Occurrence] = []
        self.problems: list[Problem] = []

    def positional(self, arguments: Iterator[str] | Sequence[str]) -> None:
        # pflag's users let empty arguments pass: unset variables in a start script leave them behind.
        self.problems += [
            Problem("", f"takes no arguments, got {shown(argument)}", _COMMAND_LINE)
            for argument in arguments
            if argument
        ]

    def long(self, argument: str, remaining: Iterator[str]) -> None:
        written, equals, text = argument[2:].partition("=")
        name = written.replace("_", "-")
        flag = self._known.get(name)
        if flag is None and name in REMOVED:
            self.problems.append(Problem("", REMOVED[name], Origin(f"--{written}")))
        elif flag is None:
            self._unknown(f"--{written}", suggestion(written, self._known).replace('"', '"--', 1))
        elif equals:
            self.occurrences.append(Occurrence(flag, text))
        elif not flag.takes_value:
            self.occurrences.append(Occurrence(flag, _WITHOUT_VALUE))
        else:
            self._with_next(flag, f"--{written}", remaining)

    def short(self, argument: str, remaining: Iterator[str]) -> None:
        letters = argument[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            flag = self._short.get(letter)
            if flag is None:
                near = f'; did you mean "-{argument}"?' if argument[1:].partition("=")[0] in self._known else ""
                self._unknown(argument, near)
                return
            if flag.takes_value and letters:
                self.occurrences.append(Occurrence(flag, letters.removeprefix("=")))
                return
            if flag.takes_value:
                self._with_next(flag, f"-{letter}", remaining)
            elif letters.startswith("="):
                self.occurrences.append(Occurrence(flag, letters[1:]))
                return
            else:
                self.occurrences.append(Occurrence(flag, _WITHOUT_VALUE))

    def _with_next(self, flag: Flag, written: str, remaining: Iterator[str]) -> None:
        text = next(remaining, None)
        if text is None:
            self.problems.append(Problem("", "needs a value", Origin(written)))
        else:
            self.occurrences.append(Occurrence(flag, text))

    def _unknown(self, written: str, near: str) -> None:
        self.problems.append(Problem("", f"unknown flag{near}", Origin(written)))
