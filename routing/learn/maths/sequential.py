"""Error spent over successive tests of one growing log: Lan and DeMets' spending functions (Biometrika 70, 1983).

Every refit looks at all outcomes since the router in force was made, those of earlier tests among them. The scores that
it sums are the earlier ones and some more, so successive statistics go together as a Brownian motion does at rising
times; the time is the information, here the effective number of outcomes that show a new choice. A test's level is such
that all tests so far, together, promote equal routers with at most the chance that was to be spent by then.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["ALPHA", "GROWTH", "HALF_SPENT", "Look", "informed", "level_of_test", "spent_by", "spent_so_far"]

ALPHA: Final = 0.05
"""All the error there is to spend: the chance that any of the tests ever made promotes a router that is not better."""

HALF_SPENT: Final = 100.0
"""Information at which half of the error is spent: enough to see a gain of 10 points where decisions change."""

GROWTH: Final = 1.05
"""A further test is made once there is so many times the information of the last one."""

_GRID: Final = 129
_WIDTH: Final = 6.0  # standard deviations: what lies beyond is nothing


@dataclass(frozen=True, slots=True)
class Look:
    """A test that was made against the router in force.

    Attributes
    ----------
    information
        Effective number of outcomes that showed a new choice; None where it was not noted.
    level
        Its one-sided error, taken by itself.
    spent
        Error spent by it and all tests before it.
    terms
        What was compared with what (arms, worth, router in force): only tests on equal terms go together.
    """

    information: float | None
    level: float
    spent: float
    terms: str | None = None


def spent_by(information: float, *, alpha: float = ALPHA) -> float:
    """Return the error that may be spent by so much information: alpha * I / (I + 100), below alpha for ever.

    Examples
    --------
    >>> spent_by(100.0), round(spent_by(1e9), 6)
    (0.025, 0.05)
    """
    return alpha * information / (information + HALF_SPENT)


def spent_so_far(past: Sequence[Look]) -> float:
    """Return the error that past tests have spent, together."""
    return max((look.spent for look in past), default=0.0)


def informed(look: Look, *, alpha: float = ALPHA) -> float:
    """Return the information of a look; of one that did not note it, that by which its error may be spent."""
    if look.information is not None:
        return look.information
    return HALF_SPENT * look.spent / max(alpha - look.spent, 1e-12)


def level_of_test(
    information: float, past: Sequence[Look] = (), *, terms: str | None = None, alpha: float = ALPHA
) -> float:
    """Return the one-sided error of the next test: such that it and the past ones spend what may be spent by then.

    Past tests on other terms have spent their error, but nothing is made of how they go together with this one.

    Parameters
    ----------
    information
        Effective number of outcomes that show a new choice, now.
    past
        The tests against the router in force, oldest first.

    Examples
    --------
    >>> round(level_of_test(100.0), 4)
    0.025
    >>> first = Look(100.0, 0.025, 0.025)
    >>> round(level_of_test(200.0, [first]), 4) > spent_by(200.0) - 0.025
    True
    """
    new = spent_by(information, alpha=alpha) - spent_so_far(past)
    if new <= 0.0:
        return 0.0
    times: list[float] = []
    levels: list[float] = []
    for look in past:
        if look.terms == terms and look.information is not None and (not times or look.information > times[-1]):
            times.append(look.information)
            levels.append(look.level)
    if not times or information <= times[-1]:
        return new
    sums, chance = _still_running(times, levels)
    scale = math.sqrt(2.0 * (information - times[-1]))
    low, high = 0.0, _WIDTH
    for _ in range(30):
        z = (low + high) / 2
        crossing = [0.5 * math.erfc((z * math.sqrt(information) - s) / scale) for s in sums]
        low, high = (z, high) if float(chance @ np.array(crossing)) > new else (low, z)
    return max(NormalDist().cdf(-high), new)


def _still_running(times: Sequence[float], levels: Sequence[float]) -> tuple[Floats, Floats]:
    """Return a grid of sums, and the chance of each (they add up to less than 1) that no test so far has passed.

    Armitage, McPherson and Rowe's recursion (1969), for equal routers.
    """
    normal = NormalDist()
    sums, chance = np.zeros(1), np.ones(1)
    begun = 0.0
    for time, level in zip(times, levels, strict=True):
        bound = min(normal.inv_cdf(1.0 - level), _WIDTH)
        grid = np.linspace(-_WIDTH, bound, _GRID) * math.sqrt(time)
        variance = time - begun
        density = np.exp(-((grid[:, None] - sums[None, :]) ** 2) / (2.0 * variance)) @ chance
        weight = np.full(_GRID, grid[1] - grid[0])
        weight[[0, -1]] /= 2.0
        sums, chance, begun = grid, density * weight / math.sqrt(2.0 * math.pi * variance), time
    return sums, chance
