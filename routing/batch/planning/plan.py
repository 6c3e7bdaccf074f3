"""The plan for a file: what each arm would do for a sample of its rows, and from that a rule for all of them."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.money import NANO
from scrimp.profiles.rungs import bare_of, reading_of
from scrimp.routing.deciding.policy import NoDraw

from .estimate import Estimate
from .flow_outlook import Foreseen
from .optimise import SKIP, Rule, Solution, cheapest_at_quality, frontier, most_quality_within_bounds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from scrimp.routing.deciding.policy import Option
    from scrimp.routing.deciding.trace import Decision

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]
    Ints = NDArray[np.int64]

__all__ = [
    "SAMPLE_ROWS",
    "Forecast",
    "Options",
    "Planner",
    "forecast",
    "options_of",
    "planned",
]

SAMPLE_ROWS: Final = 2_000
"""A larger file is planned on a random sample of this many rows, and its rows follow the rule found there."""

_Z90: Final = 1.2816
_MARGIN: Final = 1.0
_MOST_MARGIN: Final = 0.2
"""Standard deviations of the cost to come that are held back, and the most of the budget that they may take."""

_SHRINK_ROWS: Final = 10
"""The prediction of an arm's costs counts like this many rows of true costs."""


@dataclass(frozen=True, slots=True)
class Options:
    """What each of k arms would cost and achieve for m rows.

    Attributes
    ----------
    quality
        `(m, k) float64` in [0, 1].
    cost, low, high, bound
        `(m, k) float64`, USD: expected, with a short answer, with a long one, and what would be reserved.
    tokens, read
        `(m, k) float64`: expected output, and input, about.
    held
        `(m, k) float64`: what else is held against each arm (`policy.Option.terms`), in units of quality at the
        policy's own worth of it, beyond what is held against the arm of the row that has least.
    feasible
        `(m, k) bool`.
    natural
        `(m,) int64`: the arm that the profile's policy takes, or -1.
    """

    quality: Floats
    cost: Floats
    low: Floats
    high: Floats
    bound: Floats
    tokens: Floats
    read: Floats
    held: Floats
    feasible: Bools
    natural: Ints

    def __len__(self) -> int:
        return len(self.natural)

    def take(self, rows: Any) -> Options:
        """Return the options of some rows."""
        return Options(*(getattr(self, name)[rows] for name in Options.__slots__))


@dataclass(frozen=True, slots=True)
class Forecast:
    """What an answer is expected to cost.

    Attributes
    ----------
    tokens
        Output, on average.
    mean, low, high
        USD: on average, at the 10th and at the 90th percentile of the answer's length.
    """

    tokens: float
    mean: float
    low: float
    high: float

    @property
    def variance(self) -> float:
        """USD squared."""
        return ((self.high - self.mean) / _Z90) ** 2


def forecast(option: Option) -> Forecast:
    """Return what an arm's answer is expected to cost, its length being log-normal with the predicted percentiles."""
    p50, p90 = float(option.output_tokens_p50), float(option.output_tokens_p90)
    spread = math.log(max(p90, p50) / p50) / _Z90
    tokens = min(p50 * math.exp(spread * spread / 2.0), float(option.output_limit))
    c50 = (option.cost_nano or 0) / NANO
    c90 = (option.cost_p90_nano or option.cost_nano or 0) / NANO
    slope = (c90 - c50) / (p90 - p50) if p90 > p50 else 0.0
    mean = c50 + slope * (tokens - p50)
    return Forecast(tokens, mean, c50 - slope * (p50 - p50 * p50 / max(p90, p50)), max(c90, mean))


def options_of(decisions: Sequence[Decision], arms: Sequence[str]) -> Options:
    """Return the options that decisions weighed.

    The median and the 90th percentile of the output's length are read as those of a log-normal; money is spent by its
    mean. Where the router should not be trusted, arms but the policy's own count with their lower quality.
    """
    import numpy as np

    shape = (len(decisions), len(arms))
    quality, cost, low, high, bound, tokens, read, held = (np.zeros(shape) for _ in range(8))
    feasible = np.zeros(shape, dtype=bool)
    natural = np.full(len(decisions), SKIP, dtype=np.int64)
    column = {name: j for j, name in enumerate(arms)}
    for i, decision in enumerate(decisions):
        choice = decision.choice
        if choice.arm is not None:
            natural[i] = column.get(choice.arm, SKIP)
        forced = choice.no_draw is NoDraw.ASKED_FOR
        for weighed in choice.weighed:
            option, j = weighed.option, column.get(weighed.option.arm)
            if j is None or option.infeasible is not None or option.cost_nano is None or option.bound_nano is None:
                continue
            if forced and bare_of(option.arm) != bare_of(choice.arm or ""):
                continue
            feasible[i, j] = True
            distrusted = choice.guard is not None and option.arm != choice.arm
            quality[i, j] = option.quality_low if distrusted else option.quality
            guess = forecast(option)
            tokens[i, j], cost[i, j], low[i, j], high[i, j] = guess.tokens, guess.mean, guess.low, guess.high
            bound[i, j], read[i, j] = option.bound_nano / NANO, option.input_tokens
            held[i, j] = sum(option.terms.values()) / decision.wtp_usd if decision.wtp_usd > 0.0 else 0.0
        # Only what sets the arms of a row apart: no row is left out for what is held against all of them.
        held[i] -= held[i, feasible[i]].min(initial=np.inf) if feasible[i].any() else 0.0
    return Options(quality, cost, low, high, bound, tokens, read, held, feasible, natural)


def planned(decision: Decision, arm: str | None) -> Decision:
    """Return a decision as the plan made it: its arm, no propensity, and reasons that fit."""
    weighed = tuple(
        each
        if each.option.infeasible is not None
        else replace(
            each,
            probability=0.0,
            why="taken by the plan for the whole file" if each.option.arm == arm else "not taken by the plan",
        )
        for each in decision.choice.weighed
    )
    choice = replace(
        decision.choice, arm=arm, explored=False, propensity=None, no_draw=NoDraw.FILE_PLAN, weighed=weighed
    )
    return replace(decision, choice=choice)


@dataclass(slots=True)
class Planner:
    """Chooses arms for rows as they stream by, on what a sample of the file says.

    Parameters
    ----------
    arms
        Names, in the profile's order.
    places
        `(m,)` places of the sampled rows in the file, rising.
    sample
        Their options.
    floor
        Quality a dollar must bring at least (1 / wtp_usd); 0 spends all of the budget.
    always
        Plan even where the budget would not bind (`--max-cost` was given).
    target
        Mean quality to reach at the least cost, or None.
    forced
        One arm was asked for by name: it takes all rows until the money is spent.
    can_wait
        The share of the sampled rows, in [0, 1], that can be asked through Batch APIs.
    """

    arms: tuple[str, ...]
    places: Ints
    sample: Options
    floor: float = 0.0
    always: bool = False
    target: float | None = None
    forced: bool = False
    can_wait: float = 0.0
    true_usd: dict[str, float] = field(default_factory=dict)
    predicted_usd: dict[str, float] = field(default_factory=dict)
    n_true: dict[str, int] = field(default_factory=dict)
    _start: float = 0.0

    def without_sample(self) -> Planner:
        """Return the same for who is given rules, and makes none."""
        return replace(self, places=self.places[:0], sample=self.sample.take(self.places[:0]))

    def learn(self, arm: str, *, predicted_usd: float, true_usd: float) -> None:
        """Take a true cost into account."""
        self.predicted_usd[arm] = self.predicted_usd.get(arm, 0.0) + predicted_usd
        self.true_usd[arm] = self.true_usd.get(arm, 0.0) + true_usd
        self.n_true[arm] = self.n_true.get(arm, 0) + 1

    def ratios(self) -> Floats:
        """Return `(k,) float64`: true over predicted cost of each arm.

        Shrunk towards the ratio of all arms together (by rows), itself shrunk towards 1: where answers are shorter than
        predicted on one arm, they mostly are on others too, and an arm that was not tried has nothing else to go by.
        """
        import numpy as np

        seen = [arm for arm in self.arms if self.predicted_usd.get(arm, 0.0) > 0.0]
        n = sum(self.n_true[arm] for arm in seen)
        rows = sum(self.n_true[arm] * self.true_usd[arm] / self.predicted_usd[arm] for arm in seen)
        common = (rows + _SHRINK_ROWS) / (n + _SHRINK_ROWS)
        ratios = np.full(len(self.arms), common)
        for j, arm in enumerate(self.arms):
            if arm in seen:
                n, ratio = self.n_true[arm], self.true_usd[arm] / self.predicted_usd[arm]
                ratios[j] = (n * ratio + _SHRINK_ROWS * common) / (n + _SHRINK_ROWS)
        return ratios

    def solve(
        self,
        *,
        after: int,
        n_left: int,
        budget_usd: float | None,
        among: frozenset[int] | None = None,
        variance: float = 0.0,
        hold_back: bool = True,
    ) -> Rule | None:
        """Return how rows from place `after` on should choose; None leaves them to the profile's policy.

        Parameters
        ----------
        n_left
            Rows still to be planned.
        budget_usd
            What is left for them, or None without any cap.
        among
            Their places, where not all from `after` on are left.
        variance
            Of what the rows cost that are planned and not yet done, USD squared.
        hold_back
            Keep some of the budget for chance (it is given free as true costs come in).
        """
        import numpy as np

        if self.forced:
            return None
        left = self.places >= after
        if among is not None:
            left &= np.isin(self.places, np.fromiter(among, dtype=np.int64))
        rest = self.sample.take(left)
        if not len(rest) or n_left <= 0:
            rest = self.sample
        if not len(rest):
            return None
        share = min(1.0, len(rest) / max(1, n_left))
        ratios = self.ratios()
        if self.target is not None:
            solution = cheapest_at_quality(rest.quality, rest.cost * ratios, rest.feasible, self.target)
            if budget_usd is None or solution.cost <= budget_usd * share:
                return solution.rule
        elif not self.always:
            likely = float((rest.cost * ratios)[natural_rows(rest)].sum())
            if budget_usd is None or likely <= budget_usd * share:
                return None
        if budget_usd is None:
            return None
        cost, value = rest.cost * ratios, self._value(rest)

        def best(usd: float) -> Solution:
            return most_quality_within_bounds(
                value, cost, rest.bound, rest.feasible, max(0.0, usd) * share, share=share
            )

        # A row that is left out at the end costs more quality than a better arm brings, so chance gets its margin.
        whole = best(budget_usd)
        choice = whole.choice
        rows = np.flatnonzero(choice != SKIP)
        spread = ((rest.high - rest.cost) * ratios)[rows, choice[rows]] / _Z90
        if not hold_back or not len(rows):
            return whole.rule
        margin = _MARGIN * math.sqrt(float((spread**2).sum()) / share + variance)
        held_back = best(budget_usd - min(margin, _MOST_MARGIN * budget_usd))
        # Where the budget holds a few rows only, the margin must not take the last of them.
        return (held_back if (held_back.choice != SKIP).any() else whole).rule

    def choose(self, rule: Rule, options: Options) -> Ints:
        """Return `(m,) int64` arms for rows, -1 for those that the budget does not reach."""
        chosen, self._start = rule.choose(
            self._value(options),
            options.cost * self.ratios(),
            options.feasible,
            bound=options.bound,
            start=self._start,
        )
        return chosen

    def _value(self, options: Options) -> Floats:
        if self.target is not None:
            return options.quality
        return options.quality - options.held - self.floor * options.cost * self.ratios()

    def estimate(
        self, *, n_rows: int, budget_usd: float | None, seconds: Mapping[str, float], parallel: Mapping[str, int]
    ) -> Estimate:
        """Return what the whole file would cost and achieve.

        Parameters
        ----------
        seconds
            An answer's time for each arm, where known.
        parallel
            Calls in flight for each arm, whatever it reads.
        """
        import numpy as np

        sample = self.sample
        m = len(sample)
        if m == 0:
            return Estimate(0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0, (), (), 0.0, None, planned=False)
        scale = n_rows / m
        rule, chosen = self._taken(n_rows, budget_usd)
        taken = (np.flatnonzero(chosen != SKIP), chosen[chosen != SKIP])
        arms = []
        busy_s: defaultdict[str, float] = defaultdict(float)
        n_calls: Counter[str] = Counter()
        known = True
        for j, arm in enumerate(self.arms):
            rows = chosen == j
            if not rows.any():
                continue
            n = round(float(rows.sum()) * scale)
            arms.append((arm, n, float(sample.cost[rows, j].sum()) * scale))
            known = known and arm in seconds
            busy_s[bare_of(arm)] += n * seconds.get(arm, 0.0)
            n_calls[bare_of(arm)] += n
        spans_s = [busy / max(1, min(parallel.get(arm, 1), n_calls[arm])) for arm, busy in busy_s.items()]
        quality = float(sample.quality[taken].sum()) / m
        dual = None
        if rule is not None and budget_usd is not None and self.target is None:
            dual = most_quality_within_bounds(
                sample.quality, sample.cost, sample.bound, sample.feasible, budget_usd / scale, share=1.0 / scale
            ).dual
        return Estimate(
            n_rows=n_rows,
            n_sampled=m,
            low_usd=float(sample.low[taken].sum()) * scale,
            likely_usd=float(sample.cost[taken].sum()) * scale,
            high_usd=float(sample.high[taken].sum()) * scale,
            most_usd=float(sample.bound[taken].sum()) * scale,
            quality=quality,
            n_skipped=round(float((chosen == SKIP).sum()) * scale),
            arms=tuple(arms),
            frontier=tuple(
                (usd * scale, quality) for usd, quality in frontier(sample.quality, sample.cost, sample.feasible)
            ),
            time_s=max(spans_s, default=0.0) if known else None,
            dual_quality=None if dual is None else dual / m,
            planned=rule is not None,
            missed_target=None if self._reaches(budget_usd, scale) else self.target,
            readings=tuple(self._readings(scale)),
        )

    def _taken(self, n_rows: int, budget_usd: float | None) -> tuple[Rule | None, Ints]:
        """Return the rule for a whole file, and which arms the sampled rows would have by it."""
        import numpy as np

        sample = self.sample
        m = len(sample)
        scale = n_rows / max(1, m)
        rule = self.solve(after=0, n_left=n_rows, budget_usd=budget_usd, hold_back=False)
        chosen = sample.natural
        if rule is None and budget_usd is not None:  # in the file's order, until the money is spent
            rows, arms_taken = natural_rows(sample)
            spent = np.zeros(m)
            spent[rows] = sample.cost[rows, arms_taken]
            chosen = np.where(np.cumsum(spent) * scale > budget_usd, SKIP, chosen)
        if rule is not None:
            chosen, _ = rule.choose(self._value(sample), sample.cost, sample.feasible, bound=sample.bound)
        return rule, chosen

    def foreseen(
        self, *, n_rows: int, budget_usd: float | None, seconds: Callable[[str, float, float], float | None]
    ) -> dict[int, Foreseen]:
        """Return what is foreseen of each sampled row, by its place.

        Parameters
        ----------
        seconds
            Returns how long an arm takes to read and to write so many tokens; None where that is not known.
        """
        sample, found = self.sample, {}
        _, chosen = self._taken(n_rows, budget_usd)
        for i, (n, j) in enumerate(zip(self.places.tolist(), chosen.tolist(), strict=True)):
            if j == SKIP:
                found[n] = Foreseen(0.0, None)
                continue
            takes = seconds(self.arms[j], float(sample.read[i, j]), float(sample.tokens[i, j]))
            found[n] = Foreseen(float(sample.quality[i, j]), takes)
        return found

    def _readings(self, scale: float) -> Iterator[tuple[str, int, int, float, float]]:
        sample = self.sample
        read = [reading_of(arm) is not None for arm in self.arms]
        for j, arm in enumerate(self.arms if sample.feasible[:, read].any() else ()):
            rows = sample.feasible[:, j]
            if n := int(rows.sum()):
                sums = [float(each[rows, j].sum()) for each in (sample.read, sample.cost, sample.quality)]
                yield arm, round(n * scale), round(sums[0] * scale), sums[1] * scale, sums[2] / n

    def _reaches(self, budget_usd: float | None, scale: float) -> bool:
        """Tell whether the target (if there is one) can be reached within the budget."""
        if self.target is None:
            return True
        sample = self.sample
        plan = cheapest_at_quality(sample.quality, sample.cost, sample.feasible, self.target)
        return plan.reached and (budget_usd is None or plan.cost * scale <= budget_usd)


def natural_rows(options: Options) -> tuple[Ints, Ints]:
    """Return the index of each row's policy arm: (rows, arms)."""
    import numpy as np

    rows = np.flatnonzero(options.natural != SKIP)
    return rows, options.natural[rows]
