"""Does the kernel hold the rules of one Service port? Asked of its own lists, in each mode, of either proxy."""

import errno
import os
import re
from typing import NamedTuple

from kproxy.backends.interface import BackendError
from kproxy.backends.iptables.tool import Tool
from kproxy.backends.iptables.variants import every_tool
from kproxy.backends.nftables.ruleset import TABLE
from kproxy.backends.nftables.statements import IP
from kproxy.kernel.conntrack.protocol import PROTOCOL_NUMBER
from kproxy.kernel.ipvs.protocol import ServerKey
from kproxy.kernel.ipvs.socket import IpvsSocket
from kproxy.kernel.processes import ProcessError, run_blocking
from kproxy.services.addresses import Family, format_address
from kproxy.services.model import ServicePort, Verdict

_TIMEOUT = 20.0


class Held(NamedTuple):
    present: bool | None
    """None: it cannot be told."""
    detail: str


def rules_hold(mode: str, port: ServicePort) -> Held:
    """Look for a Service port's cluster IP, and its endpoints."""
    try:
        match mode:
            case "nftables":
                return _nftables(port)
            case "iptables":
                return _iptables(port)
            case "ipvs":
                return _ipvs(port)
            case _:
                return Held(None, f"{mode} mode has them in its process, not in the kernel")
    except (BackendError, OSError) as error:
        return Held(None, f"{mode} mode's cannot be read here: {error}")


def _nftables(port: ServicePort) -> Held:
    """Both proxies' maps have the destination in their keys; endpoints are in ours' data, or stock chains' rules."""
    address, proto = format_address(port.cluster_ip), port.protocol.lower()
    try:
        text = run_blocking(["nft", "-n", "list", "table", IP[port.family], TABLE], time_limit=_TIMEOUT).decode(
            errors="replace"
        )
    except ProcessError as error:
        if os.strerror(errno.ENOENT) not in error.stderr:
            raise
        return Held(False, f"there is no table {IP[port.family]} {TABLE}")
    destination = f"{address} . {proto} . {port.port}"
    numbered = f"{address} . {PROTOCOL_NUMBER[port.protocol]} . {port.port}"
    if not _has(text, destination) and not _has(text, numbered):
        return Held(False, f"table {IP[port.family]} {TABLE} has no element {destination}")
    if port.internal_verdict is not Verdict.BALANCE:
        return Held(True, f"table {IP[port.family]} {TABLE} rejects or drops {destination}, as it should")
    addresses = [format_address(endpoint.address) for endpoint in port.internal_endpoints]
    missing = [address for address in addresses if not _has(text, address)]
    return _endpoints(missing, len(port.internal_endpoints), f"table {IP[port.family]} {TABLE}")


def _iptables(port: ServicePort) -> Held:
    address = format_address(port.cluster_ip)
    bits = len(port.cluster_ip) * 8
    wanted = f"-d {address}/{bits} -p {port.protocol.lower()} ".encode()
    number = f"--dport {port.port} ".encode()
    for tool in (tool for tool in every_tool() if tool.family is port.family):
        held = _in_tool(tool, wanted, number, port)
        if held is not None:
            return held
    return Held(False, f"no rule of KUBE-SERVICES is for {address} port {port.port}")


def _in_tool(tool: Tool, wanted: bytes, number: bytes, port: ServicePort) -> Held | None:
    saved = tool.save_blocking()
    for table in saved.tables.values():
        if any(wanted in rule and number in rule for rule in table.get(b"KUBE-SERVICES", ())):
            break
    else:
        return None
    text = b"\n".join(rule for rules in saved.table("nat").values() for rule in rules).decode(errors="replace")
    missing = []
    for endpoint in port.internal_endpoints:
        host = format_address(endpoint.address)
        shown = f"[{host}]:{endpoint.port}" if port.family is Family.IPV6 else f"{host}:{endpoint.port}"
        if not _has(text, f"--to-destination {shown}"):
            missing.append(shown)
    return _endpoints(missing, len(port.internal_endpoints), str(tool))


def _has(text: str, words: str) -> bool:
    """Whether words are there, and not just the beginning of longer addresses or ports."""
    # A port may follow an IPv4 address; behind an IPv6 address, a colon would be part of it.
    longer = r"[\w.:]" if ":" in words else r"[\w.]"
    return re.search(rf"(?<![\w.:]){re.escape(words)}(?!{longer})", text) is not None


def _ipvs(port: ServicePort) -> Held:
    key = ServerKey(PROTOCOL_NUMBER[port.protocol], port.cluster_ip, port.port)
    ipvs = IpvsSocket()
    try:
        if not any(found == key for found, _ in ipvs.servers()):
            return Held(False, f"IPVS has no {key}")
        backends = {server.backend for server in ipvs.real_servers(key) if server.weight}
    finally:
        ipvs.close()
    missing = [
        format_address(endpoint.address)
        for endpoint in port.internal_endpoints
        if endpoint.address + endpoint.port.to_bytes(2, "big") not in backends
    ]
    return _endpoints(missing, len(port.internal_endpoints), "IPVS")


def _endpoints(missing: list[str], total: int, where: str) -> Held:
    if missing:
        return Held(False, f"{where} lacks {len(missing)} of {total} endpoints: {', '.join(missing[:5])}")
    return Held(True, f"{where} has the address and all {total} endpoints")
