"""Gemini's Batch API, with the requests in the batch itself.

https://ai.google.dev/api/batch-api
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from .gateway import posix, word_of
from .protocol import Entry, Over, Result, Standing, State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from .gateway import Gateway

__all__ = ["SUFFIX", "GeminiBatch"]

SUFFIX: Final = ":generateContent"

_PAGE: Final = 100
_EXPIRES_S: Final = 48 * 3600.0
_STATES: Final[dict[str, State]] = {
    "SUCCEEDED": "ended",
    "EXPIRED": "ended",
    "CANCELLED": "ended",
    "PARTIALLY_SUCCEEDED": "ended",
    "FAILED": "failed",
}
_STATUSES: Final = {1: 499, 3: 400, 4: 504, 5: 404, 7: 403, 8: 429, 9: 400, 13: 500, 14: 503, 16: 401}
"""HTTP's statuses for google.rpc's codes."""


class GeminiBatch:
    """Batches of one model, under `BASE/batches`.

    Parameters
    ----------
    base
        The address that `/models/NAME:generateContent` stands below.
    model
        Its `models/NAME`.
    """

    api = "gemini"
    most_requests = 10_000
    most_bytes = 18 << 20  # 20 MB are taken where the requests stand in the batch itself

    def __init__(self, base: str, model: str, gateway: Gateway) -> None:
        self.base = base
        self.model = model
        self._gateway = gateway

    def size(self, entry: Entry) -> int:
        """Return the length of the request in the batch's own."""
        return len(msgspec.json.encode(_request(entry))) + 1

    async def create(self, name: str, entries: Sequence[Entry]) -> Standing:
        """Hand over the requests; the batch's display name is the name."""
        requests = [_request(entry) for entry in entries]
        batch = {"display_name": name, "input_config": {"requests": {"requests": requests}}}
        url = f"{self.base}/{self.model}:batchGenerateContent"
        return _standing(await self._gateway.call("POST", url, body={"batch": batch}))

    async def find(self, name: str, custom_ids: Sequence[str], *, since: float, known: frozenset[str]) -> str | None:
        """Look through the list for the batch with that display name."""
        del custom_ids, since, known
        token = ""
        while True:
            page = await self._gateway.call("GET", f"{self.base}/batches?pageSize={_PAGE}{token}")
            for each in page.get("operations") or ():
                if isinstance(each, dict) and _metadata(each).get("displayName") == name:
                    return str(each.get("name"))
            if not page.get("nextPageToken"):
                return None
            token = f"&pageToken={page['nextPageToken']}"

    async def look(self, provider_id: str) -> Standing:
        """Return how a batch stands."""
        return _standing(await self._gateway.call("GET", f"{self.base}/{provider_id}"))

    async def results(self, provider_id: str) -> AsyncIterator[Result]:
        """Yield the responses that stand in the batch."""
        operation = await self._gateway.call("GET", f"{self.base}/{provider_id}")
        response = operation.get("response") or {}
        inlined = (
            response.get("inlinedResponses") or _metadata(operation).get("output", {}).get("inlinedResponses") or {}
        )
        for each in inlined.get("inlinedResponses") or () if isinstance(inlined, dict) else inlined:
            if isinstance(each, dict):
                yield _result(each)

    async def cancel(self, provider_id: str) -> None:
        """Have what is not begun given up."""
        await self._gateway.call("POST", f"{self.base}/{provider_id}:cancel")


def _request(entry: Entry) -> dict[str, Any]:
    return {"request": entry.body, "metadata": {"key": entry.custom_id}}


def _metadata(operation: dict[str, Any]) -> dict[str, Any]:
    found = operation.get("metadata")
    return found if isinstance(found, dict) else {}


def _count(stats: dict[str, Any], *names: str) -> int | None:
    """Return a sum of counts, which are written as text."""
    found = [stats[name] for name in names if name in stats]
    try:
        return sum(map(int, found)) if found else None
    except (TypeError, ValueError):
        return None


def _standing(operation: dict[str, Any]) -> Standing:
    told = _metadata(operation)
    word = word_of(told.get("state"))
    short = word.removeprefix("BATCH_STATE_").removeprefix("JOB_STATE_")
    state = _STATES.get(short, "going")
    error = operation.get("error")
    if state == "going" and operation.get("done"):
        state = "failed" if isinstance(error, dict) and error.get("code") != 1 else "ended"
    stats = told.get("batchStats") or {}
    n_all = _count(stats, "requestCount")
    pending = _count(stats, "pendingRequestCount")
    made_at = posix(told.get("createTime"))
    return Standing(
        str(operation.get("name") or ""),
        state,
        short.lower(),
        n_done=None if n_all is None else n_all - (pending or 0 if state == "going" else 0),
        n_all=n_all,
        expires_at=None if made_at is None else made_at + _EXPIRES_S,
        ended_at=posix(told.get("endTime")),
        why=str(error.get("message") or "") if isinstance(error, dict) else "",
    )


def _result(found: dict[str, Any]) -> Result:
    told = found.get("metadata")
    custom_id = str(told.get("key") or "") if isinstance(told, dict) else ""
    if isinstance(found.get("response"), dict):
        return Result(custom_id, 200, msgspec.json.encode(found["response"]))
    error = found.get("error") if isinstance(found.get("error"), dict) else {}
    code = error.get("code") if isinstance(error, dict) else None
    said = str(error.get("message") or "").lower() if isinstance(error, dict) else ""
    over: Over = "cancelled" if code == 1 else "expired" if code == 4 and "expire" in said else ""
    status = _STATUSES.get(code, 500) if isinstance(code, int) else 500
    return Result(custom_id, status, msgspec.json.encode({"error": error}), over, unbilled=bool(over))
