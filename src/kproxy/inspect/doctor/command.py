"""`kproxy doctor` from its options to its exit status."""

import asyncio
from pathlib import Path
from typing import NamedTuple

import msgspec

from kproxy.inspect.desired import Where
from kproxy.inspect.doctor.bundle import write_bundle
from kproxy.inspect.doctor.examination import Check, examine
from kproxy.inspect.doctor.redaction import secrets_of
from kproxy.inspect.doctor.show import show_examination, show_walk
from kproxy.inspect.doctor.view import NodeView, look
from kproxy.inspect.doctor.walk import walk
from kproxy.inspect.output import ExitStatus, Format, InspectionError, complain, emit
from kproxy.services.model import ServiceName


class Request(NamedTuple):
    """What the command line says."""

    where: Where
    checks: tuple[Check, ...]
    service: str
    """Empty: examine the node."""
    bundle: Path | None
    domain: str
    timeout: float
    """Seconds that a check may take."""
    format: Format


async def run(request: Request) -> ExitStatus:
    """Do it, and print what came of it.

    Raises:
        InspectionError: what the options name cannot be read or written
    """
    view = await look(request.where)
    if request.service:
        return await _walk(request, view)
    examination = await examine(view, request.checks, request.timeout)
    emit(examination, request.format, lambda console: show_examination(examination, console))
    if request.bundle is not None:
        named = request.where.kubeconfig or _kubeconfig(view)
        secrets = await asyncio.to_thread(secrets_of, named)
        files = await write_bundle(request.bundle, view, examination, secrets)
        complain(f"{len(files)} files in {request.bundle}")
    if not examination.fine:
        return ExitStatus.FOUND
    return ExitStatus.FAILED if len(examination.unanswered) == len(request.checks) else ExitStatus.FINE


def _kubeconfig(view: NodeView) -> Path | None:
    path = view.configuration.client_connection.kubeconfig
    return Path(path) if path else None


async def _walk(request: Request, view: NodeView) -> ExitStatus:
    namespace, slash, name = request.service.rpartition("/")
    if not name or "/" in namespace:
        raise InspectionError(f"{request.service}: a Service is named NAMESPACE/NAME, or NAME in namespace default")
    if view.desired is None:
        reasons = "; ".join(view.problems) or "give --kubeconfig or --manifests"
        raise InspectionError(f"no objects to look at: {reasons}")
    wanted = ServiceName(namespace if slash else "default", name)
    asked = [check for check in request.checks if check.needs_objects]
    walked, examination = await asyncio.gather(
        asyncio.to_thread(walk, view, wanted, domain=request.domain), examine(view, asked, request.timeout)
    )
    about = tuple(finding for finding in examination.findings if finding.service == str(wanted))
    found = msgspec.structs.replace(walked, findings=about)
    emit(found, request.format, lambda console: show_walk(found, console))
    return ExitStatus.FINE if found.fine else ExitStatus.FOUND
