"""Which two arms to compare next: the pair that tells most for its money, or now and then any."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping, Sequence

    from scrimp.routing.learn.maths.bradley_terry import BradleyTerry

__all__ = ["EPSILON", "READING_USD", "Drawn", "Pair", "draw", "information", "weigh"]

EPSILON: Final = 0.1
"""How often any pair is drawn, all alike: so every arm has a chance that is known, and what seems settled is tried."""

READING_USD: Final = 0.05
"""What reading and judging two answers is taken to cost beside them, USD: without it only the cheapest arms would ever
meet, to save fractions of a cent at the price of somebody's half minute."""

_NORMAL: Final = NormalDist()


@dataclass(frozen=True, slots=True)
class Pair:
    """Two arms that could meet.

    Attributes
    ----------
    cost_usd
        What their two answers are predicted to cost, USD.
    information
        What their duel is expected to tell, nats (`information`).
    chance
        That they are drawn, in [0, 1].
    """

    first: str
    second: str
    cost_usd: float
    information: float
    chance: float

    @property
    def per_usd(self) -> float:
        """Information for its money and its reader's time, nats per USD."""
        return self.information / (self.cost_usd + READING_USD)


@dataclass(frozen=True, slots=True)
class Drawn:
    """Who meets, and on which side.

    Attributes
    ----------
    propensity
        The chance of this pair with these sides; None where the arms were named, which is no draw.
    chances
        Each arm's chance to be one of the two; None likewise.
    """

    left: str
    right: str
    propensity: float | None = None
    chances: Mapping[str, float] | None = None


def information(fit: BradleyTerry, i: int, j: int) -> float:
    """Return what a duel of two contestants is expected to tell about which of them is the stronger, in nats.

    That is log(1 + h v) / 2, by how much the entropy of a Gaussian posterior falls (Lindley, 1956), times the chance
    that the order found is wrong, Phi(-|d| / sqrt(v)). Here d is the difference of the two strengths, v its posterior
    variance, and h the Fisher information of an outcome about it,
    h = (P(left) + P(right) - (P(left) - P(right))^2) / 4. Without that factor much is spent on how far apart two are
    whose order is plain (bench/duels.py).
    """
    d, v = float(fit.strength_[i] - fit.strength_[j]), fit.variance_of(i, j)
    up, down = math.exp(d / 2.0), math.exp(-d / 2.0)
    total = up + down + fit.nu_
    h = ((up + down) / total - ((up - down) / total) ** 2) / 4.0
    return 0.5 * math.log1p(h * v) * _NORMAL.cdf(-abs(d) / math.sqrt(v))


def weigh(
    fit: BradleyTerry,
    places: Mapping[str, int],
    costs_usd: Mapping[str, float],
    *,
    allowed: Callable[[str, str], bool] = lambda _first, _second: True,
    epsilon: float = EPSILON,
) -> list[Pair]:
    """Return every pair with the chance that it is drawn, in the order of the arms; the chances add up to 1.

    With a chance of 1 - epsilon it is the pair that tells most for its money (those that tell as much share it), with
    epsilon any.

    Parameters
    ----------
    places
        Where each arm stands among the contestants of `fit`.
    costs_usd
        What an answer of each arm that can take the prompt is predicted to cost, USD.
    allowed
        Whether two arms may meet, such as because both answers can be paid.
    """
    pairs = [
        Pair(first, second, costs_usd[first] + costs_usd[second], information(fit, places[first], places[second]), 0.0)
        for first, second in combinations(costs_usd, 2)
        if allowed(first, second)
    ]
    if not pairs:
        return []
    most = max(pair.per_usd for pair in pairs)
    best = [pair.per_usd >= most * (1.0 - 1e-9) for pair in pairs]
    return [
        Pair(
            pair.first,
            pair.second,
            pair.cost_usd,
            pair.information,
            epsilon / len(pairs) + (1.0 - epsilon) * is_best / sum(best),
        )
        for pair, is_best in zip(pairs, best, strict=True)
    ]


def draw(pairs: Sequence[Pair], rng: random.Random) -> Drawn:
    """Draw a pair by its chance, and sides by a coin."""
    (pair,) = rng.choices(pairs, [each.chance for each in pairs])
    sides = (pair.first, pair.second) if rng.random() < 0.5 else (pair.second, pair.first)
    names = {name for each in pairs for name in (each.first, each.second)}
    chances = {name: sum(each.chance for each in pairs if name in (each.first, each.second)) for name in sorted(names)}
    return Drawn(*sides, propensity=pair.chance / 2.0, chances=chances)
