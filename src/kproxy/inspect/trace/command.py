"""Answers `kproxy trace` on this node."""

from pathlib import Path

from kproxy.inspect.desired import NodeSettings, Where, read_desired
from kproxy.inspect.node_mode import find_mode
from kproxy.inspect.output import InspectionError
from kproxy.inspect.rulesets.kernel_routes import KernelRoutes
from kproxy.inspect.rulesets.snapshot import read_snapshot
from kproxy.inspect.trace.live.probe import probe
from kproxy.inspect.trace.report import Trace
from kproxy.inspect.trace.tracing import Facts, Question, Views, make_packet, with_problems
from kproxy.sources.connection import Connection
from kproxy.sources.errors import ConfigurationError
from kproxy.sources.kubeconfig import load_connection


def run(question: Question, where: Where, *, mode: str = "", live: bool = False) -> Trace:
    """Answer with everything that can be read here.

    Args:
        question: about which packet
        where: the desired state is read from
        mode: the proxy's mode; empty: as configured
        live: also send a probe and have the kernel trace it

    Raises:
        InspectionError: the question cannot be answered
    """
    found = find_mode(where, mode)
    settings = found.settings
    desired = read_desired(where, settings)
    try:
        routes = KernelRoutes()
    except OSError as error:
        raise InspectionError(f"the kernel does not tell its routes: {error}") from error
    try:
        facts = Facts(desired, settings, found.mode, routes, None, _connection(where, settings))
        packet = make_packet(question, facts)
        facts = facts._replace(snapshot=read_snapshot())
        answer = Views(facts).trace(packet, probe(packet, facts.snapshot) if live else None)
        return with_problems(answer, found.notes) if desired else answer
    finally:
        routes.close()


def _connection(where: Where, settings: NodeSettings) -> Connection | None:
    named = where.kubeconfig
    if named is None and (path := settings.configuration.client_connection.kubeconfig):
        named = Path(path)
    try:
        return load_connection(named)
    except ConfigurationError:
        return None
