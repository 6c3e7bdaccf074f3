"""What is to be told: a cap that fills up, a breach, a charge of unknown size, a batch or a refit that is over.

Triggers note each as it is written, in its own transaction, so that none is missed whatever ends the process; only what
fills a cap is looked for (`passed_caps`). An event that could not be delivered stays `new`, and is tried again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.money import format_usd
from scrimp.routing.text.in_words import counted

from .batches import charges, counts
from .caps import balance
from .clauses import marks
from .store import instant

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .caps import Cap
    from .store import Ledger

__all__ = [
    "KINDS",
    "MAX_TRIES",
    "Event",
    "claim",
    "delivered",
    "failed",
    "keep",
    "listing",
    "passed_caps",
    "undelivered",
]

KINDS: Final = ("cap", "breach", "unknown", "batch", "refit")

MAX_TRIES: Final = 5
"""How often the delivery of an event is tried."""

_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class Event:
    """One event, or several of a kind that are told together.

    Attributes
    ----------
    ids
        Their numbers in the ledger.
    at
        When it happened, as the ledger spells it.
    kind, profile
        One of `KINDS`, and whose it is.
    message
        What happened, in a sentence. It holds nothing of what was asked or answered.
    data
        The same as plain data; amounts are decimal USD as text.
    """

    ids: tuple[int, ...]
    at: str
    kind: str
    profile: str
    message: str
    data: dict[str, Any]


def passed_caps(
    ledger: Ledger, caps: Iterable[Cap], percents: Sequence[int], *, profile: str, wanted: bool, now: float
) -> list[str]:
    """Note each cap whose window has newly reached one of some percents; return a line for each, once ever.

    Parameters
    ----------
    profile
        Whose event it is.
    wanted
        Whether it is to be delivered; else it is only kept.
    """
    lines = []
    for cap in caps:
        if cap.key is None or cap.limit_nano <= 0 or cap.window not in ("day", "month"):
            continue
        used = sum(balance(ledger, cap.key))
        percent = max((step for step in percents if used * 100 >= step * cap.limit_nano), default=None)
        if percent is None:
            continue
        name = f"{cap.key} {cap.scope} {cap.limit_nano}"
        if ledger.rows("SELECT 1 FROM events WHERE key = ? AND percent >= ?", (name, percent)):
            continue
        said = f"{format_usd(used)} of the {cap.scope} cap of {format_usd(cap.limit_nano)} is used ({percent}% passed)"
        data = {
            "cap": cap.scope,
            "percent": percent,
            "used_usd": _usd(used),
            "limit_usd": _usd(cap.limit_nano),
            "resets_at": ledger.rolls_over_at(cap.window, now),
        }
        with ledger.transaction() as conn:
            fresh = conn.execute(
                "INSERT OR IGNORE INTO events (key, percent, at, profile, kind, subject, data, state) "
                "VALUES (?, ?, ?, ?, 'cap', ?, ?, ?)",
                (
                    name,
                    percent,
                    instant(now),
                    profile,
                    cap.scope,
                    json.dumps({"message": said, **data}),
                    "new" if wanted else "kept",
                ),
            ).rowcount
        if fresh:
            lines.append(said)
    return lines


def keep(ledger: Ledger, profile: str) -> None:
    """Have what is new told to nobody: the profile asks for no alerts."""
    if ledger.rows("SELECT 1 FROM events WHERE state = 'new' AND profile = ? LIMIT 1", (profile,)):
        with ledger.transaction(durable=False) as conn:
            conn.execute("UPDATE events SET state = 'kept' WHERE state = 'new' AND profile = ?", (profile,))


def claim(ledger: Ledger, profile: str, *, now: float, for_s: float) -> Event | None:
    """Return the oldest event that is to be delivered for a profile (None: there is none), for the caller alone.

    Calls of unknown cost are one event. It is left to the caller for some seconds and counted as a try: `delivered` or
    `failed` says what came of it.
    """
    where = "state = 'new' AND profile = ? AND (claimed <= ? OR claimed > ?)"  # a clock that went back does not stop it
    values = (profile, now, now + 3600.0)
    if not ledger.rows(f"SELECT 1 FROM events WHERE {where} LIMIT 1", values):  # noqa: S608 - constants
        return None
    with ledger.transaction() as conn:
        rows = ledger.rows(
            f"SELECT id, at, profile, kind, subject, data FROM events WHERE {where} ORDER BY id",  # noqa: S608 - constants
            values,
        )
        own = [row for row in rows if row["kind"] == "unknown" == rows[0]["kind"]] or rows[:1]
        ids = tuple(row["id"] for row in own)
        conn.execute(
            f"UPDATE events SET claimed = ?, tries = tries + 1 WHERE id IN ({marks(ids)})",  # noqa: S608 - marks
            (now + for_s, *ids),
        )
        return _event(ledger, own) if own else None


def delivered(ledger: Ledger, event: Event) -> None:
    """Note that an event was delivered."""
    with ledger.transaction(durable=False) as conn:
        conn.execute(f"UPDATE events SET state = 'delivered', error = NULL WHERE id IN ({marks(event.ids)})", event.ids)  # noqa: S608 - marks


def failed(ledger: Ledger, event: Event, why: str) -> bool:
    """Note that an event could not be delivered; return whether it is tried again by a later command."""
    with ledger.transaction(durable=False) as conn:
        conn.execute(
            "UPDATE events SET error = ?, claimed = 0, state = CASE WHEN tries >= ? THEN 'given up' ELSE state END "  # noqa: S608 - marks
            f"WHERE id IN ({marks(event.ids)})",
            (why, MAX_TRIES, *event.ids),
        )
    return bool(ledger.rows("SELECT 1 FROM events WHERE id = ? AND state = 'new'", (event.ids[0],)))


def listing(ledger: Ledger | None, *, limit: int) -> list[dict[str, Any]]:
    """Return the last events, newest first."""
    if ledger is None:
        return []
    return ledger.rows(
        "SELECT id, at, profile, kind, subject, percent, state, tries, error FROM events ORDER BY id DESC LIMIT ?",
        (limit,),
    )


def undelivered(ledger: Ledger | None, profile: str) -> tuple[int, str | None]:
    """Return how many of a profile's events were not delivered, given up or not, and why the last was not."""
    if ledger is None:
        return 0, None
    rows = ledger.rows(
        "SELECT count(*) AS n, (SELECT error FROM events WHERE profile = ? AND error IS NOT NULL ORDER BY id DESC "
        "LIMIT 1) AS error FROM events WHERE profile = ? AND state IN ('new', 'given up')",
        (profile, profile),
    )
    return rows[0]["n"], rows[0]["error"]


def _event(ledger: Ledger, rows: list[dict[str, Any]]) -> Event:
    """Put an event together from its row, or several rows of calls."""
    first = rows[0]
    kind, subject = first["kind"], first["subject"]
    told: tuple[str, dict[str, Any]]
    if kind == "cap":
        data = json.loads(first["data"])
        told = str(data.pop("message")), data
    elif kind == "batch":
        told = _batch(ledger, subject)
    elif kind == "refit":
        (refit,) = ledger.rows("SELECT version, forced FROM refits WHERE id = ?", (subject,))
        told = (
            f"refit promoted router {refit['version']}",
            {"version": refit["version"], "forced": bool(refit["forced"])},
        )
    else:
        told = _calls(ledger, kind, [int(row["subject"]) for row in rows])
    return Event(tuple(row["id"] for row in rows), first["at"], kind, first["profile"], *told)


def _calls(ledger: Ledger, kind: str, calls: list[int]) -> tuple[str, dict[str, Any]]:
    shown = calls[:_SHOWN]
    rows = ledger.rows(
        f"SELECT id, arm, reserved_nano, charged_nano FROM reservations WHERE id IN ({marks(shown)})",  # noqa: S608 - marks
        shown,
    )
    arms = sorted({row["arm"] for row in rows})
    charged = sum(row["charged_nano"] for row in rows)
    data = {"calls": shown, "n": len(calls), "arms": arms, "charged_usd": _usd(charged)}
    if kind == "breach":
        data["bound_usd"] = _usd(sum(row["reserved_nano"] for row in rows))
        return f"{', '.join(arms)} charged {format_usd(charged)}, above its enforced bound: it is suspended", data
    n = counted(len(calls), "call")
    return f"{n} of unknown cost: charged at the bound until reconciled (scrimp spend --open)", data


def _batch(ledger: Ledger, run_id: str) -> tuple[str, dict[str, Any]]:
    (run,) = ledger.rows("SELECT status, n_rows FROM batch_runs WHERE id = ?", (run_id,)) or [
        {"status": "gone", "n_rows": 0}
    ]
    rows, charged = counts(ledger, run_id), charges(ledger, run_id)[1]
    said = ", ".join(f"{n:,} {status}" for status, n in sorted(rows.items())) or "no rows"
    data = {"run": run_id, **run, "rows": rows, "charged_usd": _usd(charged)}
    return f"batch {run_id} is {run['status']}: {said}; {format_usd(charged)}", data


def _usd(nano: int) -> str:
    """Return an amount as decimal USD, exact."""
    whole, rest = divmod(nano, 10**9)
    return f"{whole}.{rest:09d}"
