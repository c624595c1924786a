"""How far the kernel is from the desired state."""

from kproxy.inspect.desired import DesiredState
from kproxy.inspect.diff.compare import compare
from kproxy.inspect.output import InspectionError
from kproxy.inspect.status.report import Drift

_EXAMPLES = 3


def measure_drift(desired: DesiredState | None, mode: str | None) -> Drift:
    """Compare, if there is something to compare with."""
    if desired is None:
        return _unknown("not compared: the desired state is not known (--kubeconfig or --manifests)")
    if mode is None:
        return _unknown("not compared: no mode")
    try:
        found = compare(desired, mode)
    except InspectionError as error:
        return _unknown(f"not compared: {error}")
    examples = tuple(str(difference) for difference in found.differences[:_EXAMPLES])
    return Drift(compared=True, differences=len(found.differences), examples=examples)


def _unknown(reason: str) -> Drift:
    return Drift(compared=False, differences=0, examples=(), reason=reason)
