"""What a comparison tells, as programs get it."""

from typing import Literal

import msgspec

Kind = Literal["missing", "extra", "different"]


class Difference(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One object of the kernel that is not as it should be."""

    kind: Kind
    """`missing`: it should be there; `extra`: it should not."""
    place: str
    """What it is in: a table and a set or chain, IPVS, an interface."""
    object: str
    """Which one, as the kernel's tools write it."""
    service: str = ""
    """The Service that it is for, as far as that can be told."""
    wanted: str = ""
    found: str = ""

    def __str__(self) -> str:
        whose = f" (Service {self.service})" if self.service else ""
        return f"{self.kind} in {self.place}: {self.object}{whose}"


class DiffReport(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The answer of `kproxy diff`."""

    mode: str
    method: str
    """How it was compared, in words."""
    compared: int
    """How many objects, or frontends."""
    differences: tuple[Difference, ...] = ()
    repaired: tuple[Difference, ...] = ()
    """What was there before a repair."""
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    """What of the desired state was left out."""
