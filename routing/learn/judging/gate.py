"""The gate: one test, stated beforehand, between a new router and the user; and what the cheaper arms may get wrong."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Final, Literal

from scrimp.routing.learn.maths.offpolicy import quantile_t
from scrimp.routing.learn.maths.sequential import ALPHA, GROWTH, informed, level_of_test, spent_by, spent_so_far
from scrimp.routing.text.in_words import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from scrimp.routing.learn.maths.sequential import Look

    from .judge import Judgement

    Floats = NDArray[np.float64]

__all__ = [
    "MIN_CHANGED",
    "MIN_ESS",
    "Certificate",
    "Verdict",
    "certify",
    "clopper_pearson_upper",
    "judge_gain",
]

MIN_ESS: Final = 100.0
MIN_CHANGED: Final = 20
"""Decisions that differ, with outcomes for both arms in effect, below which nothing can be told."""

LEAST: Final = 59
"""Outcomes of both arms below which not even none lost would show that at most 5% are, at 95%."""

MAX_UNSUPPORTED: Final = 0.1
"""Share of the changed decisions that may lie where the log has no support; they count as no gain."""

Word = Literal["promoted", "refused", "no-change"]


def clopper_pearson_upper(k: int, n: int, alpha: float = 0.05) -> float:
    """Return the exact upper bound, at confidence 1 - alpha, of a share seen k times in n (Clopper, Pearson, 1934).

    Examples
    --------
    >>> round(clopper_pearson_upper(0, 59), 4), round(clopper_pearson_upper(3, 100), 4)
    (0.0495, 0.0757)
    """
    from scipy.special import betaincinv

    return 1.0 if k >= n else float(betaincinv(k + 1, n - k, 1.0 - alpha))


@dataclass(frozen=True, slots=True)
class Certificate:
    """A bound on how often a cheaper arm fails where the best arm would not have.

    Attributes
    ----------
    status
        "certified" (the bound is within the target), "above-target", or "not-enough-data".
    at_most
        The bound; None without enough data.
    n_wrong, n
        Prompts sent to a cheaper arm whose outcome and the best arm's are known; of those, lost to the cheaper arm.
    n_sent
        Prompts sent to a cheaper arm, whatever is known of them; None where there was nothing to look at.
    by_kind
        The same for each kind of prompt that went to a cheaper arm, the most frequent first. Those with a bound hold
        all together at 95% (Bonferroni): each alone at the confidence that it says, which is higher.
    """

    status: Literal["certified", "above-target", "not-enough-data"]
    at_most: float | None
    n_wrong: int
    n: int
    best_arm: str | None
    target: float = 0.05
    confidence: float = 0.95
    n_sent: int | None = None
    by_kind: Mapping[str, Certificate] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The certificate in words."""
        if self.status == "not-enough-data":
            if self.n_sent == 0 and self.best_arm is not None:
                return f"nothing to certify: no prompt goes to an arm cheaper than {self.best_arm}, the best here"
            return (
                f"not enough data to certify: {counted(self.n, 'prompt')} sent to a cheaper arm "
                f"{'has' if self.n == 1 else 'have'} outcomes of both; "
                f"{LEAST} without a loss are the least"
            )
        return (
            f"of the prompts sent to a cheaper arm, at most {self.at_most:.1%} were lost that {self.best_arm} would "
            f"have answered ({100 * self.confidence:.3g}% confidence, n = {self.n}, {self.n_wrong} seen)"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return self.alone() | {"by_kind": {kind: each.alone() for kind, each in self.by_kind.items()}}

    def alone(self) -> dict[str, Any]:
        """Return it as plain data, without its kinds."""
        return {
            "status": self.status, "at_most": self.at_most, "confidence": self.confidence, "n": self.n,
            "n_wrong": self.n_wrong, "n_sent": self.n_sent, "best_arm": self.best_arm, "target": self.target,
            "text": self.text,
        }  # fmt: skip


def certify(
    decisions: NDArray[np.intp],
    outcome: Floats,
    best: int,
    names: tuple[str, ...],
    *,
    target: float = 0.05,
    cheaper: NDArray[np.bool_] | None = None,
    kinds: Sequence[str] = (),
    alpha: float = 0.05,
) -> Certificate:
    """Bound the share of prompts sent to a cheaper arm that the best arm would have answered and this one did not.

    Parameters
    ----------
    decisions
        `(n,)` the arm taken.
    outcome
        `(n, m)` observed quality, NaN where unknown; 0.5 or more is an answer.
    best
        Position of the best arm.
    cheaper
        `(m,)` which arms are cheaper than the best one; all others unless given.
    kinds
        `(n,)` what kind each prompt is of: each is certified by itself, too.
    alpha
        1 less the confidence.
    """
    import numpy as np

    counts = np.arange(len(names)) != best if cheaper is None else cheaper
    rows = np.flatnonzero((decisions >= 0) & counts[np.maximum(decisions, 0)])
    mine, other = outcome[rows, decisions[rows]], outcome[rows, best]
    known = ~np.isnan(mine) & ~np.isnan(other)
    n = int(known.sum())
    wrong = int(((other >= 0.5) & (mine < 0.5) & known).sum())
    own = {} if not kinds else _by_kind(kinds, rows, known, (decisions, outcome, best, names, target, counts), alpha)
    sure, sent = 1.0 - alpha, len(rows)
    if n < LEAST:
        return Certificate("not-enough-data", None, wrong, n, names[best], target, sure, n_sent=sent, by_kind=own)
    bound = clopper_pearson_upper(wrong, n, alpha)
    status: Literal["certified", "above-target"] = "certified" if bound <= target else "above-target"
    return Certificate(status, bound, wrong, n, names[best], target, sure, n_sent=sent, by_kind=own)


def _by_kind(
    kinds: Sequence[str],
    rows: NDArray[np.intp],
    known: NDArray[np.bool_],
    seen: tuple[NDArray[np.intp], Floats, int, tuple[str, ...], float, NDArray[np.bool_]],
    alpha: float,
) -> dict[str, Certificate]:
    """Return a certificate for each kind of prompt that was sent to a cheaper arm, the most frequent first.

    How many bounds are told, and so their confidence, hangs on how many outcomes a kind has, never on what they were.

    Parameters
    ----------
    rows, known
        The prompts sent to a cheaper arm, and of which of them both outcomes are known.
    """
    import numpy as np

    decisions, outcome, best, names, target, counts = seen
    of = np.array([str(each) for each in kinds])
    told, n_each = np.unique(of[rows], return_counts=True)
    told = told[np.argsort(-n_each, kind="stable")]
    n_bounds = sum(int(known[of[rows] == kind].sum()) >= LEAST for kind in told)
    found = {}
    for kind in told.tolist():
        mine = of == kind
        found[kind] = certify(
            decisions[mine], outcome[mine], best, names, target=target, cheaper=counts, alpha=alpha / max(1, n_bounds)
        )
    return found


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says.

    Attributes
    ----------
    tested
        Whether the test was made: then error was spent.
    alpha
        The one-sided error of that test (or what it would have been).
    low, high
        Bounds on the gain in utility, USD a prompt, each one-sided at `alpha`; None where nothing was estimated.
    information, spent
        Effective number of outcomes that show a new choice; the error spent by then.
    """

    word: Word
    reasons: tuple[str, ...]
    tested: bool
    alpha: float
    low: float | None = None
    high: float | None = None
    information: float = 0.0
    spent: float = 0.0


def judge_gain(
    judgement: Judgement, *, past: Sequence[Look] = (), terms: str | None = None, alpha: float = ALPHA
) -> Verdict:
    """Put a judgement to the test: promote when the lower bound of the gain in utility is above zero.

    Parameters
    ----------
    past
        Tests made against the router in force, oldest first.
    terms
        What is compared with what; tests on other terms have only spent error.
    """
    j = judgement
    before = spent_so_far(past)
    if j.n_changed_late == 0:
        return Verdict("no-change", (_alike(j),), False, 0.0, None, None, j.ess_changed, before)
    level = level_of_test(j.ess_changed, past, terms=terms, alpha=alpha)
    low, high = bounds(j.scores, level) if level > 0.0 else (-math.inf, math.inf)
    wait = _shortage(j) or _too_soon(j, past)
    if wait:
        return Verdict("refused", wait, False, level, low, high, j.ess_changed, before)
    spent = spent_by(j.ess_changed, alpha=alpha)
    found = f"on {j.n:,} fresh outcomes the gain in utility is {_usd(j.gain_utility.value)} a prompt"
    test = f"at error {level:.2g}, test {len(past) + 1}"
    late = bounds(j.scores[-j.n_late :], alpha)[1]
    if low > 0.0 and late >= 0.0:
        why = f"{found}, at least {_usd(low)} ({test}); {j.share_changed:.0%} of decisions change"
        return Verdict("promoted", (why,), True, level, low, high, j.ess_changed, spent)
    if low > 0.0:
        lately = (
            f"{found}, at least {_usd(low)} ({test}), but on the latest {j.n_late:,} it would be a loss",
            "the prompts, or the arms, have changed: later refits learn from those outcomes",
        )
        return Verdict("refused", lately, True, level, low, high, j.ess_changed, spent)
    said = f"{found}, between {_usd(low)} and {_usd(high)} ({test}): " + (
        "it would be a loss" if high < 0.0 else "it may be nothing"
    )
    return Verdict("refused", (said, _what_would_help(j, level)), True, level, low, high, j.ess_changed, spent)


def _alike(j: Judgement) -> str:
    if j.n_changed == 0:
        return f"both routers decide alike on all {counted(j.n, 'prompt')} judged on"
    return f"both routers decide alike on the latest {j.n_late:,} prompts, those the new one is judged on"


def _usd(usd: float) -> str:
    return f"{'-' if usd < 0 else ''}${abs(usd):.3g}"


def _too_soon(j: Judgement, past: Sequence[Look]) -> tuple[str, ...]:
    """Return why there is next to nothing new to test since the last time, or nothing."""
    last = max((informed(look) for look in past), default=0.0)
    if j.ess_changed >= GROWTH * last:
        return ()
    need = math.ceil(GROWTH * last - j.ess_changed)
    most = j.neediest or "each arm"
    counted = f"outcomes of new choices count for {j.ess_changed:.0f}, and counted for {last:.0f} then"
    return (f"too little is new since the last test: {counted}; about {need:,} more labels on {most}",)


def bounds(scores: Floats, level: float) -> tuple[float, float]:
    """Return the lower and upper bound of the mean, each one-sided at `level`.

    Student's, less a correction for skewness where that widens them (Johnson, 1978): rare outcomes of great weight make
    the scores lopsided.
    """
    n = len(scores)
    if n < 2:
        return -math.inf, math.inf
    mean, sd = float(scores.mean()), float(scores.std(ddof=1))
    if sd == 0.0:
        return mean, mean
    z = quantile_t(level, n)
    skew = float(((scores - mean) ** 3).mean()) / sd**3
    shift = skew * sd * (1.0 + 2.0 * z * z) / (6.0 * n)
    half = z * sd / math.sqrt(n)
    return mean - half + min(shift, 0.0), mean + half + max(shift, 0.0)


def _shortage(j: Judgement) -> tuple[str, ...]:
    """Return why nothing can be told from these outcomes, or nothing."""
    most = j.neediest or "each arm"
    if j.n < MIN_ESS:
        more = math.ceil(MIN_ESS - j.n)
        line = f"{j.n} fresh outcomes may judge, and {MIN_ESS:.0f} are the least: about {more} more labels on {most}"
        return (line, "outcomes that may judge come from checks, `scrimp learn audit` and `scrimp learn import`")
    reasons = []
    if j.unsupported > MAX_UNSUPPORTED:
        where = ", ".join(f"{gap.arm} ({gap.share:.0%} of prompts)" for gap in j.gaps[:3])
        reasons.append(
            f"{j.unsupported:.0%} of the changed decisions go where the log has not been: {where}; "
            "`scrimp learn audit` or an import shows what lies there, or a greater policy.explore"
        )
    if j.ess < MIN_ESS:
        reasons.append(
            f"the {j.n} outcomes count for only {j.ess:.0f} (effective sample size; {MIN_ESS:.0f} are the least): "
            f"about {math.ceil(j.n * (MIN_ESS / max(j.ess, 1.0) - 1.0)):,} more labels, most of them on {most}"
        )
    if j.ess_changed < MIN_CHANGED:
        need = MIN_CHANGED - j.ess_changed
        reasons.append(
            f"where decisions change, outcomes of the new choice count for only {j.ess_changed:.0f} of the "
            f"{MIN_CHANGED} needed: about {math.ceil(need)} more labels on {most}"
        )
    return tuple(reasons)


def _what_would_help(j: Judgement, level: float) -> str:
    gain = j.gain_utility.value
    if gain <= 0.0:
        return "more labels would only help if later prompts spoke for the new router: so far they do not"
    n = len(j.scores)
    sd = float(j.scores.std(ddof=1))
    more = math.ceil((NormalDist().inv_cdf(1.0 - level) * sd / gain) ** 2) - n
    return (
        f"if the gain is what it seems, about {max(more, math.ceil((GROWTH - 1.0) * n)):,} more fresh labels "
        f"({j.neediest or 'each arm'} above all) would show it; these {n:,} will count again"
    )
