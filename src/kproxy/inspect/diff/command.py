"""Answers `kproxy diff` on this node."""

import msgspec

from kproxy.inspect.desired import DesiredState, Where, read_desired
from kproxy.inspect.detection.footprints import Owner
from kproxy.inspect.diff.compare import compare
from kproxy.inspect.diff.repair import repair
from kproxy.inspect.diff.report import DiffReport
from kproxy.inspect.node_mode import NodeMode, find_mode
from kproxy.inspect.output import InspectionError


def run(where: Where, *, mode: str = "", mend: bool = False) -> DiffReport:
    """Compare this node's kernel with what it should hold.

    Args:
        where: the desired state is read from
        mode: of the proxy; empty: as it is configured, or as the kernel shows
        mend: make the kernel as it should be, if it is ours to mend

    Raises:
        InspectionError: it cannot be compared, or may not be mended
    """
    found = find_mode(where, mode, detecting=mend)
    desired = read_desired(where, found.settings)
    if desired is None:
        raise InspectionError("what should be is not known: give --kubeconfig FILE or --manifests FOLDER")
    report = compare(desired, found.mode)
    if mend and report.differences:
        report = _mended(report, desired, found)
    return msgspec.structs.replace(report, notes=(*found.notes, *report.notes))


def _mended(report: DiffReport, desired: DesiredState, found: NodeMode) -> DiffReport:
    if found.detection and found.detection.owner is Owner.KUBE_PROXY:
        raise InspectionError("nothing was repaired: kube-proxy, not kproxy, runs this node; restart it instead")
    repair(desired)
    after = compare(desired, found.mode)
    return msgspec.structs.replace(after, repaired=report.differences)
