"""Whether running sums are those of the calls: those that caps are checked by (`balances`), and by day (`spent`)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from .caps import window_keys
from .clauses import all_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .store import Ledger

__all__ = ["audit_balances", "audit_some"]

_KEY: Final = "r.day, r.profile, r.arm, coalesce(r.source, '-') AS source, coalesce(r.tag, '-') AS tag"
_SUMS: Final = ("n_calls", "charged_nano", "reserved_nano", "unknown_nano", "unverified_nano", "n_breaches",
                "n_input", "input_tokens", "n_output", "output_tokens")  # fmt: skip

_Pair = tuple[tuple[int, ...], tuple[int, ...]]

_MARK: Final = "audited_day"
_MANY: Final = 50_000
"""Calls of one day that are summed up at once; a day with more is left to an audit of all."""


def audit_balances(ledger: Ledger) -> dict[str, _Pair]:
    """Return the running sums that disagree with the calls: as kept, and as summed.

    Windows of caps by their keys, with (live, fixed); a day's sums by `spent:` and what they are of. This reads every
    call: some seconds for a million.
    """
    with ledger.reading():
        return _audit(ledger)


def _audit(ledger: Ledger) -> dict[str, _Pair]:
    kept: dict[str, tuple[int, ...]] = {
        row["key"]: (row["live_nano"], row["fixed_nano"]) for row in ledger.rows("SELECT * FROM balances")
    }
    summed: dict[str, tuple[int, ...]] = {}
    rows = ledger.rows(
        "SELECT profile, arm, run_id, day, month, sum(CASE WHEN status = 'reserved' THEN charged_nano ELSE 0 END) "
        "AS live, sum(charged_nano) AS nano FROM reservations GROUP BY 1, 2, 3, 4, 5"
    )
    for row in rows:
        for key in window_keys(row["profile"], row["arm"], row["run_id"], row["day"], row["month"]):
            live, fixed = summed.get(key, (0, 0))
            summed[key] = (live + row["live"], fixed + row["nano"] - row["live"])
    return _differ(kept, summed, (0, 0)) | _differ(_spent(ledger), _calls(ledger), (0,) * len(_SUMS))


def audit_some(ledger: Ledger, *, seconds: float) -> tuple[dict[str, _Pair], str]:
    """Look at what can be looked at soon: return the sums that disagree, and the day until which the calls were summed.

    The windows of caps over days and months are held against the sums by day, all of them. Those are held against the
    calls day by day, from where it was left the last time, until the time is over: one at least.
    """
    with ledger.reading():
        windows = ledger.rows("SELECT key, live_nano, fixed_nano FROM balances WHERE key < 'run:'")
        spent = ledger.rows(
            "SELECT day, profile, arm, sum(reserved_nano) AS live, sum(charged_nano) AS nano, sum(n_calls) AS n "
            "FROM spent GROUP BY 1, 2, 3"
        )
    kept: dict[str, tuple[int, ...]] = {row["key"]: (row["live_nano"], row["fixed_nano"]) for row in windows}
    summed: dict[str, tuple[int, ...]] = {}
    days: dict[str, int] = {}
    for row in spent:
        days[row["day"]] = days.get(row["day"], 0) + row["n"]
        for key in window_keys(row["profile"], row["arm"], None, row["day"], row["day"][:7]):
            live, fixed = summed.get(key, (0, 0))
            summed[key] = (live + row["live"], fixed + row["nano"] - row["live"])
    wrong = _differ(kept, summed, (0, 0))
    until = time.monotonic() + seconds
    mark = next((row["value"] for row in ledger.rows("SELECT value FROM meta WHERE key = ?", (_MARK,))), "")
    order = sorted(days)
    after = [day for day in order if day > mark]
    for day in after + order[: len(order) - len(after)]:
        if days[day] <= _MANY:
            with ledger.reading():
                wrong |= _differ(_spent(ledger, day), _calls(ledger, day), (0,) * len(_SUMS))
        mark = day
        if time.monotonic() >= until:
            break
    with ledger.transaction(durable=False) as conn:
        conn.execute(
            "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (_MARK, mark),
        )
    return wrong, mark


def _spent(ledger: Ledger, day: str | None = None) -> dict[str, tuple[int, ...]]:
    where, parameters = all_of(("r.day = ?", day))
    return _named(ledger.rows(f"SELECT {_KEY}, {', '.join(_SUMS)} FROM spent r WHERE {where}", parameters))  # noqa: S608 - constants


def _calls(ledger: Ledger, day: str | None = None) -> dict[str, tuple[int, ...]]:
    """Return the sums by day as the calls have them; of one day those by their instants, which have an index."""
    where, parameters = all_of(
        ("r.day = ?", day), ("r.at >= date(?, '-2 days')", day), ("r.at < date(?, '+3 days')", day)
    )
    by_status = ", ".join(
        f"sum(CASE WHEN r.status = '{status}' THEN r.charged_nano ELSE 0 END) AS {status}_nano"
        for status in ("reserved", "unknown", "unverified")
    )
    return _named(
        ledger.rows(
            f"SELECT {_KEY}, count(*) AS n_calls, sum(r.charged_nano) AS charged_nano, {by_status}, "  # noqa: S608 - constants
            "sum(r.breach) AS n_breaches, count(a.input_tokens) AS n_input, "
            "coalesce(sum(a.input_tokens), 0) AS input_tokens, count(a.output_tokens) AS n_output, "
            "coalesce(sum(a.output_tokens), 0) AS output_tokens "
            f"FROM reservations r LEFT JOIN attempts a ON a.id = r.id WHERE {where} GROUP BY 1, 2, 3, 4, 5",
            parameters,
        )
    )


def _named(rows: Iterable[dict[str, int]]) -> dict[str, tuple[int, ...]]:
    return {
        f"spent:{row['day']}|p:{row['profile']}|a:{row['arm']}|{row['source']}|{row['tag']}": tuple(
            row[name] for name in _SUMS
        )
        for row in rows
    }


def _differ(
    kept: dict[str, tuple[int, ...]], summed: dict[str, tuple[int, ...]], nothing: tuple[int, ...]
) -> dict[str, _Pair]:
    return {
        key: (kept.get(key, nothing), summed.get(key, nothing))
        for key in kept.keys() | summed.keys()
        if kept.get(key, nothing) != summed.get(key, nothing)
    }
