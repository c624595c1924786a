"""Can NodePorts be reached?"""

from collections.abc import Iterator

from kproxy.inspect.doctor.base_chains import base_chains
from kproxy.inspect.doctor.finding import Finding, Severity, shell, sysctl
from kproxy.inspect.doctor.sockets import holder, waiting_sockets
from kproxy.inspect.doctor.view import NodeView
from kproxy.kernel.processes import ProcessError, run_blocking
from kproxy.services.addresses import format_address
from kproxy.services.model import ServicePort

_RANGE = (30_000, 32_767)
"""`--service-node-port-range` of an API server, by default."""
_LOCAL_RANGE, _RESERVED = "net/ipv4/ip_local_port_range", "net/ipv4/ip_local_reserved_ports"
_PROXIES = ("kube-proxy", "kproxy")
_TIMEOUT = 10.0


def _with_node_ports(view: NodeView) -> list[ServicePort]:
    return [port for port in view.ports() if port.node_port]


def taken(view: NodeView) -> Iterator[Finding]:
    """A program of the node waits on the same port, and never hears of anybody."""
    ports = {(str(port.protocol), port.node_port): port for port in _with_node_ports(view)}
    for socket in set(waiting_sockets()):
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
            evidence=(f"{program or 'a process'} listens on port {socket.port}/{socket.protocol} of this node",),
            cause="The rules take the packets before the program does: its clients reach the Service instead.",
            fixes=(_stop(program),) if program else (),
        )


def _stop(program: str) -> str:
    return shell("kill", program.rpartition("(process ")[2].rstrip(")"))


def local_range(view: NodeView) -> Iterator[Finding]:
    """The node takes NodePorts for its own outgoing connections."""
    if not _with_node_ports(view):
        return
    words = (view.sysctl(_LOCAL_RANGE) or "").split()
    if len(words) != 2:
        return
    first, last = map(int, words)
    low, high = max(first, _RANGE[0]), min(last, _RANGE[1])
    reserved = view.sysctl(_RESERVED) or ""
    if low > high or _reserves(reserved, low, high):
        return
    wanted = f"{low}-{high}"
    yield Finding(
        check="local-port-range",
        severity=Severity.WARNING,
        subject=f"node {view.node}",
        evidence=(f"{_LOCAL_RANGE} is {first} {last}", f"NodePorts are in {_RANGE[0]}-{_RANGE[1]}; none are reserved"),
        cause="An outgoing connection from a port that is a NodePort can get its answers translated, and lost.",
        fixes=(sysctl(_RESERVED, f"{reserved},{wanted}" if reserved else wanted),),
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
    configured = ", ".join(view.configuration.node_port_addresses or ()) or "empty"
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
            f"nodePortAddresses is {configured}, which selects {', '.join(sorted(shown)) or 'none'} here",
            f"the Node object tells clients {', '.join(told) or 'no address'}",
        ),
        cause="NodePorts are served on the selected addresses only; requests to others are not translated.",
        fixes=(
            shell("kubectl", "-n", "kube-system", "edit", "configmap", "kube-proxy"),
            shell("kubectl", "-n", "kube-system", "rollout", "restart", "daemonset/kube-proxy"),
        ),
    )


def firewall(view: NodeView) -> Iterator[Finding]:
    """A firewall drops packets to the node before the rules translate them, or when IPVS takes them."""
    ports = _with_node_ports(view)
    if not ports:
        return
    hooks = ("prerouting", "input") if view.mode in ("ipvs", "userspace") else ("prerouting",)
    first, last = _RANGE
    for chain in base_chains():
        if chain.hook not in hooks or chain.type != "filter" or not chain.drops:
            continue
        if _accepts(chain.family, chain.table, chain.name):
            continue
        yield Finding(
            check="node-port-firewall",
            severity=Severity.CRITICAL,
            subject=f"chain {chain}",
            evidence=(f"its policy is drop, and no rule of it accepts ports {first}-{last}", f"{len(ports)} NodePorts"),
            cause="What clients send to NodePorts is dropped before it is balanced.",
            fixes=tuple(
                shell(
                    *("nft", "insert", "rule", chain.family, chain.table, chain.name),
                    *(protocol, "dport", f"{first}-{last}", "accept"),
                )
                for protocol in sorted({port.protocol.lower() for port in ports})
            ),
        )


def _accepts(family: str, table: str, name: str) -> bool:
    """Whether a chain accepts NodePorts, read off the rules' text as nft prints it."""
    try:
        text = run_blocking(["nft", "list", "chain", family, table, name], time_limit=_TIMEOUT).decode(errors="replace")
    except ProcessError:
        return False
    for line in map(str.strip, text.splitlines()):
        words = line.split(" comment ")[0]
        if words == "accept" or (words.endswith(" accept") and f"dport {_RANGE[0]}-{_RANGE[1]}" in words):
            return True
    return False
