"""What the same prompts would have cost, and how good the answers would have been, on one arm alone."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from scrimp.profiles.money import NANO
from scrimp.profiles.rungs import bare_of
from scrimp.routing.deciding.policy import Barrier
from scrimp.routing.deciding.trace import Decision
from scrimp.routing.deciding.usage_at import usage_at
from scrimp.routing.ledger.attempts import final_attempts
from scrimp.routing.prices.price import saved_nano
from scrimp.routing.prices.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scrimp.routing.deciding.policy import Option
    from scrimp.routing.ledger.store import Ledger
    from scrimp.routing.prices.price import ArmPrice

__all__ = ["Estimate", "Versus", "estimate", "versus"]

_Z = 1.959964


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean or a sum over requests, in the unit of what was summed, with the ends of its 95% interval.

    The ends are None for fewer than two requests.
    """

    estimate: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Versus:
    """Routing against one arm alone, over the same prompts.

    Attributes
    ----------
    arm
        Its name.
    n, n_left_out
        Answered requests compared; and those that could not be, because their trace or their usage is not known, or
        the arm was no choice for them.
    cost_usd
        What the compared requests cost, retries and fallbacks included, USD.
    arm_cost_usd
        What the same tokens would have cost on the arm, without any retry, USD.
    saved_usd
        `arm_cost_usd` minus `cost_usd`, summed over the requests: below 0 where routing cost more.
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


def _alone(options: Mapping[str, Option], arm: str) -> Option | None:
    """Return how an arm alone would have been asked: of a prompt with files whole, where they fit."""
    mine = [option for option in options.values() if arm in (option.arm, bare_of(option.arm))]
    can = [option for option in mine if option.barrier not in (Barrier.WINDOW, Barrier.UNBOUNDED)]
    return max(can or mine, key=lambda option: option.input_tokens, default=None)


def versus(
    ledger: Ledger, arm: str, price: ArmPrice, *, since_day: str | None = None, profile: str | None = None
) -> Versus:
    """Compare what was routed with sending every prompt to `arm`.

    What an answer would have cost there is `saved_nano`'s: the same tokens at the arm's price, without any retry, as in
    the line under an answer; files of a prompt are taken to be read whole where they fit. Qualities are those predicted
    when the choice was made.

    Parameters
    ----------
    price
        The arm's price now.
    since_day
        Only requests from this day (YYYY-MM-DD) on.
    profile
        Only this profile's.
    """
    costs, saved, gained, qualities, bases = [], [], [], [], set()
    left_out = 0
    for row in final_attempts(ledger, since_day=since_day, profile=profile):
        choice = Decision.from_dict(json.loads(row["decision"])).choice
        options = {weighed.option.arm: weighed.option for weighed in choice.weighed}
        taken, other = options.get(row["arm"]), _alone(options, arm)
        if taken is None or other is None or row["input_tokens"] is None or row["output_tokens"] is None:
            left_out += 1
            continue
        usage = Usage(
            row["input_tokens"],
            row["output_tokens"],
            row["cached_tokens"],
            row["cache_write_tokens"],
            row["reasoning_tokens"],
        )
        usage = usage_at(usage, taken, other)
        costs.append(row["charged_nano"] / NANO)
        saved.append(saved_nano(price, usage, row["charged_nano"]) / NANO)
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
