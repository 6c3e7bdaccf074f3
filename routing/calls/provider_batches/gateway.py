"""Requests to a provider's Batch API: through the transports of all calls, and errors read as those of any call."""

from __future__ import annotations

import re
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from scrimp.routing.calls.error_replies import read_error
from scrimp.routing.calls.faults import CallError, no_connection
from scrimp.routing.calls.litellm_setup import prepare
from scrimp.routing.calls.transport import MOST_BYTES
from scrimp.routing.calls.wire import never_connected
from scrimp.routing.text.sanitize import sanitize, scrub

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    import httpx

__all__ = ["Gateway", "posix", "word_of"]

_CONNECT_S: Final = 15.0
_SILENCE_S: Final = 120.0
_MOST_BYTES: Final = 4 << 30
_MAX_ERROR_BYTES: Final = 1 << 20
_MAX_MESSAGE: Final = 300


class Gateway:
    """Sends requests that are no calls to a model.

    Parameters
    ----------
    who
        What errors are said of.
    headers
        Those of a composed call: who asks, in which version.
    """

    def __init__(self, who: str, headers: Mapping[str, str]) -> None:
        self.who = who
        self._headers = dict(headers)
        self._secrets = tuple(value.removeprefix("Bearer ") for value in headers.values() if len(value) >= 8)

    async def call(
        self, method: str, url: str, *, body: Any = None, form: tuple[dict[str, str], str, bytes] | None = None
    ) -> dict[str, Any]:
        """Send a request and return the JSON object that it is answered with.

        Parameters
        ----------
        body
            JSON to send.
        form
            Fields, a file's name and its bytes, to send as a form in place of JSON.

        Raises
        ------
        CallError
            If there is none.
        """
        import httpx

        if form is not None:
            fields, name, data = form
            made = httpx.Request(method, url, data=fields, files={"file": (name, data, "application/jsonl")})
            content, kind = made.read(), made.headers["content-type"]
        else:
            content, kind = b"" if body is None else msgspec.json.encode(body), "application/json"
        parts = [part async for part in self._stream(method, url, content, kind if content else None)]
        try:
            value = msgspec.json.decode(b"".join(parts) or b"{}")
        except msgspec.DecodeError:
            value = None
        if not isinstance(value, dict):
            raise self._error("bad_reply", "the reply of its Batch API is no JSON object", retryable=True)
        return value

    async def lines(self, url: str) -> AsyncIterator[bytes]:
        """Yield the lines of a file.

        Raises
        ------
        CallError
            If it cannot be read to its end.
        """
        rest = b""
        async for part in self._stream("GET", url, b"", None):
            *whole, rest = (rest + part).split(b"\n")
            for line in whole:
                if line.strip():
                    yield line
        if rest.strip():
            yield rest

    async def _stream(self, method: str, url: str, content: bytes, kind: str | None) -> AsyncIterator[bytes]:
        import httpx

        client = httpx.AsyncClient(transport=prepare().async_transport, trust_env=False)
        headers = self._headers | ({} if kind is None else {"content-type": kind})
        timeout = httpx.Timeout(_SILENCE_S, connect=_CONNECT_S)
        request = client.build_request(
            method, url, content=content or None, headers=headers, timeout=timeout, extensions={MOST_BYTES: _MOST_BYTES}
        )
        request.extensions[MOST_BYTES] = _MOST_BYTES
        try:
            response = await client.send(request, stream=True, follow_redirects=False)
            try:
                if response.status_code >= 300:
                    raise await self._refused(response)
                async for part in response.aiter_bytes():
                    yield part
            finally:
                await response.aclose()
        except httpx.HTTPError as error:
            if never_connected(error):
                why = no_connection(error, " to its Batch API")
                raise self._error("connection", why, retryable=True, billable="no") from None
            if isinstance(error, httpx.TimeoutException):
                raise self._error("timeout", f"its Batch API was silent for {_SILENCE_S:g} s", retryable=True) from None
            why = f"the connection to its Batch API broke ({type(error).__name__})"
            raise self._error("connection", why, retryable=True) from None

    async def _refused(self, response: httpx.Response) -> CallError:
        body = b""
        async for part in response.aiter_bytes():
            body += part
            if len(body) > _MAX_ERROR_BYTES:
                break
        status = response.status_code
        headers = {key.lower(): value for key, value in response.headers.items()}
        if status < 400:
            return self._error("bad_request", f"{status}: its Batch API sends callers elsewhere", status=status)
        read = read_error(status, headers, body, now=time.time())
        return self._error(
            read.kind,
            f"its Batch API says {status} {read.said}".strip(),
            retryable=read.retryable,
            billable="maybe" if status >= 500 else "no",
            retry_after_s=read.wait_s,
            status=status,
            lasting=read.lasting,
        )

    def _error(self, kind: Any, message: str, **more: Any) -> CallError:
        clean = re.sub(r"\s+", " ", sanitize(scrub(message[:20_000], self._secrets))).strip()
        return CallError(kind, f"{self.who}: {clean[:_MAX_MESSAGE]}", **more)


def posix(value: object) -> float | None:
    """Return a POSIX time from seconds or from ISO 8601; None of anything else.

    Examples
    --------
    >>> posix(1), posix("1970-01-01T00:00:01Z"), posix("1970-01-01T00:00:01.123456789Z"), posix(None)
    (1.0, 1.0, 1.123456, None)
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, str):
        return None
    try:
        return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", value.replace("Z", "+00:00"))).timestamp()
    except ValueError:
        return None


def word_of(value: object) -> str:
    """Return a word of a provider's, fit to be shown."""
    return sanitize(str(value))[:40] if value is not None else "unknown"
