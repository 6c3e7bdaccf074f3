"""A provider's export of usage: a CSV file with a line for each reply and what it cost, whoever wrote it."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from scrimp.profiles.errors import DataError
from scrimp.profiles.money import read_usd

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path
    from typing import Any

__all__ = ["Matches", "match", "read_export"]

IDS: Final = (
    "id", "generation_id", "request_id", "response_id", "completion_id", "message_id", "reply_id", "trace_id",
    "x_request_id", "litellm_call_id", "upstream_id",
)  # fmt: skip
"""Columns that may name a reply, as providers' exports spell them (`_plain`)."""

CALLS: Final = ("call", "scrimp_call")
"""Columns that hold our own numbers of calls."""

COSTS: Final = (
    "cost_usd", "total_cost_usd", "cost_total", "total_cost", "response_cost", "cost", "spend_usd", "spend",
    "amount_usd", "amount_value", "amount", "usd",
)  # fmt: skip
"""Columns that may hold what a reply cost, in USD; the first that is there counts."""

CURRENCIES: Final = ("currency", "amount_currency", "cost_currency")

_MAX_BYTES: Final = 256_000_000


@dataclass(frozen=True, slots=True)
class Matches:
    """What an export says of calls whose cost is not known.

    Attributes
    ----------
    costs
        What each call cost, nano-USD, by its number.
    n_open
        How many calls had no known cost.
    n_settled, n_strange
        Names of replies in the file that are of calls whose cost is known, and of none that the ledger knows.
    """

    costs: Mapping[int, int]
    n_open: int
    n_settled: int
    n_strange: int


def read_export(path: Path) -> dict[tuple[str, ...], int]:
    """Return what each reply cost, nano-USD, by the names that the file gives it.

    A reply that has several lines (input and output apart) cost their sum; a line that stands there twice counts once.

    Raises
    ------
    DataError
        If the file cannot be read, or has no columns for names and costs; naming line and column of what is no amount.
    """
    try:
        if not path.is_file() or path.stat().st_size > _MAX_BYTES:
            raise DataError(f"cannot read {path}: expected a CSV file of up to {_MAX_BYTES // 1_000_000} MB")
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{path}: not UTF-8", hint="Save it as CSV in UTF-8.") from None
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from None
    head = text.partition("\n")[0]
    reader = csv.reader(text.splitlines(keepends=True), delimiter=max(",;\t|", key=head.count), strict=True)
    costs: dict[tuple[str, ...], int] = {}
    seen: set[tuple[str, ...]] = set()
    try:
        columns = [_plain(name) for name in next(reader, [])]
        names, cost = _columns(path, columns)
        currency = next((columns.index(name) for name in CURRENCIES if name in columns), None)
        for row in reader:
            found = tuple(
                row[i].strip() if columns[i] not in CALLS else f"#{row[i].strip()}" for i in names if i < len(row)
            )
            if (
                not any(name.strip("#") for name in found)
                or len(row) <= cost
                or not row[cost].strip()
                or tuple(row) in seen
            ):
                continue
            seen.add(tuple(row))
            where = f"{path}, line {reader.line_num}"
            if currency is not None and row[currency].strip().lower() not in ("", "usd"):
                raise DataError(f"{where}: amounts are in {row[currency].strip()}, not USD")
            try:
                costs[found] = costs.get(found, 0) + read_usd(row[cost])
            except ValueError as error:
                raise DataError(f"{where}, column {columns[cost]}: {row[cost]!r:.60} is no amount: {error}") from None
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: not CSV: {error}") from None
    return costs


def _plain(name: str) -> str:
    """Return a column's name without what exports differ in: `Cost (USD)` and `costUsd` are `cost_usd`."""
    return re.sub(r"[^a-z0-9]+", "_", re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower()).strip("_")


def _columns(path: Path, columns: Sequence[str]) -> tuple[list[int], int]:
    names = [i for i, name in enumerate(columns) if name in (*IDS, *CALLS)]
    cost = next((columns.index(name) for name in COSTS if name in columns), None)
    if names and cost is not None:
        return names, cost
    missing = "the cost of each call in USD" if names else "the id of each reply"
    looked = ", ".join(COSTS if names else (*IDS, *CALLS))
    raise DataError(
        f"{path} has no column with {missing}; it has: {', '.join(columns) or 'no header'}",
        hint=f"One of these is looked for: {looked}. An export by day or model cannot be matched: take one by request.",
    )


def match(costs: Mapping[tuple[str, ...], int], calls: Iterable[Mapping[str, Any]]) -> Matches:
    """Match an export with the calls of the ledger, by what the provider called its reply, or by our own names.

    Parameters
    ----------
    calls
        As `corrections.known_calls` returns them.
    """
    known: dict[str, set[int]] = {}
    open_calls: set[int] = set()
    for call in calls:
        is_open = call["status"] in ("unknown", "unverified")
        if is_open:
            open_calls.add(call["id"])
        for name in (call["reply_id"], call["trace_id"], call["request_id"], f"#{call['id']}"):
            if name:
                known.setdefault(name, set()).add(call["id"])
    found: dict[int, int] = {}
    n_settled = n_strange = 0
    for names, nano in costs.items():
        # A request may have had several calls: only one of its that is open can be told by its name.
        of = [known[name] for name in names if name in known]
        mine = next((ids & open_calls for ids in of if len(ids & open_calls) == 1), None)
        if mine:
            (number,) = mine
            found[number] = found.get(number, 0) + nano
        elif of:
            n_settled += 1
        else:
            n_strange += 1
    return Matches(found, len(open_calls), n_settled, n_strange)
