"""Sums over the ledger's money: by day, week, month, arm, profile, source or tag."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.money import usd_from_nano

if TYPE_CHECKING:
    from scrimp.routing.ledger.caps import CapState
    from scrimp.routing.ledger.store import Ledger

__all__ = ["GROUPS", "Sum", "cap_dict", "open_calls", "sums"]

GROUPS: Final = {
    "day": "r.day",
    "week": "strftime('%Y-W%W', r.day)",
    "month": "r.month",
    "arm": "r.profile || '/' || r.arm",
    "profile": "r.profile",
    "source": "coalesce(r.source, '-')",
    "tag": "coalesce(r.tag, '-')",
}
"""What spending can be summed by, and how that reads in SQL."""


@dataclass(frozen=True, slots=True)
class Sum:
    """What one group cost, nano-USD. Unverified and unknown calls stand at their reservations."""

    name: str
    n_calls: int
    charged_nano: int
    settled_nano: int
    unverified_nano: int
    reserved_nano: int
    unknown_nano: int
    n_breaches: int
    input_tokens: int | None
    output_tokens: int | None

    def to_dict(self) -> dict[str, Any]:
        """Return it with amounts in USD."""
        data = asdict(self)
        return {
            (key.removesuffix("_nano") + "_usd" if key.endswith("_nano") else key): (
                usd_from_nano(value) if key.endswith("_nano") else value
            )
            for key, value in data.items()
        }


def sums(
    ledger: Ledger, by: str, *, since_day: str | None = None, profile: str | None = None, arm: str | None = None
) -> list[Sum]:
    """Return the sums of a grouping of `GROUPS`: by time in order of time, else dearest first."""
    where, parameters = ["1"], []
    for condition, value in (("r.day >= ?", since_day), ("r.profile = ?", profile), ("r.arm = ?", arm)):
        if value is not None:
            where.append(condition)
            parameters.append(value)
    order = "name" if by in ("day", "week", "month") else "charged DESC, name"
    rows = ledger.rows(
        f"SELECT {GROUPS[by]} AS name, count(*) AS n, sum(r.charged_nano) AS charged, "  # noqa: S608 - constants
        "sum(CASE WHEN r.status IN ('settled', 'released') THEN r.charged_nano ELSE 0 END) AS settled, "
        "sum(CASE WHEN r.status = 'unverified' THEN r.charged_nano ELSE 0 END) AS unverified, "
        "sum(CASE WHEN r.status = 'reserved' THEN r.charged_nano ELSE 0 END) AS reserved, "
        "sum(CASE WHEN r.status = 'unknown' THEN r.charged_nano ELSE 0 END) AS unknown, "
        "sum(r.breach) AS breaches, sum(a.input_tokens) AS tokens_in, sum(a.output_tokens) AS tokens_out "
        f"FROM reservations r LEFT JOIN attempts a ON a.id = r.id WHERE {' AND '.join(where)} "
        f"GROUP BY 1 ORDER BY {order}",
        parameters,
    )
    return [
        Sum(
            name=row["name"],
            n_calls=row["n"],
            charged_nano=row["charged"],
            settled_nano=row["settled"],
            unverified_nano=row["unverified"],
            reserved_nano=row["reserved"],
            unknown_nano=row["unknown"],
            n_breaches=row["breaches"],
            input_tokens=row["tokens_in"],
            output_tokens=row["tokens_out"],
        )
        for row in rows
    ]


def open_calls(ledger: Ledger) -> list[dict[str, Any]]:
    """Return the calls whose true cost is not known: in flight, unknown or unverified."""
    return ledger.rows(
        "SELECT id, request_id, at, profile, arm, status, charged_nano, note FROM reservations "
        "WHERE status IN ('reserved', 'unknown', 'unverified') AND charged_nano > 0 ORDER BY id"
    )


def cap_dict(state: CapState) -> dict[str, Any]:
    """Return a cap's state as `spend --json` spells it."""
    return {
        "scope": state.cap.scope,
        "limit_usd": usd_from_nano(state.cap.limit_nano),
        "settled_usd": usd_from_nano(state.settled_nano),
        "reserved_usd": usd_from_nano(state.reserved_nano),
        "unknown_usd": usd_from_nano(state.unknown_nano),
        "left_usd": usd_from_nano(state.left_nano),
        "resets_at": state.resets_at,
    }
