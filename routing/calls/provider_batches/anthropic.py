"""Anthropic's Message Batches.

https://docs.anthropic.com/en/api/creating-message-batches
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from .gateway import posix, word_of
from .protocol import CLOCKS_S, Entry, Result, Standing, Undecided

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from .gateway import Gateway

__all__ = ["SUFFIX", "AnthropicBatch"]

SUFFIX: Final = "/v1/messages"

_PAGE: Final = 100
_STATUSES: Final = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "timeout_error": 504,
    "overloaded_error": 529,
}


class AnthropicBatch:
    """Batches under `BASE/v1/messages/batches`.

    They have no name: one that may have been made is told by its size and its time, and by the ids of its results.

    Parameters
    ----------
    base
        The address that `/v1/messages` stands below.
    """

    api = "anthropic"
    most_requests = 100_000
    most_bytes = 100 << 20  # 256 MB are taken: the request is held in memory more than once

    def __init__(self, base: str, gateway: Gateway) -> None:
        self.base = base
        self._url = f"{base}{SUFFIX}/batches"
        self._gateway = gateway

    def size(self, entry: Entry) -> int:
        """Return the length of the request in the batch's own."""
        return len(msgspec.json.encode(_request(entry))) + 1

    async def create(self, name: str, entries: Sequence[Entry]) -> Standing:
        """Hand over the requests; their ids hold the name."""
        del name
        return _standing(
            await self._gateway.call("POST", self._url, body={"requests": [_request(entry) for entry in entries]})
        )

    async def find(self, name: str, custom_ids: Sequence[str], *, since: float, known: frozenset[str]) -> str | None:
        """Look through the list, newest first, for a batch of that size that is not known, and has our ids."""
        ours, after, waits = frozenset(custom_ids), "", False
        while True:
            page = await self._gateway.call("GET", f"{self._url}?limit={_PAGE}{after}")
            batches = [each for each in page.get("data") or () if isinstance(each, dict)]
            for each in batches:
                made_at = posix(each.get("created_at"))
                if each.get("id") in known or (made_at is not None and made_at < since - CLOCKS_S):
                    continue
                standing = _standing(each)
                if standing.n_all not in (None, len(ours)):
                    continue
                if standing.state == "going":
                    waits = True  # its ids are told with its results
                    continue
                async for result in self.results(standing.id):
                    if result.custom_id in ours:
                        return standing.id
                    break  # all ids of a batch are of one hand
            if not page.get("has_more") or not batches:
                break
            after = f"&after_id={page.get('last_id') or batches[-1].get('id')}"
        if waits:
            raise Undecided(f"whether batch {name} was made is told when those are over that may be it")
        return None

    async def look(self, provider_id: str) -> Standing:
        """Return how a batch stands."""
        return _standing(await self._gateway.call("GET", f"{self._url}/{provider_id}"))

    async def results(self, provider_id: str) -> AsyncIterator[Result]:
        """Yield the lines of its results.

        They are asked for below our own address, whatever `results_url` says: the key goes nowhere else.
        """
        async for line in self._gateway.lines(f"{self._url}/{provider_id}/results"):
            found = _result(line)
            if found is not None:
                yield found

    async def cancel(self, provider_id: str) -> None:
        """Have what is not begun given up."""
        await self._gateway.call("POST", f"{self._url}/{provider_id}/cancel")


def _request(entry: Entry) -> dict[str, Any]:
    return {"custom_id": entry.custom_id, "params": entry.body}


def _standing(batch: dict[str, Any]) -> Standing:
    counts = {key: n for key, n in (batch.get("request_counts") or {}).items() if isinstance(n, int)}
    n_all = sum(counts.values()) if counts else None
    word = word_of(batch.get("processing_status"))
    return Standing(
        str(batch.get("id") or ""),
        "ended" if word == "ended" else "going",
        word,
        n_done=None if n_all is None else n_all - counts.get("processing", 0),
        n_all=n_all,
        expires_at=posix(batch.get("expires_at")),
        ended_at=posix(batch.get("ended_at")),
    )


def _result(line: bytes) -> Result | None:
    """Return what a line says; None of one that cannot be read."""
    try:
        found = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return None
    if not isinstance(found, dict) or not isinstance(found.get("custom_id"), str):
        return None
    result = found.get("result")
    result = result if isinstance(result, dict) else {}
    custom_id, kind = found["custom_id"], result.get("type")
    if kind == "succeeded":
        return Result(custom_id, 200, msgspec.json.encode(result.get("message")))
    if kind in ("expired", "canceled"):
        return Result(custom_id, 500, b"{}", "expired" if kind == "expired" else "cancelled", unbilled=True)
    error = result.get("error")
    inner = error.get("error") if isinstance(error, dict) and isinstance(error.get("error"), dict) else error
    named = str(inner.get("type")) if isinstance(inner, dict) else ""
    body = msgspec.json.encode({"type": "error", "error": inner})
    return Result(custom_id, _STATUSES.get(named, 500), body, unbilled=True)  # errored requests are not billed
