"""How often the predicted 90th percentile of an answer's length covered what came."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scrimp.routing.ledger.digests import sums_of
from scrimp.routing.ledger.forecasts import forecasts
from scrimp.routing.ledger.store import instant

from .quality import wilson

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scrimp.routing.ledger.digests import Span
    from scrimp.routing.ledger.store import Ledger

__all__ = ["Covered", "covered_by_arm", "length_report", "tally_lengths"]


@dataclass(frozen=True, slots=True)
class Covered:
    """Of one arm.

    Attributes
    ----------
    n, n_covered
        Answers whose 90th percentile lay below their limit; of those, how many were no longer than it. One that was cut
        at the limit was longer.
    n_bounded
        Answers whose 90th percentile was their limit: that none exceeds it says nothing.
    """

    arm: str
    n: int
    n_covered: int
    n_bounded: int

    @property
    def share(self) -> float | None:
        """The share that was covered, in [0, 1]; None without any."""
        return self.n_covered / self.n if self.n else None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, with the share's 95% interval."""
        return {
            "arm": self.arm, "n": self.n, "n_covered": self.n_covered, "n_bounded": self.n_bounded,
            "share": self.share, "interval": wilson(self.n_covered, self.n),
        }  # fmt: skip


def length_report(ledger: Ledger | None, *, since: float | None = None, profile: str | None = None) -> list[Covered]:
    """Return of each arm how often its predicted 90th percentile of output tokens covered what came.

    Parameters
    ----------
    ledger
        None where there is none yet.
    since, profile
        Only answers from this POSIX time on; only this profile's.
    """
    if ledger is None:
        return []
    counts: dict[str, list[int]] = {}
    at = None if since is None else instant(since)
    for part in sums_of(ledger, "calls", tally_lengths, since=at, profile=profile):
        for arm, more in part.items():
            counts[arm] = [a + b for a, b in zip(counts.get(arm, [0, 0, 0]), more, strict=True)]
    return [Covered(arm, *counts[arm]) for arm in sorted(counts)]


def tally_lengths(ledger: Ledger, span: Span, since: str | None) -> dict[str, dict[str, Any]]:
    """Return by profile and arm what `Covered` counts, of the calls of a span (`ledger.digests`)."""
    rows: dict[str, list[tuple[str, int, int, int]]] = {}
    for whose, *row in forecasts(ledger, span, since=since):
        rows.setdefault(whose, []).append(tuple(row))  # type: ignore[arg-type]  # what is left of five
    return {
        whose: {each.arm: [each.n, each.n_covered, each.n_bounded] for each in covered_by_arm(mine)}
        for whose, mine in rows.items()
    }


def covered_by_arm(rows: Iterable[tuple[str, int, int, int]]) -> list[Covered]:
    """Return the same of rows: arm, output tokens, predicted 90th percentile, limit; arms by name.

    Examples
    --------
    >>> covered_by_arm([("a", 10, 20, 100), ("a", 30, 20, 100), ("a", 100, 100, 100)])
    [Covered(arm='a', n=2, n_covered=1, n_bounded=1)]
    """
    counts: dict[str, list[int]] = {}
    for arm, tokens, p90, limit in rows:
        mine = counts.setdefault(arm, [0, 0, 0])
        if p90 >= limit:
            mine[2] += 1
        else:
            mine[0] += 1
            mine[1] += tokens <= p90
    return [Covered(arm, *counts[arm]) for arm in sorted(counts)]
