"""A benchmark's result, as its JSON file has it."""

from pathlib import Path
from typing import Final

import msgspec

from kproxy.bench.results.figures import FIGURES, Definition

FORMAT: Final = 1


class ResultError(Exception):
    """A file is not a result of this suite; the message says why, on one line."""


class Machine(msgspec.Struct, frozen=True):
    """Where it ran. Memory in bytes."""

    kernel: str
    processor: str
    cores: int
    memory: int
    python: str
    kproxy: str
    commit: str = ""
    """Of the working copy, with `+` where it was changed; empty outside one."""
    programs: dict[str, str] = {}
    """Version by name; `missing` where it is not installed."""
    virtualisation: str = ""
    """What systemd-detect-virt(1) says of the virtual machine, such as `kvm`; empty where there is none."""
    emulated: bool = False
    """Whether a program imitates the processor: absolute figures are then those of no machine."""


class Noise(msgspec.Struct, frozen=True):
    """What the machine did beside the benchmark: all of it is in the figures' spread."""

    loops: list[float]
    """Seconds that one and the same computation took, at points all over the run."""
    load_before: float
    load_after: float
    others: float
    """Cores that processes outside the benchmark kept busy, on average."""
    stolen: float
    """Cores that the hypervisor withheld, on average (steal in proc(5))."""


class Figure(msgspec.Struct, frozen=True):
    """Samples of one quantity, kept apart by the round that they were taken in."""

    rounds: list[list[float]]

    @property
    def samples(self) -> list[float]:
        return [sample for each in self.rounds for sample in each]


class Run(msgspec.Struct):
    """One contender in one mode with one cluster."""

    contender: str
    mode: str
    services: int
    endpoints: int
    """Of each Service."""
    figures: dict[str, Figure] = {}
    metrics: dict[str, float] = {}
    """The daemon's own metrics at the end of the last round."""
    problems: list[str] = []
    """What could not be measured, and why."""

    def add(self, name: str, samples: list[float]) -> None:
        """Add a round's samples to a figure of `FIGURES`."""
        if name not in FIGURES:
            raise KeyError(name)
        if samples:
            rounds = self.figures[name].rounds if name in self.figures else []
            self.figures[name] = Figure([*rounds, samples])

    def miss(self, words: str) -> None:
        """Say, once however many rounds find it, what could not be measured and why."""
        if words not in self.problems:
            self.problems.append(words)


class Result(msgspec.Struct):
    """All of it."""

    started: str
    """RFC 3339."""
    command: list[str]
    machine: Machine
    contenders: dict[str, list[str]] = {}
    """Their commands."""
    settings: dict[str, float] = {}
    """Such as the number of rounds, changes and connections, and the rate of churn."""
    runs: list[Run] = []
    noise: Noise | None = None
    seconds: float = 0.0
    """How long it took."""
    interrupted: bool = False
    remarks: list[str] = []
    """Modes that were left out, programs that are missing."""
    format: int = FORMAT

    def run(self, contender: str, mode: str, services: int, endpoints: int) -> Run:
        """The run of that name, new if need be."""
        for run in self.runs:
            if (run.contender, run.mode, run.services, run.endpoints) == (contender, mode, services, endpoints):
                return run
        run = Run(contender, mode, services, endpoints)
        self.runs.append(run)
        return run


def definition(name: str) -> Definition:
    """What a figure is; raises KeyError."""
    return FIGURES[name]


def write(result: Result, path: Path) -> None:
    """Write as JSON, a line for each run; raises OSError."""
    rounded = _rounded(result)
    runs = b",\n".join(msgspec.json.encode(run) for run in rounded.runs)
    rest = msgspec.json.format(msgspec.json.encode(msgspec.structs.replace(rounded, runs=[])), indent=1)
    path.write_bytes(rest.replace(b'"runs": []', b'"runs": [\n' + runs + b"\n]", 1) + b"\n")


def read(path: Path) -> Result:
    """Read a result.

    Raises:
        ResultError: it cannot be read, or is something else
    """
    try:
        result = msgspec.json.decode(path.read_bytes(), type=Result)
    except OSError as error:
        raise ResultError(f"{path}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise ResultError(f"{path}: not a benchmark's result: {error}") from error
    if result.format != FORMAT:
        raise ResultError(f"{path}: has format {result.format}, this version reads {FORMAT}")
    unknown = {name for run in result.runs for name in run.figures} - FIGURES.keys()
    if unknown:
        raise ResultError(f"{path}: has figures that this version does not know: {', '.join(sorted(unknown))}")
    return result


def _rounded(result: Result) -> Result:
    """Samples to four digits: what lies beyond is noise, and makes the file twice as long."""
    runs = [
        msgspec.structs.replace(
            run,
            figures={
                name: Figure([[float(f"{sample:.4g}") for sample in each] for each in figure.rounds])
                for name, figure in run.figures.items()
            },
        )
        for run in result.runs
    ]
    return msgspec.structs.replace(result, runs=runs)
