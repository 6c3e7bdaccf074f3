"""Texts of files that went with prompts: each is kept once, for all requests that read it."""

from __future__ import annotations

import contextlib
import json
import re
import zlib
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import LedgerError

from .clauses import marks
from .packing import pack, pack_floats

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Mapping, Sequence

    from .store import Ledger

__all__ = [
    "MAX_KEPT",
    "drop",
    "drop_unread",
    "hashes_of",
    "insert_request",
    "kept",
    "packed_request",
    "size",
    "stages_in",
    "write_request",
]

MAX_KEPT: Final = 8_000_000
"""Characters of a request's files above which their texts are not kept: then the log has their paths and hashes."""

_LEVEL: Final = 1
"""Of zlib: a text is packed inside a transaction that others wait for, 8 million characters in some 0.2 s."""

_READ: Final = "SELECT json_extract(s.value, '$.sha256') FROM ({}) q, json_each(q.sources) s"
"""The hashes of the files that requests read."""

_DROPPED: Final = 100
"""Texts that are dropped in one transaction."""

_PLAN: Final = re.compile(r'"plan": ?\{')

_ALL: Final = "SELECT sources FROM requests WHERE sources IS NOT NULL"


def write_request(ledger: Ledger, row: Mapping[str, object]) -> None:
    """Write a request's row, and the texts it has under `documents` (SHA-256 to text), in the caller's transaction.

    A text that is there already is neither packed nor written again.
    """
    values = dict(row)
    texts: Any = values.pop("documents", None) or {}
    insert_request(ledger, values)
    known = _there(ledger, texts)
    for sha256, text in texts.items():
        if sha256 not in known:
            packed = zlib.compress(text.encode("utf-8", "surrogatepass"), _LEVEL)
            at = values["created_at"]
            ledger.insert("documents", {"sha256": sha256, "at": at, "n_chars": len(text), "packed": packed})


def insert_request(ledger: Ledger, values: Mapping[str, object]) -> None:
    """Insert a request's row in the caller's transaction, its trace and its features packed.

    Parameters
    ----------
    values
        By column; `decision` and `surface` as JSON, `embedding` as little-endian float32.
    """
    ledger.insert("requests", packed_request(values))


def packed_request(values: Mapping[str, object]) -> dict[str, object]:
    """Return a request's row as it is kept, of one as `insert_request` takes it."""
    decision: Any = values.get("decision")
    packed = {name: pack(values[name]) for name in ("decision", "surface") if values.get(name) is not None}  # type: ignore[arg-type]
    vector: Any = values.get("embedding")
    return {**values, **packed, "embedding": pack_floats(vector), "n_stages": stages_in(decision)}


def stages_in(decision: str | None) -> int | None:
    """Return how many stages the plan of a trace (JSON) has; None without a plan."""
    if decision is None or not _PLAN.search(decision):
        return None
    try:
        plan = json.loads(decision)["plan"]
        return len(plan["stages"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def kept(ledger: Ledger, hashes: Collection[str]) -> dict[str, str]:
    """Return the texts that are kept of some files, by SHA-256.

    Raises
    ------
    LedgerError
        If one cannot be unpacked.
    """
    found = {}
    for row in ledger.rows(f"SELECT sha256, packed FROM documents WHERE sha256 IN ({marks(hashes)})", tuple(hashes)):  # noqa: S608 - marks
        try:
            found[row["sha256"]] = zlib.decompress(row["packed"]).decode("utf-8", "surrogatepass")
        except (zlib.error, ValueError):
            raise LedgerError(
                f"the text of file {row['sha256'][:12]} in {ledger.path} is damaged", hint="Run `scrimp doctor`."
            ) from None
    return found


def hashes_of(conn: sqlite3.Connection, where: str, parameters: Sequence[object]) -> list[str]:
    """Return the hashes of the files that some requests read, by a condition on `requests`."""
    found = conn.execute(_READ.format(f"{_ALL} AND {where}"), parameters)
    return list(dict.fromkeys(sha256 for (sha256,) in found))


def size(ledger: Ledger) -> tuple[int, int]:
    """Return how many texts are kept, and how many bytes they take."""
    (row,) = ledger.rows("SELECT count(*) AS n, coalesce(sum(length(packed)), 0) AS bytes FROM documents")
    return row["n"], row["bytes"]


def drop(conn: sqlite3.Connection, hashes: Collection[str], *, since: int = 0) -> None:
    """Drop the texts of some files that no request read, in the caller's transaction.

    Parameters
    ----------
    since
        Only requests from this number on are looked at: of the others it is known that they did not.
    """
    if hashes:
        read = _READ.format(f"{_ALL} AND n >= {since:d}")
        which = f"sha256 IN ({marks(hashes)}) AND sha256 NOT IN ({read})"
        conn.execute(f"DELETE FROM documents WHERE {which}", tuple(hashes))  # noqa: S608 - marks


def drop_unread(ledger: Ledger) -> None:
    """Drop the texts that no request read; all requests are looked at before anybody has to wait."""
    known = {row["sha256"] for row in ledger.rows("SELECT sha256 FROM documents")}
    if not known:
        return
    (row,) = ledger.rows("SELECT coalesce(max(n), 0) + 1 AS next FROM requests")
    with contextlib.closing(ledger.conn.execute(_READ.format(_ALL))) as read:
        for (sha256,) in read:
            known.discard(sha256)
            if not known:
                return
    unread = sorted(known)
    for first in range(0, len(unread), _DROPPED):
        with ledger.transaction() as conn:
            drop(conn, unread[first : first + _DROPPED], since=row["next"])


def _there(ledger: Ledger, hashes: Collection[str]) -> set[str]:
    if not hashes:
        return set()
    rows = ledger.rows(f"SELECT sha256 FROM documents WHERE sha256 IN ({marks(hashes)})", tuple(hashes))  # noqa: S608 - marks
    return {row["sha256"] for row in rows}
