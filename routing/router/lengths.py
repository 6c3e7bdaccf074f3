"""How long an arm's answers are, from its own bills: hidden reasoning, cut answers and heavy tails included.

What a router says of lengths is of a model at large: its prompt's share, and a shift for the model. A bill says what
came, with the reasoning that nobody sees. Of each call what is learnt from is

    d = ln(output tokens) - ln(what a middling model writes for this prompt),

so that neither an earlier correction nor a refit's shift of the arm is in it: nothing is corrected twice. An answer as
long as its limit was cut: its d is at least so much (Kaplan, Meier, 1958). The median of d is shrunk to what the router
says of the arm (empirical Bayes), and so is how far d follows the prompt's predicted length; the 90th percentile is the
conformal quantile of what is left (Vovk et al., 2005), with ten as the router expects them beside the real ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["SD", "Length", "Observed", "learn_length", "survival_quantile"]

SD: Final = 0.85
"""How far an answer's length is from the router's median: a standard deviation of ln(tokens). The shipped router's."""

_ARM_SD: Final = 1.0
"""How far an arm's own median is from the router's, the same. Chosen: an arm may well write 3 times as much, or 10."""

_SLOPE_SD: Final = 0.5
"""How far lengths follow the prompt's predicted length more, or less, than one for one. Chosen."""

_EXPECTED: Final = 10
"""Calls as the router expects them that stand beside the real ones where a width is told: one call has none."""

_MOST: Final = 10**8
"""More tokens than any answer has: what a provider counts beyond is a mistake of its."""

_Z90: Final = 1.2815515655446004


@dataclass(frozen=True, slots=True)
class Observed:
    """One answer's length.

    Attributes
    ----------
    tokens
        Output tokens as billed, reasoning included, at least 1.
    limit
        The limit that was sent; None where that is not known.
    prompt_tokens
        What a middling model was predicted to write for that prompt, the median in tokens, above 0.
    """

    tokens: int
    limit: int | None
    prompt_tokens: float

    @property
    def cut(self) -> bool:
        """Whether it was as long as it was let be."""
        return self.limit is not None and self.tokens >= self.limit


@dataclass(frozen=True, slots=True)
class Length:
    """What an arm's own calls say of its lengths.

    Attributes
    ----------
    n, n_cut
        Calls; of those, answers that were cut at their limit.
    weight
        How far they count beside the router, in [0, 1].
    shift, slope, centre
        ln(median tokens) = ln b + shift + slope (ln b - centre), b what a middling model writes for the prompt.
    width
        ln(90th percentile / median).
    """

    n: int
    n_cut: int
    weight: float
    shift: float
    slope: float
    centre: float
    width: float

    def of(self, prompt_tokens: float, p50: float) -> tuple[float, float]:
        """Return the median and 90th percentile of an answer's tokens.

        Parameters
        ----------
        prompt_tokens
            What a middling model is predicted to write for the prompt, in tokens.
        p50
            The arm's median as the router has it.
        """
        base = math.log(max(prompt_tokens, 1.0))
        own = base + self.shift + self.slope * (base - self.centre)
        middle = min(self.weight * own + (1.0 - self.weight) * math.log(max(p50, 1.0)), 14.0)
        return math.exp(middle), math.exp(min(middle + self.width, 15.0))

    @property
    def text(self) -> str:
        """What a length rests on, in words."""
        cut = f", {self.n_cut} of them cut at the limit" if self.n_cut else ""
        return f"{self.n} call{'' if self.n == 1 else 's'} of its own{cut}"


def learn_length(calls: Iterable[Observed]) -> Length | None:
    """Return what an arm's calls say of its lengths; None where there are none.

    Examples
    --------
    >>> found = learn_length([Observed(3000, None, 300.0)] * 50)
    >>> round(found.of(300.0, 300.0)[0], -2), found.text
    (3000.0, '50 calls of its own')
    """
    import numpy as np

    seen = list(calls)
    if not seen:
        return None
    n = len(seen)
    base = np.log(np.array([min(max(each.prompt_tokens, 1.0), _MOST) for each in seen]))
    d = np.log(np.array([float(min(max(each.tokens, 1), _MOST)) for each in seen])) - base
    cut = np.array([each.cut for each in seen])
    middle, sd = _located(d, cut)
    whole = np.where(cut, _beyond(d, middle, sd), d)  # of what was cut, what is to be expected
    centre = float(base.mean())
    off = base - centre
    slope = float((off * (whole - middle)).sum() / ((off**2).sum() + (sd / _SLOPE_SD) ** 2))
    slope = min(max(slope, -1.0), 1.0)
    left = d - middle - slope * off
    again, _ = _located(left, cut)
    middle, left = middle + again, left - again
    of_whole = float(((whole - slope * off - middle) ** 2).sum())
    spread = math.sqrt((_EXPECTED * SD**2 + of_whole) / (_EXPECTED + n))
    return Length(
        n=n,
        n_cut=int(cut.sum()),
        weight=n / (n + (spread / _ARM_SD) ** 2),
        shift=middle,
        slope=slope * n / (n + _EXPECTED),
        centre=centre,
        width=_width(left, cut, spread),
    )


def _located(d: Floats, cut: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the median and a standard deviation of values of which some are known to be at least so great."""
    import numpy as np

    low, middle, high = (survival_quantile(d, cut, q) for q in (0.25, 0.5, 0.75))
    if middle is not None and low is not None:
        # Half of the values lie within 0.6745 sd of the middle; of the upper quarter nothing may be known.
        sd = (high - low) / 1.349 if high is not None else (middle - low) / 0.6745
        return middle, max(sd, 0.05)
    mean, sd = float(d.mean()) + 0.5 * SD, SD  # more than half were cut: a normal, by its most likely mean
    for _ in range(50):
        mean = float(np.where(cut, _beyond(d, mean, sd), d).mean())
    return mean, sd


def _beyond(least: Floats, mean: float, sd: float) -> Floats:
    """Return E[x | x >= least] for x normal."""
    import numpy as np
    from scipy.special import log_ndtr

    z = (least - mean) / sd
    # The hazard of a standard normal, phi(z) / (1 - Phi(z)).
    hazard = np.exp(-0.5 * z * z - 0.5 * math.log(2.0 * math.pi) - log_ndtr(-z))
    beyond: Floats = mean + sd * hazard
    return beyond


def _width(left: Floats, cut: NDArray[np.bool_], spread: float) -> float:
    """Return the conformal 90% quantile of what is left, with calls as the router expects them beside the real ones."""
    import numpy as np

    z = np.array([-1.645, -1.036, -0.674, -0.385, -0.126, 0.126, 0.385, 0.674, 1.036, 1.645])  # mid-quantiles of 10
    values = np.concatenate([left, SD * z])
    n = len(values)
    found = survival_quantile(values, np.concatenate([cut, np.zeros(len(z), bool)]), min(0.9 * (n + 1) / n, 1.0))
    return max(_Z90 * spread if found is None else found, 0.05)


def survival_quantile(values: Floats, cut: NDArray[np.bool_], q: float) -> float | None:
    """Return the least value that a share q does not exceed (Kaplan, Meier); None where too much was cut below it.

    Parameters
    ----------
    values
        `(n,)`; where `cut`, the true value is at least so great.
    q
        In (0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([1.0, 2.0, 3.0, 4.0])
    >>> survival_quantile(x, np.zeros(4, bool), 0.5), survival_quantile(x, np.array([False, False, True, True]), 0.9)
    (2.0, None)
    """
    import numpy as np

    order = np.lexsort((cut, values))  # of equal values those that were not cut come first
    n = len(values)
    there = np.where(cut[order], 1.0, 1.0 - 1.0 / np.arange(n, 0, -1))
    reached = (1.0 - np.cumprod(there) >= q - 1e-12) & ~cut[order]
    return float(values[order[int(reached.argmax())]]) if reached.any() else None
