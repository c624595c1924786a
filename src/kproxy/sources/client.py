"""Requests to an API server over one HTTP session."""

import asyncio
import logging
import platform
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

import aiohttp
from multidict import CIMultiDictProxy

from kproxy import __version__
from kproxy.sources.clock import Clock, SystemClock
from kproxy.sources.connection import Connection
from kproxy.sources.credentials import Credential
from kproxy.sources.errors import UNAUTHORIZED, ApiError, IdleTimeoutError, TransportError
from kproxy.sources.rate_limit import TokenBucket
from kproxy.sources.tls import TlsContexts
from kproxy.sources.wire import api_error

log = logging.getLogger(__name__)

RequestHook = Callable[[str, str, str], None]

_GO_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
_MACHINE: Final = platform.machine()
USER_AGENT: Final = f"kproxy/{__version__} (linux/{_GO_ARCHITECTURES.get(_MACHINE, _MACHINE)})"

_CONNECT_TIMEOUT: Final = 15.0
_RESPONSE_TIMEOUT: Final = 60.0
_READ_BUFFER: Final = 256 * 1024
_ERROR_BODY: Final = 64 * 1024
# A peer that vanished without a word is noticed after about a minute, in the middle of a watch too.
_KEEPALIVE: Final = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 60_000),
)


class ResponseBody:
    """The body of a successful answer, as it arrives."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def read(self, idle_timeout: float) -> bytes:
        """Whatever has arrived, or waits for some; b"" at the end.

        Raises IdleTimeoutError after `idle_timeout` seconds without a byte (reading may go on then), and
        TransportError when the connection breaks.
        """
        try:
            async with asyncio.timeout(idle_timeout):
                return await self._response.content.readany()
        except TimeoutError as error:
            raise IdleTimeoutError(f"nothing received for {idle_timeout:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise TransportError(f"connection broke: {_reason(error)}") from error


class ApiClient:
    """An asynchronous context manager that owns the HTTP session.

    `qps` and `burst` limit requests other than watches, as `clientConnection` does. Objects go both ways as JSON:
    all that comes of another `content_type` is a line in the log. `on_request` is called with (code, method, host)
    for each answer, the code being "<error>" when there was none. `response_timeout` is how many seconds a server
    may take to begin its answer, or for a short one, to end it.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        qps: float = 5.0,
        burst: int = 10,
        content_type: str = "application/json",
        user_agent: str = USER_AGENT,
        on_request: RequestHook | None = None,
        clock: Clock | None = None,
        response_timeout: float = _RESPONSE_TIMEOUT,
    ) -> None:
        self._connection = connection
        self._credentials = connection.credentials
        self._tls = TlsContexts(connection.trust) if connection.server.startswith("https:") else None
        self._limit = TokenBucket(clock or SystemClock(), qps, burst)
        self._content_type = content_type
        self._user_agent = user_agent
        self._on_request = on_request
        self._response_timeout = response_timeout
        self._host = urlsplit(connection.server).netloc
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        if "json" not in self._content_type:
            log.info("Speaking JSON with the API server, not %s", self._content_type)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(socket_factory=_keepalive_socket),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT),
            headers={"User-Agent": self._user_agent, "Accept": "application/json"},
            read_bufsize=_READ_BUFFER,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    def set_rate(self, qps: float, burst: int) -> None:
        """Limit the requests from now on."""
        self._limit.set_rate(qps, burst)

    @asynccontextmanager
    async def get(self, path: str, query: Mapping[str, str]) -> AsyncIterator[ResponseBody]:
        """GET within the rate limit. Raises ApiError, TransportError or CredentialError."""
        await self._limit.acquire()
        encoding = "gzip" if self._connection.compression else "identity"
        async with self.request("GET", path, query, {"Accept-Encoding": encoding}) as response:
            yield ResponseBody(response)

    @asynccontextmanager
    async def watch(self, path: str, query: Mapping[str, str]) -> AsyncIterator[ResponseBody]:
        """GET outside the rate limit, uncompressed lest something on the way gather events before sending them."""
        async with self.request("GET", path, query, {"Accept-Encoding": "identity"}) as response:
            yield ResponseBody(response)

    async def post(self, path: str, payload: bytes) -> bytes:
        """POST a JSON object within the rate limit, and give the answer's body. Raises as `get` does."""
        await self._limit.acquire()
        async with self.request("POST", path, {}, {"Content-Type": "application/json"}, payload) as response:
            try:
                async with asyncio.timeout(self._response_timeout):
                    return await response.read()
            except (aiohttp.ClientError, OSError) as error:
                problem = _reason(error) or f"not complete within {self._response_timeout:g} s"
                raise TransportError(f"answer {response.status} broke off: {problem}") from error

    @asynccontextmanager
    async def request(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], payload: bytes | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send any request, outside of the rate limit, and give a successful answer. Raises as `get` does."""
        credential = await self._credentials.current()
        response = await self._send(method, path, query, headers, payload, credential)
        try:
            if response.status == UNAUTHORIZED:
                self._credentials.refuse(credential)
                fresh = await self._credentials.current()
                if fresh != credential:
                    response.close()
                    response = await self._send(method, path, query, headers, payload, fresh)
            if not 200 <= response.status < 300:
                raise await self._error(response)
            yield response
        finally:
            # Gives a connection whose body was read to the end back to the pool, and closes any other.
            response.close()

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        payload: bytes | None,
        credential: Credential,
    ) -> aiohttp.ClientResponse:
        if self._session is None:
            raise RuntimeError("ApiClient is used outside its context")
        if credential.authorization is not None:
            headers = {**headers, "Authorization": credential.authorization}
        tls: ssl.SSLContext | bool = self._tls.context(credential.certificate) if self._tls else True
        try:
            async with asyncio.timeout(self._response_timeout):
                response = await self._session.request(
                    method,
                    self._connection.server + path,
                    params=query,
                    headers=headers,
                    data=payload,
                    ssl=tls,
                    server_hostname=self._connection.server_name,
                    proxy=self._connection.proxy,
                    allow_redirects=False,
                )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            self._count("<error>", method)
            problem = _reason(error) or f"no answer within {self._response_timeout:g} s"
            raise TransportError(f"{method} {self._connection.server}{path}: {problem}") from error
        self._count(str(response.status), method)
        return response

    async def _error(self, response: aiohttp.ClientResponse) -> ApiError | TransportError:
        body = b""
        try:
            async with asyncio.timeout(self._response_timeout):
                body = await response.content.read(_ERROR_BODY)
        except (aiohttp.ClientError, OSError) as error:
            problem = _reason(error) or f"not complete within {self._response_timeout:g} s"
            return TransportError(f"answer {response.status} broke off: {problem}")
        return api_error(body, code=response.status, retry_after=_retry_after(response.headers))

    def _count(self, code: str, method: str) -> None:
        if self._on_request is not None:
            self._on_request(code, method, self._host)


def _keepalive_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    sock = socket.socket(*address[:3])
    for level, option, value in _KEEPALIVE:
        sock.setsockopt(level, option, value)
    return sock


def _retry_after(headers: CIMultiDictProxy[str]) -> float | None:
    """Seconds of a Retry-After header (RFC 9110); the API server never sends its form with a date."""
    value = headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() else None


def _reason(error: BaseException) -> str:
    return str(error) or ("" if isinstance(error, TimeoutError) else type(error).__name__)
