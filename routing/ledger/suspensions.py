"""Arms that once charged above their bound: they take no calls until the user says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrimp.profiles.errors import ArmUnavailableError
from scrimp.profiles.money import format_usd

from .store import instant

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from .store import Ledger

__all__ = ["SuspendedError", "clear_suspension", "lift", "stopping", "suspend", "suspensions"]


class SuspendedError(ArmUnavailableError):
    """The arm once charged above its bound, and takes no calls until the user says so."""

    def __init__(self, profile: str, arm: str, reason: str) -> None:
        super().__init__(
            f"arm {arm} of profile {profile} is suspended: {reason}",
            hint=f"`scrimp models resume {arm} -p {profile}` lets it take calls again.",
        )


def suspensions(ledger: Ledger, profile: str) -> dict[str, str]:
    """Return the suspended arms of a profile, and why."""
    rows = ledger.rows("SELECT arm, reason FROM suspensions WHERE profile = ?", (profile,))
    return {row["arm"]: row["reason"] for row in rows}


def clear_suspension(ledger: Ledger, profile: str, arm: str) -> bool:
    """Let a suspended arm take calls again; return False when it was not suspended."""
    with ledger.transaction() as conn:
        return conn.execute("DELETE FROM suspensions WHERE profile = ? AND arm = ?", (profile, arm)).rowcount > 0


def suspend(conn: sqlite3.Connection, row: Mapping[str, Any], cost_nano: int, *, now: float) -> bool:
    """Stop an arm that charged more than was held for a call, in the caller's transaction; False where it was stopped.

    Parameters
    ----------
    row
        The call's reservation, before it is charged.
    """
    calls = _calls(conn, row)
    if calls is not None:
        _keep(conn, row, [*calls, str(row["id"])] if str(row["id"]) not in calls else calls)
        return False
    conn.execute(
        "INSERT INTO suspensions (profile, arm, at, reason, calls) VALUES (?, ?, ?, ?, ?)",
        (
            row["profile"],
            row["arm"],
            instant(now),
            f"call {row['id']} cost {format_usd(cost_nano)}, above its bound of {format_usd(row['reserved_nano'])}"
            if cost_nano > row["reserved_nano"]
            else f"call {row['id']} cost {format_usd(cost_nano)}, and {format_usd(row['charged_nano'])} was reported",
            str(row["id"]),
        ),
    )
    return True


def lift(conn: sqlite3.Connection, row: Mapping[str, Any]) -> bool:
    """Let an arm take calls again that was stopped for a call that turned out to be no breach; tell whether it does.

    It stays stopped where another call is a reason, too.

    Parameters
    ----------
    row
        The call's reservation; it does not count as a breach any more.
    """
    calls = _calls(conn, row)
    if calls is None or str(row["id"]) not in calls:
        return False
    calls.remove(str(row["id"]))
    _keep(conn, row, calls)
    return not calls


def stopping(conn: sqlite3.Connection, row: Mapping[str, Any]) -> bool:
    """Tell whether a call is a reason why its arm is stopped."""
    return str(row["id"]) in (_calls(conn, row) or ())


def _calls(conn: sqlite3.Connection, row: Mapping[str, Any]) -> list[str] | None:
    """Return the numbers of the calls that an arm is stopped for; None where it is not."""
    found = conn.execute(
        "SELECT calls FROM suspensions WHERE profile = ? AND arm = ?", (row["profile"], row["arm"])
    ).fetchone()
    return None if found is None else found[0].split()


def _keep(conn: sqlite3.Connection, row: Mapping[str, Any], calls: list[str]) -> None:
    """Set what calls an arm is stopped for; it takes calls again where there is none."""
    where = (row["profile"], row["arm"])
    if not calls:
        conn.execute("DELETE FROM suspensions WHERE profile = ? AND arm = ?", where)
        return
    reason = conn.execute("SELECT reason FROM suspensions WHERE profile = ? AND arm = ?", where).fetchone()[0]
    if not reason.startswith(f"call {calls[0]} "):
        (charged,) = conn.execute("SELECT charged_nano FROM reservations WHERE id = ?", (calls[0],)).fetchone()
        reason = f"call {calls[0]} cost {format_usd(charged)}, more than was held or reported"
    conn.execute(
        "UPDATE suspensions SET calls = ?, reason = ? WHERE profile = ? AND arm = ?", (" ".join(calls), reason, *where)
    )
