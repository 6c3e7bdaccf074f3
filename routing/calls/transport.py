"""The transports that carry paid requests: watched, so that an attempt knows what truly went over the wire.

They are given to litellm in clients, and replace nothing. A watched transport serves any number of attempts at once, in
threads and in event loops: it looks for the `Wire` that is current in its context, holds the request that asks for an
answer to that wire's rules before it leaves, and has it read what comes back: a reply of a shape that the wire knows is
not given to litellm at all (`TakenError`). Other traffic passes, held to a size.

No redirect is followed, by whatever client: keys and prompts go where the profile sends them and nowhere else.

Connections are pooled: one pool for each way out (plain, TLS, each proxy), and in asyncio one set of pools for each
loop. A pool is made when the first request needs it, before anything of that request is sent. What the environment
says of proxies and certificates is read here and nowhere else; servers on this machine are reached directly, whatever
it says.

Imports httpx: import it late.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import ssl
import threading
import urllib.request
from collections.abc import AsyncGenerator
from functools import lru_cache
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

import httpx
import yarl

from scrimp.routing.text.sanitize import encodable

from .admission import asked_by
from .inflate import CompressedError, Inflate
from .wire import MAX_REPLY_BYTES, TakenError, Wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from aiohttp import ClientResponse
    from litellm.llms.custom_httpx.aiohttp_transport import LiteLLMAiohttpTransport

    from .learnt import LearntRequest

__all__ = ["MOST_BYTES", "TLS_VARIABLES", "AsyncWatched", "NoWayOutError", "Proxy", "Watched", "proxy_for"]

TLS_VARIABLES = (
    "SSLKEYLOGFILE", "SSL_CERT_FILE", "SSL_CERTIFICATE", "SSL_VERIFY", "SSL_SECURITY_LEVEL", "SSL_ECDH_CURVE",
)  # fmt: skip
MOST_BYTES = "scrimp_most_bytes"
"""The extension of a request that no wire watches by which its reply may be longer than an answer."""

_T = TypeVar("_T")
_Pool = TypeVar("_Pool", httpx.HTTPTransport, httpx.AsyncHTTPTransport)
_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=30.0)


class NoWayOutError(Exception):
    """No connection can even be attempted: the message names what in the environment is wrong."""


class Proxy(NamedTuple):
    """A proxy, and the name of the environment variable that asks for it."""

    url: str
    variable: str


class _Way(NamedTuple):
    """How requests leave: over TLS or not, and through which proxy."""

    secure: bool
    proxy: Proxy | None


def proxy_for(url: httpx.URL) -> Proxy | None:
    """Return the proxy that the environment asks for; None for a server on this machine."""
    host = url.host.strip("[]").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return None
    address = None
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(host)
    if address is not None and address.is_loopback:
        return None
    proxies = urllib.request.getproxies()
    scheme = url.scheme if url.scheme in proxies else "all"
    proxy = proxies.get(scheme)
    if not proxy or (_is_excepted(address, proxies.get("no", "")) if address else urllib.request.proxy_bypass(host)):
        return None
    names = (f"{scheme}_proxy", f"{scheme}_proxy".upper())
    variable = next((name for name in names if os.environ.get(name)), "the system's settings")
    return Proxy(proxy if "://" in proxy else f"http://{proxy}", variable)


def _is_excepted(address: ipaddress.IPv4Address | ipaddress.IPv6Address, excepted: str) -> bool:
    """Return whether NO_PROXY names an address, or a network that it is in."""
    for entry in excepted.split(","):
        if entry.strip() == "*":
            return True
        with contextlib.suppress(ValueError):
            if address in ipaddress.ip_network(entry.strip().strip("[]"), strict=False):
                return True
    return False


def _tls() -> ssl.SSLContext | bool:
    """Return the TLS settings that litellm takes from the environment; False to check no certificate.

    Raises
    ------
    NoWayOutError
        If the environment names a file or a value that cannot be used.
    """
    from litellm.llms.custom_httpx.http_handler import get_ssl_configuration

    try:
        settings = get_ssl_configuration()
        if isinstance(settings, ssl.SSLContext):
            if os.environ.get("SSLKEYLOGFILE"):
                settings.keylog_filename = os.environ["SSLKEYLOGFILE"]
            if os.environ.get("SSL_CERTIFICATE"):
                settings.load_cert_chain(os.environ["SSL_CERTIFICATE"])
    except (OSError, ValueError) as error:  # OSError is ssl.SSLError too
        asked = [name for name in TLS_VARIABLES if os.environ.get(name)]
        because = f"; see {' and '.join(asked)}" if asked else ""
        raise NoWayOutError(f"TLS cannot be set up: {getattr(error, 'strerror', None) or error}{because}") from None
    return settings if isinstance(settings, ssl.SSLContext) else bool(settings)


def _new_pool(kind: type[_Pool], way: _Way) -> _Pool:
    """Return a new pool of connections.

    Raises
    ------
    NoWayOutError
        If the way cannot be taken.
    """
    proxy = way.proxy
    secure_proxy = proxy is not None and proxy.url.startswith("https:")
    tls = _tls() if way.secure or secure_proxy else False
    if proxy is None:
        return kind(verify=tls, limits=_LIMITS, trust_env=False)
    try:
        through = httpx.Proxy(proxy.url, ssl_context=tls if secure_proxy and isinstance(tls, ssl.SSLContext) else None)
        return kind(verify=tls, limits=_LIMITS, trust_env=False, proxy=through)
    except ImportError:
        why = "a SOCKS proxy needs the Python package socksio"
    except (ValueError, httpx.InvalidURL):
        why = "it is no proxy's URL (http://, https://, socks5:// and socks5h:// are)"
    raise NoWayOutError(f"the proxy in {proxy.variable} cannot be used: {why}")


class _Ways(Generic[_T]):
    """Pools of connections by their way out, each made once."""

    def __init__(self, make: Callable[[_Way], _T]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._ways: dict[tuple[str, str], _Way] = {}
        self.pools: dict[_Way, _T] = {}

    def pool(self, url: httpx.URL) -> _T:
        """Return the pool for a URL.

        Raises
        ------
        NoWayOutError
            If there can be none.
        """
        key = (url.scheme, url.host)
        with self._lock:
            way = self._ways.get(key)
            if way is None:
                way = self._ways[key] = _Way(url.scheme == "https", proxy_for(url))
            pool = self.pools.get(way)
            if pool is None:
                pool = self.pools[way] = self._make(way)
            return pool


class Watched(httpx.BaseTransport):
    """Carries requests, and lets the wire that is current watch the paid one.

    Closing it does nothing: clients close what they hold, and the pools are shared.
    """

    def __init__(self) -> None:
        self._ways = _Ways(lambda way: _new_pool(httpx.HTTPTransport, way))

    def check(self, url: str) -> None:
        """Make sure that requests to a URL can leave, without sending any.

        Raises
        ------
        NoWayOutError
            If they cannot.
        """
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise NoWayOutError(f"api_base is no URL: {error}") from None
        self._ways.pool(parsed)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; the wire that is current may refuse it, and may take the reply."""
        wire = Wire.now()
        pool = _pool(self._ways, request.url, wire)
        request.headers["Accept-Encoding"] = "identity"
        paid = None if wire is None else wire.admit(request)
        if wire is None or paid is None:
            response = _staying(pool.handle_request(request), wire)
            response.stream = _Bounded(response)
            return response
        try:
            response = pool.handle_request(paid)
        except BaseException as error:
            wire.failed(error)
            raise
        response = _staying(response, wire)
        wire.begin(response.status_code, response.headers)
        wire.guard(response)
        stream = response.stream
        assert isinstance(stream, httpx.SyncByteStream)  # noqa: S101 - what transports return
        wire.when_closed(stream.close)
        parts = _parts(stream, wire)
        while wire.undecided and next(parts, None) is not None:
            pass
        if wire.decide():
            wire.incoming = parts
            raise TakenError
        response.stream = _Rest(parts, wire)
        response.headers.pop("content-encoding", None)
        return response


class AsyncWatched(httpx.AsyncBaseTransport):
    """As `Watched`, without blocking; for any number of event loops, also at once.

    Direct connections are aiohttp's, through litellm's transport: with 64 calls in flight a call takes 3.4 ms of CPU,
    and 6.1 ms over httpx's. Those through a proxy are httpx's.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loops: dict[asyncio.AbstractEventLoop, _Ways[httpx.AsyncBaseTransport]] = {}

    def _here(self) -> _Ways[httpx.AsyncBaseTransport]:
        """Return the running loop's pools."""
        loop = asyncio.get_running_loop()
        ways = self._loops.get(loop)
        if ways is None:
            with self._lock:
                for each in [each for each in self._loops if each.is_closed()]:
                    _abandon(self._loops.pop(each))
                ways = self._loops[loop] = _Ways(_async_pool)
        return ways

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; the wire that is current may refuse it, and may take the reply."""
        wire = Wire.now()
        if wire is not None and wire.held is not None and asked_by(request) is not None:
            response, wire.held = wire.held, None
            return response
        pool = _pool(self._here(), request.url, wire)
        request.headers["Accept-Encoding"] = "identity"
        paid = None if wire is None else wire.admit(request)
        if wire is None or paid is None:
            response = _staying(await pool.handle_async_request(request), wire)
            response.stream = _AsyncBounded(response, request.extensions.get(MOST_BYTES, MAX_REPLY_BYTES))
            return response
        return await self._carry(pool, paid, wire)

    async def post(self, composed: LearntRequest, wire: Wire) -> httpx.Response:
        """Send a request that was composed here; return the reply where the wire does not take it.

        Raises
        ------
        TakenError
            Where it does.
        """
        from litellm.llms.custom_httpx.aiohttp_transport import AiohttpResponseStream, LiteLLMAiohttpTransport

        pool = _pool(self._here(), composed.url, wire)
        wire.admit_composed(composed)
        if not isinstance(pool, LiteLLMAiohttpTransport):
            timeout = {"timeout": wire.limits_s()}
            url, headers = composed.url, composed.headers
            request = httpx.Request("POST", url, headers=headers, content=composed.body, extensions=timeout)
            return await self._carry(pool, request, wire)
        try:
            reply = await _posted(pool, composed, wire.limits_s())
        except BaseException as error:
            wire.failed(error)
            raise
        told = _told(reply.headers)
        _goes_nowhere(told.pop("location", None), wire)
        wire.begin(reply.status, told)
        rest = await _begun(AiohttpResponseStream(reply), wire)
        told.pop("content-encoding", None)
        return httpx.Response(reply.status, headers=told, stream=rest)

    async def _carry(self, pool: httpx.AsyncBaseTransport, paid: httpx.Request, wire: Wire) -> httpx.Response:
        """Send a request that was let out, and have the wire read the reply."""
        try:
            response = await pool.handle_async_request(paid)
        except BaseException as error:
            wire.failed(error)
            raise
        response = _staying(response, wire)
        wire.begin(response.status_code, response.headers)
        assert isinstance(response.stream, httpx.AsyncByteStream)  # noqa: S101 - what async transports return
        response.stream = await _begun(response.stream, wire)
        response.headers.pop("content-encoding", None)
        return response

    async def release(self) -> None:
        """Close the running loop's connections."""
        with self._lock:
            ways = self._loops.pop(asyncio.get_running_loop(), None)
        for pool in () if ways is None else ways.pools.values():
            with contextlib.suppress(Exception):
                await pool.aclose()


def _staying(response: httpx.Response, wire: Wire | None) -> httpx.Response:
    """Take out of a reply where it sends the client: some would go there, with the key."""
    _goes_nowhere(response.headers.pop("location", None), wire)
    return response


def _goes_nowhere(to: str | None, wire: Wire | None) -> None:
    """Have the wire know where a reply sends the client."""
    if to is not None and wire is not None:
        with contextlib.suppress(httpx.InvalidURL):
            url = httpx.URL(to)
            wire.sent_to = url.host + ("" if url.port is None else f":{url.port}")


async def _begun(stream: httpx.AsyncByteStream, wire: Wire) -> _AsyncRest:
    """Have the wire read a reply until it is known who reads it; return what is then for litellm.

    Raises
    ------
    TakenError
        If it is read here.
    """
    wire.when_aclosed(stream.aclose)
    parts = _aparts(stream, wire)
    wire.when_aclosed(parts.aclose)
    try:
        while wire.undecided and await anext(parts, None) is not None:
            pass
    finally:
        wire.decide()
    if wire.ours:
        wire.aincoming = parts
        raise TakenError
    return _AsyncRest(parts, stream, wire)


async def _posted(
    pool: LiteLLMAiohttpTransport, composed: LearntRequest, limits_s: Mapping[str, float]
) -> ClientResponse:
    """Send a request as litellm's transport does, without an httpx request made of it: that takes 0.1 ms."""
    from aiohttp import ClientTimeout
    from litellm.llms.custom_httpx.aiohttp_transport import map_aiohttp_exceptions

    with map_aiohttp_exceptions():
        reply: ClientResponse = await pool.get_valid_client_session().request(
            "POST",
            _address(str(composed.url)),
            headers=composed.headers,
            data=composed.body,
            allow_redirects=False,
            auto_decompress=False,
            timeout=ClientTimeout(
                sock_connect=limits_s["connect"], sock_read=limits_s["read"], connect=limits_s["pool"]
            ),
            # As for the requests that litellm makes: else the two share no connections.
            ssl=True if (verified := pool._ssl_verify) is None else verified,  # noqa: SLF001 - it tells in no other way
        )
    return reply


@lru_cache(maxsize=64)
def _address(url: str) -> yarl.URL:
    return yarl.URL(url, encoded=True)


def _told(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of a reply by their names in lower case, those that came more than once in one."""
    told: dict[str, str] = {}
    for name, value in headers.items():
        key, text = name.lower(), value if value.isascii() else encodable(value)
        told[key] = f"{told[key]}, {text}" if key in told else text
    return told


def _pool(ways: _Ways[_T], url: httpx.URL, wire: Wire | None) -> _T:
    """Return the pool for a request; where there can be none, the wire refuses it."""
    try:
        return ways.pool(url)
    except NoWayOutError as error:
        if wire is None:
            raise httpx.ConnectError(str(error)) from None
        wire.refuse(str(error), "not_sent")


def _async_pool(way: _Way) -> httpx.AsyncBaseTransport:
    """Return a new pool of connections for the running loop."""
    if way.proxy is not None:
        return _new_pool(httpx.AsyncHTTPTransport, way)
    from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler

    tls = _tls() if way.secure else False
    context = tls if isinstance(tls, ssl.SSLContext) else None
    pool: httpx.AsyncBaseTransport = AsyncHTTPHandler.create_aiohttp_transport(
        ssl_context=context, ssl_verify=None if context is not None else bool(tls)
    )
    return pool


def _abandon(ways: _Ways[httpx.AsyncBaseTransport]) -> None:
    """Let go of connections whose loop was closed under them."""
    for pool in ways.pools.values():
        connector = getattr(getattr(pool, "client", None), "connector", None)
        if connector is not None:
            with contextlib.suppress(
                Exception
            ):  # StopIteration is one: with its loop closed, it has nothing to wait for
                next(connector.close().__await__())


def _parts(stream: httpx.SyncByteStream, wire: Wire) -> Iterator[bytes]:
    """Have the wire read a reply, part by part; what breaks it off is on the wire's record."""
    try:
        for part in stream:
            yield wire.feed(part)
    except Exception as error:  # noqa: BLE001  # whatever it is, it ended the reply
        wire.broke(error)
    else:
        wire.end()


async def _aparts(stream: httpx.AsyncByteStream, wire: Wire) -> AsyncGenerator[bytes, None]:
    """As `_parts`."""
    source = aiter(stream)
    try:
        async for part in source:
            yield wire.feed(part)
    except asyncio.CancelledError as error:  # the deadline, or the caller
        wire.broke(error)
        raise
    except Exception as error:  # noqa: BLE001  # whatever it is, it ended the reply
        wire.broke(error)
    else:
        wire.end()
    finally:
        if isinstance(source, AsyncGenerator):  # else it is closed when it is collected: the connection stays open
            await source.aclose()


class _Rest(httpx.SyncByteStream):
    """A reply of a shape that is not known here, on its way to litellm: what has come of it, and what is to come."""

    def __init__(self, parts: Iterator[bytes], wire: Wire) -> None:
        self.parts, self.wire = parts, wire

    def __iter__(self) -> Iterator[bytes]:
        yield bytes(self.wire.body)
        yield from self.parts
        if self.wire.failure is not None:
            raise self.wire.failure

    def close(self) -> None:
        self.wire.close()


class _AsyncRest(httpx.AsyncByteStream):
    """As `_Rest`."""

    def __init__(self, parts: AsyncGenerator[bytes, None], stream: httpx.AsyncByteStream, wire: Wire) -> None:
        self.parts, self.stream, self.wire = parts, stream, wire

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield bytes(self.wire.body)
        async for part in self.parts:
            yield part
        if self.wire.failure is not None:
            raise self.wire.failure

    async def aclose(self) -> None:
        await self.stream.aclose()


class _Limit:
    """Makes the parts of a reply that no wire watches plain, and breaks it off where it is longer than any."""

    def __init__(self, response: httpx.Response, most: int = MAX_REPLY_BYTES) -> None:
        self._most = most
        try:
            self._inflate = Inflate(response.headers.pop("content-encoding", ""))
        except CompressedError as error:
            raise httpx.ReadError(str(error)) from None
        self._n_bytes = 0

    def plain(self, part: bytes) -> Iterator[bytes]:
        """Yield the plain bytes of a part.

        Raises
        ------
        httpx.ReadError
            If the reply is too long, or cannot be read.
        """
        try:
            for each in self._inflate.steps(part):
                self._n_bytes += len(each)
                if self._n_bytes > self._most:
                    raise httpx.ReadError("the reply is too large")
                yield each
        except CompressedError as error:
            raise httpx.ReadError(str(error)) from None


class _Bounded(httpx.SyncByteStream):
    """A reply that no wire watches."""

    def __init__(self, response: httpx.Response) -> None:
        assert isinstance(response.stream, httpx.SyncByteStream)  # noqa: S101 - what transports return
        self.stream, self.limit = response.stream, _Limit(response)

    def __iter__(self) -> Iterator[bytes]:
        for part in self.stream:
            yield from self.limit.plain(part)

    def close(self) -> None:
        self.stream.close()


class _AsyncBounded(httpx.AsyncByteStream):
    """As `_Bounded`."""

    def __init__(self, response: httpx.Response, most: int) -> None:
        assert isinstance(response.stream, httpx.AsyncByteStream)  # noqa: S101 - what async transports return
        self.stream, self.limit = response.stream, _Limit(response, most)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self.stream:
            for each in self.limit.plain(part):
                yield each

    async def aclose(self) -> None:
        await self.stream.aclose()
