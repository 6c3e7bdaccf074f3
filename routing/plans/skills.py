"""How well arms make something of answers: of what a merge, a planner, bids or a knockout bring; priors, and the log.

Where P(some of the answers is right) is s, what comes of them is right with

    s * pick + (1 - s) * repair

The priors on pick and repair are a Beta's, as counts. Whether some answer was right is hidden where only what came of
them is labelled: the posterior mode is found by expectation and maximisation, with s as it was predicted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ENOUGH", "PRIORS", "ROLES", "Skill", "Tried", "learn_skill", "prior_skill"]

ENOUGH: Final = 30
"""Labels of an arm in a role from which what it does there is offered by itself."""

PRIORS: Final[dict[str, tuple[float, float, float, float]]] = {
    # Rights and wrongs where some answer was right, then where none was; each worth ten of them. Chosen, not measured.
    "merge": (8.5, 1.5, 1.0, 9.0),
    "lead": (8.0, 2.0, 1.0, 9.0),
    # Whoever wins answers, and of what a judge leaves nothing is written anew: what no arm knows stays wrong.
    "bid": (7.5, 2.5, 0.0, 10.0),
    "knockout": (8.0, 2.0, 0.0, 10.0),
    # One piece that is answered wrongly spoils a count, and a list hardly.
    "split": (8.0, 2.0, 0.0, 10.0),
}
"""What is supposed of each role before anything was labelled. bid: a jury somewhat better than chance among three."""

ROLES: Final = tuple(PRIORS)

_LOW: Final = 1.2816
"""Standard deviations from the middle of a normal to the lower end of an 80% interval."""


@dataclass(frozen=True, slots=True)
class Skill:
    """What an arm makes of answers in one role.

    Attributes
    ----------
    pick, repair
        P(right | some answer was), and P(right | none was).
    pick_low, repair_low
        The lower ends of their 80% intervals.
    n
        Labels behind them.
    """

    pick: float
    repair: float
    pick_low: float
    repair_low: float
    n: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"pick": round(self.pick, 4), "repair": round(self.repair, 4), "n": self.n}


@dataclass(frozen=True, slots=True)
class Tried:
    """One labelled answer that was made of others.

    Attributes
    ----------
    some
        Predicted P(some of the others was right).
    reward
        How right it was, in [0, 1].
    """

    some: float
    reward: float
    weight: float = 1.0


def prior_skill(role: str) -> Skill:
    """Return what is supposed of a role before anything was learned."""
    return learn_skill(role, ())


def learn_skill(role: str, tried: Sequence[Tried]) -> Skill:
    """Return the skill of an arm in a role: the role's prior, moved by what was seen of it.

    Examples
    --------
    >>> skill = learn_skill("merge", [Tried(1.0, 1.0)] * 30)
    >>> round(prior_skill("merge").pick, 2), round(skill.pick, 4), round(skill.repair, 2)
    (0.85, 0.9625, 0.1)
    """
    a, b, c, d = PRIORS[role]
    pick, repair = a / (a + b), c / (c + d)
    right = [a, c]
    total = [a + b, c + d]
    for _ in range(200):
        right, total = [a, c], [a + b, c + d]
        for each in tried:
            # A reward of r is one of 1 with weight r and one of 0 with weight 1 - r.
            for reward, weight in ((1, each.weight * each.reward), (0, each.weight * (1.0 - each.reward))):
                if weight == 0.0:
                    continue
                with_some = each.some * (pick if reward else 1.0 - pick)
                with_none = (1.0 - each.some) * (repair if reward else 1.0 - repair)
                share = with_some / max(with_some + with_none, 1e-12)
                for at, part in ((0, share), (1, 1.0 - share)):
                    total[at] += weight * part
                    right[at] += weight * part * reward
        before, pick, repair = (pick, repair), right[0] / total[0], right[1] / total[1]
        if abs(pick - before[0]) + abs(repair - before[1]) < 1e-6:
            break
    return Skill(pick, repair, _low(pick, total[0]), _low(repair, total[1]), len(tried))


def _low(mean: float, n: float) -> float:
    """Return the lower end of the 80% interval of a share that so many observations stand behind, as a Beta's."""
    return max(0.0, mean - _LOW * math.sqrt(mean * (1.0 - mean) / (n + 1.0)))
