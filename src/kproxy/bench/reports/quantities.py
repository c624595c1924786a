"""Numbers with their units, as people read them."""

from kproxy.bench.results.figures import Unit
from kproxy.bench.results.spread import Interval

_STEPS = {
    Unit.SECONDS: ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")),
    Unit.BYTES: ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")),
    Unit.BITS_PER_SECOND: ((1e9, "Gbit/s"), (1e6, "Mbit/s"), (1.0, "bit/s")),
    Unit.SHARE: ((0.01, "%"),),
    Unit.PER_SECOND: ((1.0, "/s"),),
    Unit.COUNT: ((1.0, ""),),
}


def scale(largest: float, unit: Unit) -> tuple[float, str]:
    """What to divide by, and the unit's name, so that a value of that size reads well."""
    for factor, name in _STEPS[unit]:
        if abs(largest) >= factor:
            return factor, name
    return _STEPS[unit][-1]


def quantity(value: float, unit: Unit) -> str:
    """A value with three digits."""
    factor, name = scale(value, unit)
    return f"{_digits(value / factor)} {name}".rstrip()


def interval(found: Interval, unit: Unit) -> str:
    """A value and its 95 % confidence interval, in one unit."""
    factor, name = scale(found.value, unit)
    value, low, high = (_digits(each / factor) for each in found)
    return f"{value} {name} [{low}, {high}]".replace("  ", " ")


def ratio(found: Interval) -> str:
    """A ratio, and its interval if it has one."""
    return f"{found.value:.2f} ×" + (f" [{found.low:.2f}, {found.high:.2f}]" if found.bounded else "")


def _digits(value: float) -> str:
    if abs(value) >= 1000 or float(value).is_integer():
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
