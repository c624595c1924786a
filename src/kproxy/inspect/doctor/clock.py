"""The API server's clock, from the Date header of an answer (RFC 9110, section 6.6.1)."""

import asyncio
import ssl
import time
from email.utils import parsedate_to_datetime
from typing import NamedTuple

import aiohttp

from kproxy.inspect.output import InspectionError
from kproxy.sources.connection import Connection
from kproxy.sources.errors import SourceError
from kproxy.sources.tls import TlsContexts

_TIMEOUT = 5.0
_PATH = "/version"
"""Served to everybody; whatever the status of the answer, it carries the date."""
_DATE_GRANULARITY = 1.0


class Clock(NamedTuple):
    """How far this node's clock is from a server's."""

    ahead: float
    """Seconds that the server's clock is ahead of ours; negative: behind."""
    uncertainty: float
    """Seconds that this may be off, either way: the time of the request, and the header's whole seconds."""
    server: str


async def read_clock(connection: Connection | None) -> Clock | None:
    """Ask an API server, without credentials; None when there is none.

    Raises:
        InspectionError: it does not answer, or not with a date
    """
    if connection is None:
        return None
    try:
        tls: ssl.SSLContext | bool = (
            TlsContexts(connection.trust).context(None) if connection.server.startswith("https:") else True
        )
        sent = time.time()
        async with (
            asyncio.timeout(_TIMEOUT),
            aiohttp.ClientSession() as session,
            session.get(
                connection.server + _PATH,
                ssl=tls,
                server_hostname=connection.server_name,
                proxy=connection.proxy,
                allow_redirects=False,
            ) as response,
        ):
            received = time.time()
            date = parsedate_to_datetime(response.headers.get("Date", "")).timestamp()
    except (aiohttp.ClientError, SourceError, OSError, ValueError, TimeoutError) as error:
        reason = str(error) or f"no answer within {_TIMEOUT:g} s"
        raise InspectionError(f"the clock of {connection.server} cannot be read: {reason}") from error
    middle = date + _DATE_GRANULARITY / 2
    return Clock(middle - (sent + received) / 2, (received - sent + _DATE_GRANULARITY) / 2, connection.server)
