"""A pod's address, asked of the API server."""

from typing import Final

import msgspec

from kproxy.inspect.output import InspectionError
from kproxy.inspect.trace.request import ObjectName
from kproxy.services.addresses import Address, Family, parse_address
from kproxy.sources.client import ApiClient
from kproxy.sources.connection import Connection
from kproxy.sources.errors import SourceError

_IDLE_SECONDS: Final = 30.0


class _PodIP(msgspec.Struct):
    ip: str = ""


class _PodStatus(msgspec.Struct, rename="camel"):
    pod_ip: str = msgspec.field(default="", name="podIP")
    pod_ips: list[_PodIP] | None = msgspec.field(default=None, name="podIPs")
    host_ip: str = msgspec.field(default="", name="hostIP")


class _Pod(msgspec.Struct):
    status: _PodStatus = msgspec.field(default_factory=_PodStatus)


async def pod_address(connection: Connection | None, name: ObjectName, family: Family) -> Address:
    """The address of a pod in a family.

    Raises:
        InspectionError: the API server is not known, refuses, or knows no address
    """
    if connection is None:
        raise InspectionError(f"{name}: pods can be looked up only with an API server; give the pod's address")
    body = bytearray()
    try:
        async with (
            ApiClient(connection, qps=0) as client,
            client.get(f"/api/v1/namespaces/{name.namespace}/pods/{name.name}", {}) as response,
        ):
            while chunk := await response.read(_IDLE_SECONDS):
                body += chunk
        status = msgspec.json.decode(body, type=_Pod).status
    except (SourceError, msgspec.DecodeError) as error:
        raise InspectionError(f"pod {name}: {error}") from error
    for text in (status.pod_ip, *(entry.ip for entry in status.pod_ips or ())):
        address = parse_address(text)
        if address is not None and Family.of(address) is family:
            return address
    raise InspectionError(f"pod {name} has no {family.value} address")
