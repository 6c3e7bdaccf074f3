"""The power of a check: how often it passes a right answer and a wrong one; a prior, and what the log adds to it.

For a right answer (y = 1) and a wrong one (y = 0) apart,

    P(pass | y, x) = sigmoid(b_y + g_y (x - X0))

with x the mean logit of the arms' predicted quality: how easy the prompt looks. The prior on b_y is a Beta's (that many
passes and fails seen at X0), on g_y a normal's of deviation 0.7: a check may err more on hard prompts, and has to show
it. A check that nobody has labelled yet keeps its kind's prior.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = [
    "NODES",
    "SPREAD",
    "WEIGHTS",
    "Observation",
    "Power",
    "fit_spread",
    "learn_power",
    "power_at",
    "prior_counts",
    "prior_power",
]

# Gauss and Hermite's quadrature over a prompt's hidden difficulty, standard normal.
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(7)
NODES: Final[Floats] = _NODES
WEIGHTS: Final[Floats] = _WEIGHTS / _WEIGHTS.sum()

SPREAD: Final = 1.5
"""How much the hidden difficulty moves every arm's logit, before anything was learned of it. Chosen, not measured."""

X0: Final = 1.0
"""The middling prompt: a mean logit of 1 is a quality of 73%, about where arms are compared."""

_SLOPE_SD: Final = 0.7
"""A check's odds of error may double from a middling prompt to one a logit away (ln 2 = 0.7). Chosen."""

_LEAST: Final = 1e-4

_PRIORS: Final[dict[str, tuple[float, float, float, float]]] = {
    # passes and fails given a right answer, passes and fails given a wrong one.
    # What the user's own command, tests or expected answer say is what right means, until labels disagree.
    "cmd": (10, 0, 0, 10),
    "tests": (10, 0, 0, 10),
    "exact": (10, 0, 0, 10),
    "number": (10, 0, 0, 10),
    # What looks at form can only say that an answer is unusable.
    "schema": (9.9, 0.1, 6, 4),
    "pattern": (9.5, 0.5, 5, 5),
    "json": (9.9, 0.1, 8, 2),
    "python": (9.9, 0.1, 7, 3),
    "instructions": (9, 1, 6, 4),
    "wording": (9.5, 0.5, 6, 4),
    "count": (9.5, 0.5, 7, 3),
    "form": (9.5, 0.5, 7, 3),
    "language": (9.8, 0.2, 9, 1),
    "refusal": (9.9, 0.1, 9.3, 0.7),
    # Of texts of which 20% are silent about what is asked (plans/silence): moved for a prompt that is known better.
    "found": (7.9, 2.1, 8.36, 1.64),
    "quoted": (9, 1, 7, 3),
    "complete": (9.9, 0.1, 9, 1),
    "judge": (8, 2, 4, 6),
    "agree": (7, 3, 2, 8),
    "most": (8, 2, 4, 6),
}
"""What is supposed of each kind of check before any outcome was labelled, as counts.

Chosen, not measured (docs/decisions/0009): the outcome files hold no verdicts of these checks on answers known to be
right or wrong. Each is worth ten right answers and ten wrong ones, and labels soon outweigh it.
`most` passes more than `agree`, whether right or wrong: it asks for less.
"""


_UNKNOWN_KIND: Final = (8.0, 2.0, 5.0, 5.0)
"""Of a kind that is not named there: it passes most right answers, and says nothing of wrong ones. Chosen."""


@dataclass(frozen=True, slots=True)
class Power:
    """How a check errs.

    Attributes
    ----------
    right, wrong
        (intercept, slope) of the logit of P(pass) for right and for wrong answers.
    n_right, n_wrong
        Labelled verdicts behind each.
    """

    right: tuple[float, float]
    wrong: tuple[float, float]
    n_right: int = 0
    n_wrong: int = 0

    @property
    def true_positive(self) -> float:
        """P(pass | right) at a prompt of middling difficulty."""
        return _sigmoid(self.right[0])

    @property
    def false_positive(self) -> float:
        """P(pass | wrong) at a prompt of middling difficulty."""
        return _sigmoid(self.wrong[0])

    @property
    def n(self) -> int:
        """Labelled verdicts behind it."""
        return self.n_right + self.n_wrong

    @property
    def basis(self) -> str:
        """`learned` where labels stand behind it, else `prior`."""
        return "learned" if self.n >= 20 else "prior"

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "passes_right": round(self.true_positive, 4),
            "passes_wrong": round(self.false_positive, 4),
            "n_right": self.n_right,
            "n_wrong": self.n_wrong,
            "basis": self.basis,
        }


@dataclass(frozen=True, slots=True)
class Observation:
    """One verdict on an answer of which it became known whether it was right.

    Attributes
    ----------
    ease
        Mean logit of the arms' predicted quality on its prompt.
    reward
        How right the answer was, in [0, 1].
    """

    passed: bool
    reward: float
    ease: float = X0
    weight: float = 1.0


def _sigmoid(x: float) -> float:
    return float(1.0 / (1.0 + np.exp(-np.clip(x, -30.0, 30.0))))


def prior_counts(kind: str) -> tuple[float, float, float, float]:
    """Return what is supposed of a kind of check, as counts: passes and fails of right answers, then of wrong ones."""
    return _PRIORS.get(kind, _UNKNOWN_KIND)


def prior_power(kind: str) -> Power:
    """Return what is supposed of a kind of check before anything was learned."""
    return learn_power(kind, ())


def learn_power(kind: str, observations: Sequence[Observation]) -> Power:
    """Return the power of a check: its kind's prior, moved by what was seen of it.

    An answer of reward r counts as right with weight r, and as wrong with weight 1 - r.
    """
    counts = prior_counts(kind)
    x = np.array([each.ease for each in observations]) - X0
    passed = np.array([each.passed for each in observations], dtype=np.float64)
    reward = np.array([each.reward for each in observations])
    weight = np.array([each.weight for each in observations])
    return Power(
        right=_fit(x, passed, weight * reward, counts[0], counts[1]),
        wrong=_fit(x, passed, weight * (1.0 - reward), counts[2], counts[3]),
        n_right=int((reward >= 0.5).sum()),
        n_wrong=int((reward < 0.5).sum()),
    )


def _fit(x: Floats, passed: Floats, weight: Floats, passes: float, fails: float) -> tuple[float, float]:
    """Return (intercept, slope) of a logistic regression with pseudo-counts at 0 and a normal prior on the slope."""
    passes, fails = max(passes, 10 * _LEAST), max(fails, 10 * _LEAST)
    keep = weight > 0.0
    x = np.clip(np.concatenate([x[keep], [0.0, 0.0]]), -6.0, 6.0)
    y = np.concatenate([passed[keep], [1.0, 0.0]])
    w = np.concatenate([weight[keep], [passes, fails]])
    total = float(w @ y) / float(w.sum())
    b, g = float(np.log(total / (1.0 - total))), 0.0

    def loss(b: float, g: float) -> float:
        z = b + g * x
        return float(w @ (np.logaddexp(0.0, z) - y * z) + 0.5 * (g / _SLOPE_SD) ** 2)

    now = loss(b, g)
    for _ in range(30):
        p = 1.0 / (1.0 + np.exp(-np.clip(b + g * x, -30.0, 30.0)))
        gradient = np.array([w @ (p - y), w @ ((p - y) * x) + g / _SLOPE_SD**2])
        v = w * p * (1.0 - p)
        hessian = np.array([[v.sum() + 1e-6, v @ x], [v @ x, v @ (x * x) + 1.0 / _SLOPE_SD**2]])
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while size > 1e-4 and loss(b - size * step[0], g - size * step[1]) > now:
            size /= 2.0
        b, g = float(b - size * step[0]), float(g - size * step[1])
        before, now = now, loss(b, g)
        if before - now < 1e-9:
            break
    return b, g


def power_at(power: Power, ease: Floats) -> tuple[Floats, Floats]:
    """Return `(K,)` P(pass | right) and P(pass | wrong) where a prompt is so easy (mean logit of quality)."""
    shift = np.clip(ease - X0, -6.0, 6.0)
    given_right = 1.0 / (1.0 + np.exp(-np.clip(power.right[0] + power.right[1] * shift, -30.0, 30.0)))
    given_wrong = 1.0 / (1.0 + np.exp(-np.clip(power.wrong[0] + power.wrong[1] * shift, -30.0, 30.0)))
    return given_right, given_wrong


def fit_spread(
    outcomes: Sequence[Mapping[str, tuple[float, float]]],
    *,
    grid: Sequence[float] = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0),
) -> float:
    """Return how much hidden difficulty moves all arms alike, from prompts on which several arms' outcomes are known.

    The value of the grid of greatest posterior probability; the prior is normal about 1.5, of deviation 0.75.

    Parameters
    ----------
    outcomes
        One a prompt: (predicted quality, reward) by arm.
    """
    several = [list(each.values()) for each in outcomes if len(each) > 1]
    if not several:
        return SPREAD
    most = max(len(pairs) for pairs in several)
    padded = np.array([pairs + [(np.nan, np.nan)] * (most - len(pairs)) for pairs in several])  # (n, most, 2)
    known = ~np.isnan(padded[:, :, :1])
    q = np.clip(np.nan_to_num(padded[:, :, 0], nan=0.5), 1e-3, 1.0 - 1e-3)
    y = np.nan_to_num(padded[:, :, 1:])
    best, best_value = SPREAD, -np.inf
    for spread in grid:
        centre = np.log(q / (1.0 - q)) * np.sqrt(1.0 + np.pi * spread**2 / 8.0)
        p = np.clip(1.0 / (1.0 + np.exp(-(centre[:, :, None] - spread * NODES))), 1e-9, 1.0 - 1e-9)
        each = np.where(known, y * np.log(p) + (1.0 - y) * np.log1p(-p), 0.0).sum(axis=1)  # (n, K)
        value = -0.5 * ((spread - SPREAD) / 0.75) ** 2 + float(np.log(np.exp(each) @ WEIGHTS).sum())
        if value > best_value:
            best, best_value = spread, value
    return best
