"""Arms that a plan leaves open, `@3` and `@cheap3`: recruited for each prompt from what is predicted of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from scrimp.profiles.rungs import READINGS, SPLIT, bare_of, base_of, with_reading

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from .plan import Plan

__all__ = ["Pick", "named_arms", "pick_of", "recruit"]

_PICK: Final = re.compile(rf"@(cheap)?([0-9]{{1,3}})(?:/({'|'.join((*READINGS, SPLIT))}))?")


@dataclass(frozen=True, slots=True)
class Pick:
    """So many arms of a prompt's own: those of greatest utility, or the cheapest; perhaps all at one reading."""

    n: int
    cheapest: bool = False
    reading: str | None = None

    def __str__(self) -> str:
        return f"@{'cheap' if self.cheapest else ''}{self.n}" + ("" if self.reading is None else f"/{self.reading}")


def pick_of(text: str) -> Pick | None:
    """Return the pick that stands in the place of an arm's name; None for a name.

    Examples
    --------
    >>> pick_of("@3"), pick_of("@cheap2"), pick_of("small")
    (Pick(n=3, cheapest=False, reading=None), Pick(n=2, cheapest=True, reading=None), None)
    """
    found = _PICK.fullmatch(text)
    return None if found is None else Pick(int(found[2]), found[1] is not None, found[3])


def named_arms(plan: Plan) -> tuple[str, ...]:
    """Return the arms that a plan names itself, each once."""
    return tuple(dict.fromkeys(arm for arm in plan.arms if pick_of(arm) is None))


def recruit(
    plan: Plan, utility_usd: Mapping[str, float], cost_nano: Mapping[str, int]
) -> tuple[Plan, dict[str, tuple[str, ...]]]:
    """Return a plan with arms in the place of its picks, and whom each pick came to.

    A pick takes arms that the plan does not name and that no earlier pick took: of greatest utility first, or the
    cheapest first (the better of two that cost the same); the order of the mapping settles what is equal. Of a ladder's
    rungs it takes one, and others only where no other arms are left: a model asked twice is no second opinion. It takes
    fewer than it asks for where fewer are left, and may be left with none: its stage then asks the others.

    Parameters
    ----------
    utility_usd, cost_nano
        Of the arms that can take the prompt: wtp_usd * quality - cost in USD, and expected cost in nano-USD.

    Examples
    --------
    >>> from scrimp.routing.plans.plan import Plan, Stage
    >>> plan = Plan((Stage(("a",), "most"), Stage(("@2",), "most"), Stage(("d",))))
    >>> str(recruit(plan, {"a": 3.0, "b": 1.0, "c": 2.0, "d": 0.0, "e": 0.5}, dict.fromkeys("abcde", 1))[0])
    'a ? most > c + b ? most > d'
    """
    gone = {bare_of(arm) for arm in named_arms(plan)}
    by_utility: Sequence[str] = sorted(utility_usd, key=lambda arm: -utility_usd[arm])
    by_cost: Sequence[str] = sorted(by_utility, key=lambda arm: cost_nano[arm])
    found: dict[str, tuple[str, ...]] = {}
    stages = []
    for number, stage in enumerate(plan.stages, start=1):
        arms: list[str] = []
        for arm in stage.arms:
            pick = pick_of(arm)
            if pick is None:
                arms.append(arm)
                continue
            taken = _first(by_cost if pick.cheapest else by_utility, gone, pick.n)
            gone.update(map(bare_of, taken))
            if pick.reading is not None:
                taken = tuple(with_reading(arm, pick.reading) for arm in taken)
            arms += taken
            found[arm if arm not in found else f"{arm} of stage {number}"] = taken
        stages.append(replace(stage, arms=tuple(arms)))
    return replace(plan, stages=tuple(stages)), found


def _first(order: Sequence[str], gone: Collection[str], n: int) -> tuple[str, ...]:
    """Return the first n arms that are not gone; those of a ladder of which one is gone or taken come last."""
    bases = {base_of(arm) for arm in gone}
    fresh: list[str] = []
    again: list[str] = []
    for arm in order:
        if bare_of(arm) not in gone:
            (again if base_of(arm) in bases else fresh).append(arm)
            bases.add(base_of(arm))
    return tuple([*fresh, *again][:n])
