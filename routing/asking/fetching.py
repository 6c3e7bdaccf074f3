"""What `-f URL` and `-a URL` name: fetched once, with limits, without keys, and from where the user said.

A page on the web must not lead into the user's own network: an address that is not public is fetched only where it was
typed as such (`http://127.0.0.1:8000/x`), by redirect or by name it never is. The name is looked up once, and that
address is the one that is asked. Through a proxy of the environment's the proxy looks names up, and only addresses that
stand in the URL itself are held to this.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
import time
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urljoin, urlsplit

from scrimp.profiles.errors import TryAgainError, UsageError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable
    from urllib.parse import SplitResult

    import httpcore

__all__ = ["MAX_BYTES", "MAX_SECONDS", "Fetched", "Fetcher"]

MAX_BYTES: Final = 16 << 20
"""The most that is fetched of one URL."""

MAX_SECONDS: Final = 30.0
"""How long it may take, with all redirects."""

MAX_REDIRECTS: Final = 5

_SILENT_S: Final = 10.0
_NO_TEXT: Final = re.compile(r"(image|audio|video|font)/")
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_PORTS: Final = {"http": 80, "https": 443}


class Fetched(NamedTuple):
    """What a URL gave.

    Attributes
    ----------
    url
        Without what may be secret in it: user, query, fragment.
    name
        As of a file: its ending says what it is, where the server said so.
    """

    url: str
    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Fetches what is on the web.

    Attributes
    ----------
    here_only
        Whether nothing may leave this machine: then only its own addresses are asked.
    tell
        Takes a line on what was fetched, and how large it is.
    """

    here_only: bool = False
    tell: Callable[[str], object] = lambda _line: None

    def text(self, url: str) -> Fetched:
        """Return what is to be read as text (`kinds.pick.text_of`).

        Raises
        ------
        UsageError
            If it may not be fetched, cannot be, is too large, or is no text by what the server says.
        TryAgainError
            If the server does not answer, or asks to come again later.
        """
        return self._fetched(url, text=True)

    def bytes(self, url: str) -> Fetched:
        """Return it as it is; raises as `text`."""
        return self._fetched(url, text=False)

    def _fetched(self, url: str, *, text: bool) -> Fetched:
        import httpcore

        trip = _Trip(_split(url), self.here_only)
        at, begun = url, time.monotonic()
        deadline = begun + MAX_SECONDS
        try:
            for _ in range(MAX_REDIRECTS + 1):
                there = trip.checked(at)
                with (
                    trip.pool(there, deadline) as pool,
                    pool.stream(
                        "GET", at, headers=_headers(there), extensions={"timeout": dict.fromkeys(_WAITS, _SILENT_S)}
                    ) as reply,
                ):
                    headers = {key.lower().decode("latin-1"): value.decode("latin-1") for key, value in reply.headers}
                    if reply.status in (301, 302, 303, 307, 308) and "location" in headers:
                        at = urljoin(at, headers["location"])
                        continue
                    _check_status(reply.status, _shown(there))
                    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
                    if text and _NO_TEXT.match(kind):
                        raise UsageError(
                            f"{_shown(there)} is {kind}, and no text", hint="An image or a PDF goes with -a."
                        )
                    data = _read(reply, headers, _shown(there))
                    break
            else:
                raise UsageError(f"{_shown(trip.typed)} leads on and on: more than {MAX_REDIRECTS} redirects")
        except httpcore.TimeoutException:
            raise TryAgainError(f"{_shown(trip.typed)} did not answer in time") from None
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.ProxyError, OSError) as error:
            raise TryAgainError(f"{_shown(trip.typed)} cannot be fetched: {_why(error)}") from None
        shown = _shown(there)
        size = f"{len(data):,} bytes" if len(data) < 10_000 else f"{len(data) / 1000:,.0f} KB"
        self.tell(f"fetched {shown}: {size}{f' of {kind}' if kind else ''}, {time.monotonic() - begun:.1f} s")
        return Fetched(shown, _name(there, kind), _as_utf8(data, headers.get("content-type", "")) if text else data)


class _Trip:
    """Where a fetch may go: it begins where the user said."""

    def __init__(self, typed: SplitResult, here_only: bool) -> None:
        self.typed = typed
        self.here_only = here_only
        self.own = _origin(typed) if _is_literal(typed.hostname or "") else None

    def checked(self, url: str) -> SplitResult:
        """Return a URL's parts, once it is certain that it may be asked, as far as its text tells."""
        there = _split(url)
        host = there.hostname or ""
        if self.here_only and not _is_here(host):
            raise UsageError(
                f"{_shown(there)} is not fetched: nothing may leave this machine (--offline or --local-only)",
                hint="Give it as a file.",
            )
        if there.scheme == "http" and self.typed.scheme == "https":
            raise UsageError(f"{_shown(self.typed)} leads to {_shown(there)}, which is not encrypted: not fetched")
        if _origin(there) != self.own and _is_literal(host):
            self._refuse(there)
        return there

    def pool(self, there: SplitResult, deadline: float) -> httpcore.ConnectionPool:
        """Return what connects to it."""
        import httpcore
        import httpx

        from scrimp.routing.calls.transport import proxy_for

        proxy = proxy_for(httpx.URL(there.geturl()))
        secure = there.scheme == "https" or (proxy is not None and proxy.url.startswith("https:"))
        tls = httpx.create_ssl_context() if secure else None  # half a second
        if proxy is None:
            backend = _backend(lambda host, port: self._addresses(there, host, port), deadline)
            return httpcore.ConnectionPool(ssl_context=tls, network_backend=backend, max_connections=1)
        if not proxy.url.startswith(("http://", "https://")):
            raise UsageError(f"{proxy.variable} names a proxy of a kind that is not used to fetch: {proxy.url}")
        return httpcore.HTTPProxy(proxy.url, ssl_context=tls, proxy_ssl_context=tls)

    def _addresses(self, there: SplitResult, host: str, port: int) -> list[str]:
        """Look a name up; every address that it has must be one that may be asked."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise UsageError(f"there is no host {host!r}, or names cannot be looked up now") from None
        addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
        if _origin(there) != self.own and not all(map(_is_public, addresses)):
            self._refuse(there)
        return addresses

    def _refuse(self, there: SplitResult) -> None:
        led = "" if there == self.typed else f"{_shown(self.typed)} leads to "
        raise UsageError(
            f"{led}{_shown(there)}, which is no public address: not fetched",
            hint="If that is meant, give the address itself, such as http://127.0.0.1:8000/x, or the file.",
        )


_WAITS: Final = ("connect", "read", "write", "pool")


def _backend(addresses: Callable[[str, int], list[str]], deadline: float) -> httpcore.NetworkBackend:
    """Return what connects to the addresses that a host was looked up to be, until a point of monotonic time."""
    import httpcore

    inner = httpcore.SyncBackend()

    def left(timeout: float | None) -> float:
        rest = deadline - time.monotonic()
        if rest <= 0:
            raise httpcore.ReadTimeout
        return rest if timeout is None else min(rest, timeout)

    class Stream(httpcore.NetworkStream):
        def __init__(self, stream: httpcore.NetworkStream) -> None:
            self._stream = stream

        def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
            return self._stream.read(max_bytes, left(timeout))

        def write(self, buffer: bytes, timeout: float | None = None) -> None:
            self._stream.write(buffer, left(timeout))

        def close(self) -> None:
            self._stream.close()

        def start_tls(
            self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
        ) -> httpcore.NetworkStream:
            return Stream(self._stream.start_tls(ssl_context, server_hostname, left(timeout)))

        def get_extra_info(self, info: str) -> Any:
            return self._stream.get_extra_info(info)

    class Backend(httpcore.NetworkBackend):
        def connect_tcp(
            self,
            host: str,
            port: int,
            timeout: float | None = None,
            local_address: str | None = None,
            socket_options: Iterable[Any] | None = None,
        ) -> httpcore.NetworkStream:
            tried = addresses(host, port)
            for address in tried[:-1]:
                with contextlib.suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                    return Stream(inner.connect_tcp(address, port, left(timeout), local_address, socket_options))
            return Stream(inner.connect_tcp(tried[-1], port, left(timeout), local_address, socket_options))

    return Backend()


def _split(url: str) -> SplitResult:
    """Return the parts of a URL.

    Raises
    ------
    UsageError
        If it is none that is fetched.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise UsageError(f"not a URL that can be fetched: {error}") from None
    if parts.scheme not in _PORTS or not parts.hostname or re.search(r"[\s\x00-\x20\x7f]", url):
        raise UsageError("not a URL that can be fetched: expected http:// or https:// and a host, without spaces")
    if parts.username is not None or parts.password is not None:
        raise UsageError(
            f"{_shown(parts)}: a URL with a user or a password in it is not fetched",
            hint="Fetch it yourself: curl ... | scrimp ask -f - ...",
        )
    return parts


def _origin(parts: SplitResult) -> tuple[str, int]:
    return (parts.hostname or "", parts.port or _PORTS[parts.scheme])


def _shown(parts: SplitResult) -> str:
    from scrimp.routing.text.sanitize import sanitize

    host = parts.netloc.rpartition("@")[2]
    return sanitize(f"{parts.scheme}://{host}{parts.path}").replace("\n", "␊")


def _is_literal(host: str) -> bool:
    """Tell whether a host is named as an address of one's own network: by its numbers, or as `localhost`."""
    return _is_here(host) or (_as_address(host) is not None and not _is_public(host))


def _is_here(host: str) -> bool:
    address = _as_address(host)
    return host == "localhost" or host.endswith(".localhost") or (address is not None and address.is_loopback)


def _as_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host.partition("%")[0])
    return None


def _is_public(host: str) -> bool:
    address = _as_address(host)
    if address is None:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        address = inner or address
    return address.is_global and not address.is_multicast


def _headers(there: SplitResult) -> dict[bytes | str, bytes | str]:
    """Return what is sent: nothing that says who asks."""
    return {"Host": there.netloc, "User-Agent": "scrimp", "Accept": "*/*", "Accept-Encoding": "identity"}


def _check_status(status: int, shown: str) -> None:
    from http import HTTPStatus

    if status == HTTPStatus.OK:
        return
    with contextlib.suppress(ValueError):
        said = f"{status} {HTTPStatus(status).phrase}"
        if status == HTTPStatus.TOO_MANY_REQUESTS or status >= 500:
            raise TryAgainError(f"{shown} answers {said}")
        raise UsageError(f"{shown} answers {said}: nothing to read")
    raise UsageError(f"{shown} answers {status}: nothing to read")


def _read(reply: httpcore.Response, headers: dict[str, str], shown: str) -> bytes:
    from scrimp.routing.calls.inflate import CompressedError, Inflate

    too_large = UsageError(
        f"{shown} is over {MAX_BYTES >> 20} MB, the most that is fetched", hint="Download it, and give the file."
    )
    if headers.get("content-length", "").isdecimal() and int(headers["content-length"]) > MAX_BYTES:
        raise too_large
    data = bytearray()
    parts: Iterable[bytes] = reply.iter_stream()
    try:
        plain = Inflate(headers.get("content-encoding", ""))
        for part in parts:
            for piece in plain.steps(part):
                data += piece
                if len(data) > MAX_BYTES:
                    raise too_large
    except CompressedError as error:
        raise UsageError(f"{shown} cannot be read: {error}") from None
    return bytes(data)


def _name(parts: SplitResult, kind: str) -> str:
    """Return what it would be called as a file."""
    name = PurePosixPath(parts.path).name or parts.hostname or ""
    return f"{name}.html" if kind in ("text/html", "application/xhtml+xml") else name


def _as_utf8(data: bytes, content_type: str) -> bytes:
    """Return text as UTF-8 that begins by saying so, where the server said in which other encoding it is."""
    found = re.search(r"""charset\s*=\s*["']?([\w.:-]+)""", content_type, re.IGNORECASE)
    if found is not None and found[1].lower() not in ("utf-8", "utf8"):
        with contextlib.suppress(LookupError, UnicodeDecodeError):
            return b"\xef\xbb\xbf" + data.decode(found[1]).encode()
    return data


def _why(error: BaseException) -> str:
    said = re.sub(r"^\[Errno -?\d+\] ", "", " ".join(str(error).split()))
    return said[:200] or type(error).__name__
