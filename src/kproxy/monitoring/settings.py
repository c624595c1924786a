"""What differs from one monitoring system to the next."""

import re
from typing import Self

import msgspec

PROGRAMMING_BOUNDS = frozenset(
    {0.25, 0.5, *map(float, range(1, 60)), *map(float, range(60, 120, 5)), *map(float, range(120, 301, 30))}
)
"""The buckets of `kubeproxy_network_programming_duration_seconds`, in seconds: an objective has to be one of them."""

_JOB = re.compile(r"[A-Za-z0-9_./|*+()-]+")


class SettingsError(ValueError):
    """A setting that no rule can be made of; the message names it."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Of the rules."""

    job: str = "kube-proxy|kproxy"
    """A regular expression for the label `job` of the proxies."""
    objective: float = 0.99
    """The share of endpoint changes that are to be in a node's rules in time."""
    within: float = 10.0
    """What `in time` means, in seconds."""

    def checked(self) -> Self:
        """These settings.

        Raises:
            SettingsError: one of them cannot be meant
        """
        if not _JOB.fullmatch(self.job):
            raise SettingsError(
                f"job {self.job!r}: must be names or a simple regular expression, such as kube-proxy|kproxy"
            )
        try:
            re.compile(self.job)
        except re.error as error:
            raise SettingsError(f"job {self.job!r}: is no regular expression: {error}") from None
        # At 0.93 a page's 14.4 times the budget would be more than everything.
        if not 0.94 <= self.objective < 1:
            raise SettingsError(f"objective {self.objective:g}: must be at least 0.94 and less than 1")
        if self.within not in PROGRAMMING_BOUNDS:
            nearest = min(PROGRAMMING_BOUNDS, key=lambda bound: abs(bound - self.within))
            raise SettingsError(
                f"within {self.within:g} s: must be a bucket of kubeproxy_network_programming_duration_seconds; "
                f"the nearest is {nearest:g}"
            )
        return self
