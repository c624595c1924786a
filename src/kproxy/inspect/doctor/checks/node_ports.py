"""Can NodePorts be reached?"""

from collections.abc import Iterator

from kproxy.inspect.doctor.checks.firewall import NODE_PORTS
from kproxy.inspect.doctor.finding import Finding, Severity, kubectl_patch, lasting_sysctl
from kproxy.inspect.doctor.sockets import holder, waiting_sockets
from kproxy.inspect.doctor.supervision import configuration_advice
from kproxy.inspect.doctor.view import NodeView
from kproxy.services.addresses import format_address
from kproxy.services.model import ServicePort

_LOCAL_RANGE, _RESERVED = "net/ipv4/ip_local_port_range", "net/ipv4/ip_local_reserved_ports"
_PROXIES = ("kube-proxy", "kproxy")


def _with_node_ports(view: NodeView) -> list[ServicePort]:
    return [port for port in view.ports() if port.node_port]


def taken(view: NodeView) -> Iterator[Finding]:
    """A program of the node waits on the same port, and never hears of anybody."""
    ports = {(str(port.protocol), port.node_port): port for port in _with_node_ports(view)}
    waiting = set(waiting_sockets())
    avoided = {number for _, number in ports} | {socket.port for socket in waiting}
    for socket in sorted(waiting):
        port = ports.get((socket.protocol, socket.port))
        if port is None:
            continue
        program = holder(socket.inode)
        if program.startswith(_PROXIES):
            continue
        yield Finding(
            check="node-port-taken",
            severity=Severity.WARNING,
            subject=f"Service {port} nodePort {port.node_port}/{port.protocol}",
            service=str(port.service),
            evidence=(f"{program or 'a process'} listens on port {socket.port}/{socket.protocol} of this node",),
            cause="The rules take the packets before the program does: its clients reach the Service instead.",
            fixes=tuple(_move(view, port, avoided)),
            advice="The Service's clients must then use the new port; or have the program listen on another one.",
        )


def _move(view: NodeView, port: ServicePort, avoided: set[int]) -> Iterator[str]:
    """The command that gives a Service's port another NodePort."""
    service = view.desired.services.get(port.service) if view.desired else None
    free = next((number for number in range(NODE_PORTS[0], NODE_PORTS[1] + 1) if number not in avoided), None)
    for index, each in enumerate(service.spec.ports or () if service else ()):
        if free is not None and (each.node_port, each.protocol) == (port.node_port, port.protocol):
            change: dict[str, object] = {"op": "replace", "path": f"/spec/ports/{index}/nodePort", "value": free}
            yield kubectl_patch("service", port.service.namespace, port.service.name, [change])
            avoided.add(free)


def local_range(view: NodeView) -> Iterator[Finding]:
    """The node takes NodePorts for its own outgoing connections."""
    if not _with_node_ports(view):
        return
    words = (view.sysctl(_LOCAL_RANGE) or "").split()
    if len(words) != 2:
        return
    first, last = map(int, words)
    low, high = max(first, NODE_PORTS[0]), min(last, NODE_PORTS[1])
    reserved = view.sysctl(_RESERVED) or ""
    if low > high or _reserves(reserved, low, high):
        return
    wanted = f"{low}-{high}"
    yield Finding(
        check="local-port-range",
        severity=Severity.WARNING,
        subject=f"node {view.node}",
        evidence=(
            f"{_LOCAL_RANGE} is {first} {last}",
            f"NodePorts are in {NODE_PORTS[0]}-{NODE_PORTS[1]}; none are reserved",
        ),
        cause="An outgoing connection from a port that is a NodePort can get its answers translated, and lost.",
        fixes=lasting_sysctl(_RESERVED, f"{reserved},{wanted}" if reserved else wanted),
    )


def _reserves(text: str, low: int, high: int) -> bool:
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        if int(first) <= low and high <= int(last or first):
            return True
    return False


def addresses(view: NodeView) -> Iterator[Finding]:
    """NodePorts answer on none of the node's addresses, or not on those that clients are told."""
    desired = view.desired
    if desired is None or not _with_node_ports(view):
        return
    chosen = desired.node_port_addresses
    setting = ", ".join(view.configuration.node_port_addresses or ()) or "empty"
    told = [
        entry.address
        for entry in (desired.node.status.addresses or () if desired.node and desired.node.status else ())
        if entry.type in ("InternalIP", "ExternalIP")
    ]
    shown = {format_address(address) for address in chosen}
    lacking = [address for address in told if address not in shown]
    if chosen and not lacking:
        return
    yield Finding(
        check="node-port-addresses",
        severity=Severity.CRITICAL if not chosen else Severity.WARNING,
        subject=f"node {view.node}",
        evidence=(
            f"nodePortAddresses is {setting}, which selects {', '.join(sorted(shown)) or 'none'} here",
            f"the Node object tells clients {', '.join(told) or 'no address'}",
        ),
        cause="NodePorts are served on the selected addresses only; requests to others are not translated.",
        advice=configuration_advice(view, "nodePortAddresses to CIDRs that have these addresses, or leave it out,"),
    )
