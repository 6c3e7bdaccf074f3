"""What the same prompts would have cost, and how good the answers would have been, on one arm alone."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from scrimp.profiles.money import NANO
from scrimp.routing.deciding.trace import Decision

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scrimp.routing.ledger.store import Ledger
    from scrimp.routing.prices.price import ArmPrice

__all__ = ["Estimate", "Versus", "estimate", "versus"]

_Z = 1.959964


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean or a sum over requests, with a 95% interval; the ends are None for fewer than two requests."""

    estimate: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Versus:
    """Routing against one arm alone, over the same prompts.

    Attributes
    ----------
    n, n_left_out
        Answered requests compared; and those that could not be, because their trace or their usage is not known, or
        the arm was no choice for them.
    cost_usd
        What the compared requests cost, retries and fallbacks included.
    arm_cost_usd
        What they would have cost on the arm, without any retry.
    saved_usd
        `arm_cost_usd` minus `cost_usd`: below 0 where routing cost more.
    quality, arm_quality
        Mean predicted P(right) of the arms that answered, and of the arm, in [0, 1].
    quality_gained
        `quality` minus `arm_quality`: below 0 where quality was given up for money.
    basis
        How far to believe the arm's predictions: "calibrated", "prior", "uncalibrated", or several of them.
    """

    arm: str
    n: int
    n_left_out: int
    cost_usd: float
    arm_cost_usd: float | None
    saved_usd: Estimate | None
    quality: float | None
    arm_quality: float | None
    quality_gained: Estimate | None
    basis: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


def estimate(values: Sequence[float], *, total: bool = False) -> Estimate:
    """Return the mean of independent values (their sum with `total`), with a 95% normal interval.

    The interval says how much the mean would move with other prompts of the same kind; not how far predictions err.

    Examples
    --------
    >>> estimate([1.0, 3.0]), estimate([2.0])
    (Estimate(estimate=2.0, low=0.040036..., high=3.959964...), Estimate(estimate=2.0, low=None, high=None))
    """
    times = len(values) if total else 1
    mean = fmean(values)
    if len(values) < 2:
        return Estimate(mean * times, None, None)
    half = _Z * stdev(values) / math.sqrt(len(values))
    return Estimate(mean * times, (mean - half) * times, (mean + half) * times)


def versus(
    ledger: Ledger, arm: str, price: ArmPrice, *, since_day: str | None = None, profile: str | None = None
) -> Versus:
    """Compare what was routed with sending every prompt to `arm`.

    Input tokens are the actual ones. Where another arm answered, output tokens are what was predicted of `arm`, made
    longer or shorter by as much as the actual answer was than had been predicted of it. Qualities are those predicted
    when the choice was made.

    Parameters
    ----------
    price
        The arm's price now.
    since_day
        Only requests from this day (YYYY-MM-DD) on.
    """
    rows = ledger.rows(
        "SELECT q.arm, q.decision, a.input_tokens, a.output_tokens, "
        "(SELECT sum(charged_nano) FROM reservations WHERE request_id = q.id) AS charged_nano "
        "FROM requests q JOIN attempts a ON a.request_id = q.id AND a.arm = q.arm "
        "JOIN reservations r ON r.id = a.id WHERE q.status = 'ok' AND q.decision IS NOT NULL AND a.error_kind IS NULL "
        "AND (? IS NULL OR r.day >= ?) AND (? IS NULL OR q.profile = ?) GROUP BY q.id HAVING a.id = max(a.id)",
        (since_day, since_day, profile, profile),
    )
    costs, saved, gained, qualities, bases = [], [], [], [], set()
    left_out = 0
    for row in rows:
        choice = Decision.from_dict(json.loads(row["decision"])).choice
        options = {weighed.option.arm: weighed.option for weighed in choice.weighed}
        taken, other = options.get(row["arm"]), options.get(arm)
        n_in, n_out = row["input_tokens"], row["output_tokens"]
        if taken is None or other is None or n_in is None or n_out is None:
            left_out += 1
            continue
        if other.arm == taken.arm:
            would = n_out
        else:
            would = round(other.output_tokens_p50 * n_out / max(1, taken.output_tokens_p50))
            would = min(max(1, would), other.output_limit)
        cost = row["charged_nano"] / NANO
        costs.append(cost)
        saved.append(price.expected_nano(n_in, would) / NANO - cost)
        qualities.append(taken.quality)
        gained.append(taken.quality - other.quality)
        bases.add(other.basis)
    total = math.fsum(costs)
    if not costs:
        return Versus(arm, 0, left_out, 0.0, None, None, None, None, None, None)
    return Versus(
        arm=arm,
        n=len(costs),
        n_left_out=left_out,
        cost_usd=total,
        arm_cost_usd=total + math.fsum(saved),
        saved_usd=estimate(saved, total=True),
        quality=fmean(qualities),
        arm_quality=fmean(qualities) - fmean(gained),
        quality_gained=estimate(gained),
        basis=", ".join(sorted(bases)),
    )
