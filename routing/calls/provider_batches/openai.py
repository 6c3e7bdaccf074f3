"""OpenAI's Batch API, and that of servers that have the same: a file of requests, and a file of results.

https://platform.openai.com/docs/api-reference/batch
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from scrimp.routing.calls.faults import CallError

from .gateway import posix, word_of
from .protocol import CLOCKS_S, Entry, Over, Result, Standing, State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from .gateway import Gateway

__all__ = ["SUFFIX", "OpenAIBatch"]

SUFFIX: Final = "/chat/completions"

_ENDPOINT: Final = "/v1/chat/completions"
_STATES: Final[dict[str, State]] = {
    "completed": "ended",
    "expired": "ended",
    "cancelled": "ended",
    "failed": "failed",
}
_PAGE: Final = 100


class OpenAIBatch:
    """Batches under `BASE/batches`, their files under `BASE/files`.

    Parameters
    ----------
    base
        The address that `/chat/completions` stands below.
    """

    api = "openai"
    most_requests = 50_000
    most_bytes = 100 << 20  # 200 MB are taken: the file is held in memory more than once

    def __init__(self, base: str, gateway: Gateway) -> None:
        self.base = base
        self._gateway = gateway

    @staticmethod
    def _line(entry: Entry) -> bytes:
        # The tier says what a call costs that is made at once: the batch is one of its own.
        body = {name: value for name, value in entry.body.items() if name != "service_tier"}
        return msgspec.json.encode({"custom_id": entry.custom_id, "method": "POST", "url": _ENDPOINT, "body": body})

    def size(self, entry: Entry) -> int:
        """Return the length of its line."""
        return len(self._line(entry)) + 1

    async def create(self, name: str, entries: Sequence[Entry]) -> Standing:
        """Upload the requests, then make a batch of the file: its metadata holds the name."""
        data = b"".join(self._line(entry) + b"\n" for entry in entries)
        form = ({"purpose": "batch"}, f"{name}.jsonl", data)
        try:
            file = await self._gateway.call("POST", f"{self.base}/files", form=form)
        except CallError as error:  # whatever became of the file: no batch was made of it
            raise error.harmless() from None
        asked = {
            "input_file_id": file.get("id"),
            "endpoint": _ENDPOINT,
            "completion_window": "24h",
            "metadata": {"scrimp": name},
        }
        return _standing(await self._gateway.call("POST", f"{self.base}/batches", body=asked))

    async def find(self, name: str, custom_ids: Sequence[str], *, since: float, known: frozenset[str]) -> str | None:
        """Look through the list, newest first, for the batch with that name in its metadata."""
        del custom_ids, known
        after = ""
        while True:
            page = await self._gateway.call("GET", f"{self.base}/batches?limit={_PAGE}{after}")
            batches = [each for each in page.get("data") or () if isinstance(each, dict)]
            for each in batches:
                if isinstance(each.get("metadata"), dict) and each["metadata"].get("scrimp") == name:
                    return str(each["id"])
            older = batches and (posix(batches[-1].get("created_at")) or since) < since - CLOCKS_S
            if not page.get("has_more") or not batches or older:
                return None
            after = f"&after={batches[-1].get('id')}"

    async def look(self, provider_id: str) -> Standing:
        """Return how a batch stands."""
        return _standing(await self._gateway.call("GET", f"{self.base}/batches/{provider_id}"))

    async def results(self, provider_id: str) -> AsyncIterator[Result]:
        """Yield the lines of the output file, then those of the error file."""
        batch = await self._gateway.call("GET", f"{self.base}/batches/{provider_id}")
        for key in ("output_file_id", "error_file_id"):
            if batch.get(key):
                async for line in self._gateway.lines(f"{self.base}/files/{batch[key]}/content"):
                    found = _result(line)
                    if found is not None:
                        yield found

    async def cancel(self, provider_id: str) -> None:
        """Have what is not begun given up: a batch that is over stays as it is."""
        await self._gateway.call("POST", f"{self.base}/batches/{provider_id}/cancel")


def _standing(batch: dict[str, Any]) -> Standing:
    counts = batch.get("request_counts") or {}
    word = word_of(batch.get("status"))
    errors = batch.get("errors") or {}
    said = [str(each.get("message")) for each in errors.get("data") or () if isinstance(each, dict)]
    over = (batch.get(f"{end}_at") for end in ("completed", "expired", "cancelled", "failed"))
    return Standing(
        str(batch.get("id") or ""),
        _STATES.get(word, "going"),
        word,
        n_done=None if not counts else int(counts.get("completed") or 0) + int(counts.get("failed") or 0),
        n_all=counts.get("total"),
        expires_at=posix(batch.get("expires_at")),
        ended_at=next((at for at in map(posix, over) if at is not None), None),
        why="; ".join(said[:3]),
    )


def _result(line: bytes) -> Result | None:
    """Return what a line of either file says; None of one that cannot be read."""
    try:
        found = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return None
    if not isinstance(found, dict) or not isinstance(found.get("custom_id"), str):
        return None
    response, error = found.get("response"), found.get("error")
    if isinstance(response, dict) and isinstance(response.get("status_code"), int):
        return Result(found["custom_id"], response["status_code"], msgspec.json.encode(response.get("body")))
    code = str(error.get("code")) if isinstance(error, dict) else ""
    over: Over = "expired" if "expired" in code else "cancelled" if "cancel" in code else ""
    return Result(found["custom_id"], 500, msgspec.json.encode({"error": error}), over, unbilled=bool(over))
