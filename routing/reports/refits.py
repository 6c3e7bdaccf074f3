"""The refits of the log: what was tried, what the test said, and by how much."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scrimp.routing.ledger import overview
from scrimp.routing.ledger.store import instant

if TYPE_CHECKING:
    from scrimp.routing.ledger.store import Ledger

__all__ = ["Refitted", "refit_history"]


@dataclass(frozen=True, slots=True)
class Refitted:
    """One refit.

    Attributes
    ----------
    verdict
        "promoted", "refused" or "no-change"; `forced` where it was promoted whatever the test said.
    version
        The router that was fitted; None where none was kept.
    gain, low, high
        Utility gained over the router in force then, USD a prompt, with the test's interval; None where nothing could
        be told.
    reasons
        The gate's, in words.
    n_labels, n_judged
        Labels that were read, and prompts that it was judged on; None where that is not on record.
    """

    at: str
    profile: str
    verdict: str
    version: str | None
    forced: bool
    gain: float | None
    low: float | None
    high: float | None
    reasons: tuple[str, ...]
    n_labels: int | None
    n_judged: int | None


def refit_history(ledger: Ledger | None, *, since: float | None = None, profile: str | None = None) -> list[Refitted]:
    """Return the refits of a profile (of all), oldest first, from this POSIX time on."""
    if ledger is None:
        return []
    rows = overview.refits(ledger, since=None if since is None else instant(since), profile=profile)
    return [_refitted(row) for row in rows]


def _refitted(row: dict[str, Any]) -> Refitted:
    try:
        data = json.loads(row["data"] or "{}")
    except (ValueError, RecursionError):
        data = {}
    gain = data.get("gain_utility") or {}
    return Refitted(
        at=row["at"],
        profile=row["profile"],
        verdict=row["verdict"],
        version=row["version"],
        forced=bool(row["forced"]),
        gain=gain.get("estimate"),
        low=gain.get("low"),
        high=gain.get("high"),
        reasons=tuple(map(str, data.get("reasons") or ())),
        n_labels=data.get("n_labels"),
        n_judged=data.get("n_judged"),
    )
