"""What a switch is going to do, and what became of it."""

import enum

import msgspec


class Outcome(enum.StrEnum):
    PLANNED = "planned"
    DONE = "done"
    UNCHANGED = "unchanged"
    """It was as wanted already."""
    FAILED = "failed"
    ROLLED_BACK = "rolled back"


class Step(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One thing to do."""

    name: str
    words: str
    """What exactly, for the person who decides."""
    outcome: Outcome = Outcome.PLANNED
    detail: str = ""


class Plan(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A switch of one node or one cluster."""

    subject: str
    from_mode: str
    to_mode: str
    steps: tuple[Step, ...]
    warnings: tuple[str, ...]
    """What will be different afterwards, beside the mode."""
    obstacles: tuple[str, ...]
    """Why it cannot be done."""

    @property
    def possible(self) -> bool:
        return not self.obstacles


class Report(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What became of a plan."""

    plan: Plan
    steps: tuple[Step, ...]
    succeeded: bool
    dry_run: bool = False


class SwitchError(Exception):
    """A step failed; the message says what, in one line."""
