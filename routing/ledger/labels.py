"""Labels: what is known of how good an answer was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .store import Ledger

__all__ = ["TRUTH", "add_label"]


TRUTH: Final = ("rating", "import", "probe", "audit")
"""Sources of labels that say how good an answer was without being a check themselves."""


def add_label(
    ledger: Ledger,
    *,
    request_id: str,
    arm: str,
    reward: float,
    source: str,
    at: str,
    weight: float = 1.0,
    note: str | None = None,
) -> None:
    """Record an observed quality in [0, 1]; a newer label of the same source replaces the older one when read."""
    with ledger.transaction():
        ledger.insert(
            "labels",
            {
                "request_id": request_id,
                "arm": arm,
                "reward": reward,
                "source": source,
                "weight": weight,
                "note": note,
                "at": at,
            },
        )
