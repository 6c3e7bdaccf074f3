"""What was handed over to providers' Batch APIs: each batch by a name of our own, and the reservations it holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .clauses import named
from .store import instant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .store import Ledger

__all__ = [
    "Handed",
    "Held",
    "added",
    "batch_times",
    "calls_of",
    "cut_off",
    "kept_decision",
    "known_ids",
    "listed",
    "n_held",
    "out_of_reach",
    "record",
    "standing",
    "still_held",
    "waiting_runs",
]

KEPT_S: Final = 29 * 86_400.0
"""How long a batch's results are to be had after it was to end, seconds: Anthropic's 29 days."""

_WINDOW_S: Final = 86_400.0
_LAST: Final = 50


@dataclass(frozen=True, slots=True)
class Handed:
    """A batch at a provider.

    Attributes
    ----------
    id
        Our name for it, which it has at the provider too.
    api, url
        Whose Batch API, and the address of a call that goes there.
    provider_id
        The provider's own; None until that is known.
    status
        submitting (it may have been made or not) | going | ended | failed (refused as a whole) | lost (never made).
    word
        The provider's word for that.
    at, expires_at, ended_at
        When it was handed over, is given up, and was over, as the ledger spells time.
    n_held
        Calls of it that are not settled.
    """

    id: str
    run_id: str
    arm: str
    api: str
    url: str
    provider_id: str | None
    status: str
    word: str | None
    n_calls: int
    n_done: int | None
    at: str
    expires_at: str | None
    ended_at: str | None
    n_held: int = 0


@dataclass(frozen=True, slots=True)
class Held:
    """A call that a provider's batch holds.

    Attributes
    ----------
    id, bound_nano
        The reservation, and its bound in nano-USD.
    custom_id
        By which its result is told.
    model, input_bound, output_limit
        What was asked, as the log has it; None where it has not.
    price
        JSON of the price that it is charged at; None where that is not on record.
    """

    id: int
    bound_nano: int
    profile: str
    arm: str
    request_id: str
    custom_id: str
    model: str | None
    input_bound: int | None
    output_limit: int | None
    price: str | None


_COLUMNS: Final = ", ".join(f"b.{name}" for name in Handed.__slots__ if name != "n_held")
_N_HELD: Final = (
    "(SELECT count(*) FROM provider_batch_calls c JOIN reservations r ON r.id = c.reservation_id "
    "WHERE c.batch_id = b.id AND r.status = 'reserved') AS n_held"
)


def record(ledger: Ledger, batch: Handed, calls: Sequence[tuple[int, str, str | None]]) -> None:
    """Record a batch before it is handed over, and that it holds some reservations.

    They count as sent from here on, and outlive the process.

    Parameters
    ----------
    calls
        Of each: the reservation, the custom id, and the decision (JSON) where the log keeps none.
    """
    with ledger.transaction() as conn:
        values = {name: getattr(batch, name) for name in Handed.__slots__ if name != "n_held"}
        ledger.insert("provider_batches", values)
        conn.executemany(
            "INSERT INTO provider_batch_calls (batch_id, reservation_id, custom_id, decision) VALUES (?, ?, ?, ?)",
            [(batch.id, *call) for call in calls],
        )
        conn.executemany(
            "UPDATE reservations SET holder = ?, sent = 1 WHERE id = ? AND status = 'reserved'",
            [(f"{batch.api}:{batch.id}", call[0]) for call in calls],
        )


def standing(ledger: Ledger, name: str, **changed: object) -> None:
    """Note how a batch stands: columns of `provider_batches`."""
    with ledger.transaction():
        ledger.update("provider_batches", ("id", name), changed)


def _batches(ledger: Ledger, where: str, parameters: Sequence[object]) -> list[Handed]:
    sql = f"SELECT {_COLUMNS}, {_N_HELD} FROM provider_batches b WHERE {where} ORDER BY b.at, b.id"  # noqa: S608 - constants
    return [Handed(**row) for row in ledger.rows(sql, parameters)]


def still_held(ledger: Ledger, run_id: str) -> list[Handed]:
    """Return the batches of a run that hold calls."""
    return [each for each in _batches(ledger, "b.run_id = ?", (run_id,)) if each.n_held]


def listed(ledger: Ledger | None, which: str | None) -> list[Handed]:
    """Return the batches of a run (`last`: the newest), or the one of that name; without either all that hold calls."""
    if ledger is None:
        return []
    if which is None:
        return [each for each in _batches(ledger, "1", ()) if each.n_held]
    where, parameters = named(which)
    if which == "last":
        where, parameters = "id = (SELECT id FROM batch_runs ORDER BY created_at DESC, id DESC LIMIT 1)", ()
    runs = ledger.rows(f"SELECT id FROM batch_runs WHERE {where}", parameters)  # noqa: S608 - as `named` makes it
    if len(runs) == 1:
        return _batches(ledger, "b.run_id = ?", (runs[0]["id"],))
    return _batches(ledger, "b.id = ? OR b.provider_id = ?", (which, which))


def calls_of(ledger: Ledger, name: str) -> list[Held]:
    """Return the calls that a batch holds, in the order in which they were handed over."""
    rows = ledger.rows(
        "SELECT r.id, r.reserved_nano AS bound_nano, r.profile, r.arm, r.request_id, c.custom_id, "
        "a.requested_model AS model, a.input_bound, a.output_limit, p.json AS price "
        "FROM provider_batch_calls c JOIN reservations r ON r.id = c.reservation_id "
        "LEFT JOIN attempts a ON a.id = r.id LEFT JOIN prices p ON p.id = r.price_id "
        "WHERE c.batch_id = ? AND r.status = 'reserved' ORDER BY r.id",
        (name,),
    )
    return [Held(**row) for row in rows]


def added(ledger: Ledger, name: str) -> list[str]:
    """Return the custom ids of all requests of a batch, in the order in which they were handed over."""
    rows = ledger.rows("SELECT custom_id FROM provider_batch_calls WHERE batch_id = ? ORDER BY reservation_id", (name,))
    return [row["custom_id"] for row in rows]


def known_ids(ledger: Ledger) -> frozenset[str]:
    """Return the providers' own ids of batches, as far as they are known."""
    rows = ledger.rows("SELECT provider_id FROM provider_batches WHERE provider_id IS NOT NULL")
    return frozenset(row["provider_id"] for row in rows)


def kept_decision(ledger: Ledger, request_id: str) -> str | None:
    """Return the decision (JSON) of a request that a batch holds a call of, where the log keeps none."""
    rows = ledger.rows(
        "SELECT c.decision FROM reservations r JOIN provider_batch_calls c ON c.reservation_id = r.id "
        "WHERE r.request_id = ? AND c.decision IS NOT NULL ORDER BY r.id DESC LIMIT 1",
        (request_id,),
    )
    return rows[0]["decision"] if rows else None


def n_held(ledger: Ledger, run_id: str) -> int:
    """Return how many calls of a run providers' batches hold."""
    return sum(each.n_held for each in still_held(ledger, run_id))


def waiting_runs(ledger: Ledger | None) -> list[str]:
    """Return the runs that have calls at providers, the oldest first."""
    return list(dict.fromkeys(each.run_id for each in listed(ledger, None)))


def batch_times(ledger: Ledger | None, api: str) -> list[float]:
    """Return how long the last batches of an API took, seconds, from their being handed over to their end."""
    if ledger is None:
        return []
    rows = ledger.rows(
        "SELECT (julianday(ended_at) - julianday(at)) * 86400.0 AS s FROM provider_batches "
        "WHERE api = ? AND status = 'ended' AND ended_at IS NOT NULL AND word NOT LIKE '%cancel%' "
        "ORDER BY at DESC LIMIT ?",
        (api, _LAST),
    )
    return [max(0.0, float(row["s"])) for row in rows]


def out_of_reach(ledger: Ledger, *, now: float) -> list[int]:
    """Return the reservations whose batch ended so long ago that its results are not to be had any more."""
    rows = ledger.rows(
        "SELECT r.id FROM reservations r JOIN provider_batch_calls c ON c.reservation_id = r.id "
        "JOIN provider_batches b ON b.id = c.batch_id WHERE r.status = 'reserved' AND r.holder IS NOT NULL "
        "AND coalesce(b.expires_at, b.at) < ?",
        (instant(now - KEPT_S - _WINDOW_S),),
    )
    return [row["id"] for row in rows]


def cut_off(ledger: Ledger, run_id: str) -> None:
    """Forget the decisions that were kept for a run's calls, once it is over."""
    with ledger.transaction() as conn:
        conn.execute(
            "UPDATE provider_batch_calls SET decision = NULL WHERE decision IS NOT NULL AND batch_id IN "
            "(SELECT id FROM provider_batches WHERE run_id = ?)",
            (run_id,),
        )
