"""Requests of the log with all that is on record of each, as the page to browse shows them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from scrimp.routing.ledger import overview
from scrimp.routing.ledger.attempts import attempts_of
from scrimp.routing.ledger.labels import labels_of
from scrimp.routing.ledger.steps import steps_of

from .log import list_requests
from .quality import worth_of

if TYPE_CHECKING:
    from scrimp.routing.ledger.store import Ledger

__all__ = ["Entry", "entries"]

TEXT: Final = 3_000_000
"""Characters of prompts and answers on one page, at most about; the rest of a longer text is in `log show`."""

_MOST: Final = 8_000
_LEAST: Final = 300


@dataclass(frozen=True, slots=True)
class Entry:
    """One request.

    Attributes
    ----------
    row
        As `list_requests` gives it.
    more
        As `ledger.overview.entries` gives it: texts are cut.
    decision
        The trace as plain data; None where it was not kept.
    attempts, steps, labels
        Its calls, the steps of its plan, and what was said of its answers.
    worth
        How good the answer was, in [0, 1]; None where nothing says so.
    """

    row: dict[str, Any]
    more: dict[str, Any]
    decision: dict[str, Any] | None
    attempts: list[dict[str, Any]]
    steps: list[dict[str, Any]]
    labels: list[dict[str, Any]]
    worth: float | None

    @property
    def predicted(self) -> float | None:
        """What was predicted of the answer's quality, in [0, 1]; None where that is not known."""
        trace = self.decision or {}
        expected = (trace.get("plan") or {}).get("expected")
        if expected is not None:
            return _number(expected.get("quality"))
        arms = trace.get("arms") or ()
        return next((_number(each.get("quality")) for each in arms if each.get("name") == self.row["arm"]), None)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def entries(ledger: Ledger | None, *, now: float, days: float | None = None, **filters: Any) -> list[Entry]:
    """Return requests, newest first.

    Parameters
    ----------
    ledger
        None where there is none yet.
    now, days, filters
        As for `list_requests`.
    """
    if ledger is None:
        return []
    rows = list_requests(ledger, now=now, days=days, **filters)
    n_chars = min(_MOST, max(_LEAST, TEXT // max(1, 2 * len(rows))))
    more = overview.entries(ledger, [row["id"] for row in rows], n_chars=n_chars)
    found = []
    for row in rows:
        if row["id"] not in more:  # forgotten meanwhile
            continue
        labels = labels_of(ledger, row["id"])
        found.append(
            Entry(
                row=row,
                more=more[row["id"]],
                decision=_object(more[row["id"]]["decision"]),
                attempts=attempts_of(ledger, row["id"]),
                steps=steps_of(ledger, row["id"]),
                labels=labels,
                worth=worth_of(labels, row["arm"]),
            )
        )
    return found


def _object(text: str | None) -> dict[str, Any] | None:
    try:
        found = json.loads(text or "null")
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
