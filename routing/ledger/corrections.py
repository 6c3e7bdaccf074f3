"""What a user says that calls truly cost, and taking that back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import LedgerError, UsageError
from scrimp.profiles.money import format_usd

from .process import Holder, look
from .reservations import MAX_CALL_NANO, believed_nano, holder_of, recharge, reservation_row
from .store import instant, new_id
from .suspensions import lift, stopping, suspend

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from .store import Ledger

__all__ = ["Correction", "correct", "known_calls", "undo"]

_KNOWN: Final = ("settled", "released")
"""States of calls whose cost is known already."""


@dataclass(frozen=True, slots=True)
class Correction:
    """A call whose charge was changed by hand.

    Attributes
    ----------
    row
        Its reservation as it was.
    status, nano
        What it is now, and what it is charged, nano-USD.
    stopped, resumed
        Whether its arm was suspended for that, or takes calls again.
    """

    row: Mapping[str, Any]
    status: str
    nano: int
    stopped: bool = False
    resumed: bool = False


def correct(ledger: Ledger, costs: Mapping[int, int], *, now: float, sure: bool = False) -> list[Correction]:
    """Set what calls truly cost (nano-USD, by their numbers), as the provider's bill says: all of them or none.

    An `unknown` or `unverified` call costs at most its reservation, or its arm is suspended. So is the arm of a call
    that cost more than its provider had reported: what it reports cannot be relied on, and the caps may be passed. An
    arm that was suspended for a call takes calls again once that call is no breach any more.

    Parameters
    ----------
    sure
        Change calls, too, whose cost is known already, and those that a process holds that cannot be seen from here.

    Raises
    ------
    UsageError
        If there is no such call, it is in flight, its cost is known already, or the amount is out of range.
    """
    change = new_id(now)
    done = []
    with ledger.transaction() as conn:
        for call, nano in costs.items():
            if believed_nano(nano) is None:
                raise UsageError(f"a call costs from $0 to {format_usd(MAX_CALL_NANO)}, not {format_usd(nano)}")
            row = _call(conn, call)
            _check_free(row, nano, sure=sure)
            held = row["charged_nano"] if row["status"] in _KNOWN else row["reserved_nano"]
            breach = nano > held or nano > row["reserved_nano"]
            note = f"reconciled by hand (was {row['status']}, {format_usd(row['charged_nano'])})"
            _remember(ledger, change, row, nano, now=now)
            recharge(conn, row, "settled", nano, at=instant(now), breach=breach, note=note)
            ledger.update("attempts", ("id", call), {"cost_nano": nano})
            stopped = breach and suspend(conn, row, nano, now=now)
            resumed = not breach and lift(conn, row)
            done.append(Correction(row, "settled", nano, stopped, resumed))
    return done


def _call(conn: sqlite3.Connection, call: int) -> dict[str, Any]:
    try:
        return reservation_row(conn, call)
    except LedgerError:
        raise UsageError(
            f"no call {call} in the ledger", hint="`scrimp spend --open` lists what can be reconciled."
        ) from None


def _check_free(row: Mapping[str, Any], nano: int, *, sure: bool) -> None:
    """Refuse to change a call that may still settle itself, or whose cost is known."""
    if row["status"] == "reserved" and row["holder"] is not None and not sure:
        raise UsageError(
            f"call {row['id']} is held by the provider's batch {row['holder']}: it will settle itself",
            hint="`scrimp batch collect` fetches what is done; add --yes to set its cost all the same.",
        )
    if row["status"] == "reserved" and row["holder"] is None:
        holder = look(holder_of(row))
        if holder is Holder.ALIVE:
            raise UsageError(
                f"call {row['id']} is still in flight (process {row['pid']})",
                hint="Wait for it to end, or end its process first.",
            )
        if holder is Holder.ELSEWHERE and not sure:
            where = (row["host"] or "another machine").partition("/")[0]
            raise UsageError(
                f"call {row['id']} is held by a process on {where} since {row['at'][:16]}Z: "
                "it cannot be told from here whether that still runs",
                hint="If you know that it does not, add --yes.",
            )
    elif row["status"] in _KNOWN and not sure:
        raise UsageError(
            f"call {row['id']} is {row['status']} already, at {format_usd(row['charged_nano'])}",
            hint=f"Add --yes to set it to {format_usd(nano)} all the same.",
        )


def _remember(ledger: Ledger, change: str, row: Mapping[str, Any], nano: int, *, now: float) -> None:
    """Keep a call as it was, for `undo`, in the caller's transaction."""
    found = ledger.rows("SELECT cost_nano FROM attempts WHERE id = ?", (row["id"],))
    ledger.insert(
        "corrections",
        {
            "change_id": change,
            "at": instant(now),
            "call": row["id"],
            # Nobody settles it any more: taken back, it is a call of unknown cost.
            "was_status": "unknown" if row["status"] == "reserved" else row["status"],
            "was_charged_nano": row["charged_nano"],
            "was_breach": row["breach"],
            "was_stopping": int(stopping(ledger.conn, row)),
            "was_settled_at": row["settled_at"],
            "was_note": row["note"],
            "was_cost_nano": found[0]["cost_nano"] if found else None,
            "now_nano": nano,
        },
    )


def undo(ledger: Ledger, call: int | None, *, now: float) -> list[Correction]:
    """Take back the last correction: of one call, or (None) the last one of all, with the calls that it was about.

    Raises
    ------
    UsageError
        If there is none.
    """
    last = "change_id = (SELECT change_id FROM corrections WHERE undone_at IS NULL ORDER BY id DESC LIMIT 1)"
    one = "id = (SELECT max(id) FROM corrections WHERE undone_at IS NULL AND call = ?)"
    which, parameters = (last, ()) if call is None else (one, (call,))
    done = []
    with ledger.transaction() as conn:
        sql = f"SELECT * FROM corrections WHERE undone_at IS NULL AND {which} ORDER BY id DESC"  # noqa: S608 - constants
        found = ledger.rows(sql, parameters)
        if not found:
            raise UsageError("there is no correction to take back" + (f" of call {call}" if call is not None else ""))
        for was in found:
            row = _call(conn, was["call"])
            nano, breach = was["was_charged_nano"], bool(was["was_breach"])
            recharge(conn, row, was["was_status"], nano, at=was["was_settled_at"], breach=breach)
            ledger.update("reservations", ("id", row["id"]), {"note": was["was_note"]})
            ledger.update("attempts", ("id", row["id"]), {"cost_nano": was["was_cost_nano"]})
            ledger.update("corrections", ("id", was["id"]), {"undone_at": instant(now)})
            stopped = bool(was["was_stopping"]) and suspend(conn, row, nano, now=now)
            resumed = not was["was_stopping"] and lift(conn, row)
            done.append(Correction(row, was["was_status"], nano, stopped, resumed))
    return done


def known_calls(ledger: Ledger) -> list[dict[str, Any]]:
    """Return every call as a bill may name it: id, request_id, status, reserved_nano, reply_id and trace_id."""
    return ledger.rows(
        "SELECT r.id, r.request_id, r.status, r.reserved_nano, a.reply_id, a.trace_id FROM reservations r "
        "LEFT JOIN attempts a ON a.id = r.id ORDER BY r.id"
    )
