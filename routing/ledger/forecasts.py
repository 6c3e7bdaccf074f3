"""How long answers were against what was predicted of them, as the log has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrimp.profiles.rungs import bare_of

from .clauses import all_of
from .past_calls import ASIDE

if TYPE_CHECKING:
    from .store import Ledger

__all__ = ["forecasts"]


def forecasts(
    ledger: Ledger, span: tuple[int, int], *, since: str | None = None
) -> list[tuple[str, str, int, int, int]]:
    """Return of every answer whose length was predicted: profile, arm, tokens, predicted 90th percentile, limit.

    Parameters
    ----------
    span
        The first and the last number of the calls.
    since
        Only calls from this instant on.

    Returns
    -------
    The arm without a reading.
    """
    where, parameters = all_of(("a.started_at >= ?", since))
    rows = ledger.rows(
        "SELECT r.profile, a.arm, a.kind, a.output_tokens, a.expected_output_p90, a.output_limit "  # noqa: S608 - constants
        "FROM attempts a JOIN reservations r ON r.id = a.id WHERE a.id BETWEEN ? AND ? AND a.output_tokens IS NOT NULL "
        f"AND a.expected_output_p90 IS NOT NULL AND a.output_limit IS NOT NULL AND a.error_kind IS NULL AND {where}",
        (*span, *parameters),
    )
    return [
        (
            row["profile"], bare_of(row["arm"]), row["output_tokens"], row["expected_output_p90"], row["output_limit"],
        )
        for row in rows
        if row["kind"] not in ASIDE
    ]  # fmt: skip
