"""What providers may still hold of files, as far as the log knows: which arms have lately read them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .store import instant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .store import Ledger

__all__ = ["ReadLately", "read_lately"]


@dataclass(frozen=True, slots=True)
class ReadLately:
    """A call that was answered, on files.

    Attributes
    ----------
    arm
        With what it read.
    instructions
        What tells the instructions that it was asked with from others, or None.
    in_cache
        Whether its provider said that it read some of its input from a cache, or wrote some there.
    """

    arm: str
    instructions: str | None
    in_cache: bool


def read_lately(
    ledger: Ledger, digests: Sequence[str], system: str | None, *, brief: bool = False, since: float
) -> list[ReadLately]:
    """Return the calls that were asked about just these files since a POSIX time, with the same system text.

    Calls of conversations that had gone on before are left out: their messages begin otherwise.

    Parameters
    ----------
    digests
        SHA-256 of the files' texts, in order.
    """
    rows = ledger.rows(
        "SELECT a.arm, a.instructions, q.sources, "
        "coalesce(a.cached_tokens, 0) + coalesce(a.cache_write_tokens, 0) > 0 AS in_cache "
        "FROM requests q JOIN attempts a ON a.request_id = q.id "
        "WHERE q.created_at >= ? AND q.sources IS NOT NULL AND q.messages IS NULL AND q.system IS ? "
        "AND coalesce(json_extract(unpacked(q.decision), '$.brief'), 0) = ? "
        "AND a.error_kind IS NULL AND a.latency_s IS NOT NULL",
        (instant(since), system, int(brief)),
    )
    return [
        ReadLately(row["arm"], row["instructions"], bool(row["in_cache"]))
        for row in rows
        if _digests(row["sources"]) == list(digests)
    ]


def _digests(sources: str) -> list[Any]:
    return [each["sha256"] for each in json.loads(sources)]
