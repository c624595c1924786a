"""Pieces of PromQL expressions."""

from collections.abc import Callable
from typing import TypeAlias

Select: TypeAlias = Callable[..., str]
"""Makes a selector of a metric's name and further matchers."""


def selecting(*matchers: str) -> Select:
    """A maker of selectors that all have these matchers, such as `job="kube-proxy"`."""

    def select(metric: str, *more: str) -> str:
        return f"{metric}{{{', '.join((*matchers, *more))}}}"

    return select


def up_to(bound: float) -> str:
    """The matcher for a histogram's bucket.

    kube-proxy's client library writes the bound 10 as `le="10"`, Python's as `le="10.0"`; up to version 2 Prometheus
    takes them as they are, from version 3 on it writes all as `10.0`.

    Args:
        bound: the bucket's, in the histogram's unit
    """
    text = f"{bound:g}".replace(".", "[.]")
    return f'le=~"{text}([.]0)?"' if bound.is_integer() else f'le="{bound:g}"'
