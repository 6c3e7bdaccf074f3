"""Plans as data: stages of arms, and what lets a plan stop."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal

from scrimp.routing.text.compare import QUORUMS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scrimp.routing.text.compare import Quorum

__all__ = ["ALL", "How", "Plan", "Stage", "plan_table"]


ALL: Final = "*"
"""The gate that is all checks together."""

How = Literal["one", "vote", "best", "merge", "lead", "bid", "knockout", "split"]
"""What becomes of a stage's answers. The first three take one of those that were given; `merge` has each arm of `by`
write one anew from those before it; `lead` has the arm of `by` ask the others what it likes and answer itself; `bid`
has the arm answer whose plan is worth most for its cost; `knockout` has the arm of `by` drop the worst answer until one
is left; `split` has one arm answer for each piece of a text, and the arm of `by`, or code, make one answer of those."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of a plan.

    Attributes
    ----------
    arms
        Asked one after the other; the same name twice is two samples.
    gate
        What lets the plan stop here: the name of a check, `*` for all checks, `agree` where all answers say the same,
        `most` where more than half do. A stage of several arms compares theirs; one of a single arm compares its
        answer with all that were given before. None stops always.
    how
        Which answer is the stage's: of several that of those that say the same, a vote's, the best by a check or judge,
        or what else `How` says.
    by
        The arms that merge one after the other, or the one that leads or judges; empty for the other kinds, and where
        code merges what came of pieces.
    pieces, piece_tokens
        Of a text that is split, for the prompt at hand: into how many pieces, of how many tokens at most; 0 elsewhere.
    """

    arms: tuple[str, ...]
    gate: str | None = None
    how: How = "one"
    by: tuple[str, ...] = ()
    pieces: int = 0
    piece_tokens: int = 0

    @property
    def quorum(self) -> Quorum | None:
        """How many answers have to say the same for the plan to stop here; None where something else lets it stop."""
        return next((each for each in QUORUMS if each == self.gate), None)

    @property
    def made(self) -> bool:
        """Whether the stage's answer is made of others, or chosen by another arm: `=>`, leads, bid, knockout, split."""
        return self.how in ("merge", "lead", "bid", "knockout", "split")

    def __str__(self) -> str:
        runs = [(arm, len(list(same))) for arm, same in itertools.groupby(self.arms)]
        text = " + ".join(f"{arm}*{n}" if n > 2 else " + ".join([arm] * n) for arm, n in runs)
        if self.how == "lead":
            text = f"{self.by[0]} leads {text}"
        elif self.how in ("merge", "split"):
            text = " => ".join((text, *self.by))
        elif self.how != "one":
            text = " ".join((text, self.how, *self.by))
        return text if self.gate is None else f"{text} ? {'checks' if self.gate == ALL else self.gate}"


@dataclass(frozen=True, slots=True)
class Plan:
    """An order of stages; the last one always stops.

    Attributes
    ----------
    repair
        Whether a stage that follows another is given the failed answer and what was wrong with it.
    """

    stages: tuple[Stage, ...]
    repair: bool = False

    def __str__(self) -> str:
        return " > ".join(str(stage) for stage in self.stages)

    @property
    def arms(self) -> tuple[str, ...]:
        """Whom the plan may ask for an answer, in the order in which they are asked first, or judge and lead."""
        return tuple(
            arm
            for stage in self.stages
            for arm in ((*stage.by, *stage.arms) if stage.how == "lead" else (*stage.arms, *stage.by))
        )

    @property
    def single(self) -> bool:
        """Whether it is one call."""
        return len(self.arms) == 1 and self.stages[0].how != "split"

    @property
    def kind(self) -> str:
        """Its kind in a word: one, check, agree, most, or how its last stage answers; the first of agree and most."""
        if self.single:
            return "one"
        last = self.stages[-1]
        kind = last.how if last.how != "one" else "check"
        return next((stage.quorum for stage in self.stages if stage.quorum is not None), kind)

    def named(self, names: Mapping[str, str]) -> Plan:
        """Return it with other names of its arms; those that are not among them stay."""
        stages = (
            replace(
                stage,
                arms=tuple(names.get(arm, arm) for arm in stage.arms),
                by=tuple(names.get(arm, arm) for arm in stage.by),
            )
            for stage in self.stages
        )
        return replace(self, stages=tuple(stages))

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "text": str(self),
            "repair": self.repair,
            "stages": [_stage_dict(stage) for stage in self.stages],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Plan:
        """Read it back."""
        stages = tuple(
            Stage(
                tuple(each["arms"]),
                each["gate"],
                each["how"],
                tuple(each.get("by", ())),
                each.get("pieces", 0),
                each.get("piece_tokens", 0),
            )
            for each in data["stages"]
        )
        return cls(stages, data.get("repair", False))


def _stage_dict(stage: Stage) -> dict[str, Any]:
    data = {"arms": list(stage.arms), "gate": stage.gate, "how": stage.how, "by": list(stage.by)}
    return {**data, "pieces": stage.pieces, "piece_tokens": stage.piece_tokens} if stage.how == "split" else data


def plan_table(
    arms: Sequence[str],
    costs: Sequence[float],
    gates: Sequence[str],
    *,
    comparable: bool = True,
    repair: bool = False,
) -> tuple[Plan, ...]:
    """Return every plan worth weighing for some arms and checks.

    One call; cheaper before dearer with a check between, of two or three arms; the same arm again; two arms that
    agree, else a third; where most agree then, else a fourth; and votes of the best three. Three at once of which most
    agree are not among them: two that agree, else a third, come to the same for less.

    Parameters
    ----------
    arms, costs
        Arms that can take the prompt, with their expected costs, which put them in order.
    gates
        Names of checks. With several, each alone and all together can be what stops a plan.
    comparable
        Whether answers to this prompt can be compared, so that agreement and votes make sense.
    """
    order = tuple(arms[i] for i in sorted(range(len(arms)), key=lambda i: (costs[i], i)))
    return _plan_table(order, tuple(gates), comparable, repair)


@lru_cache(maxsize=64)
def _plan_table(order: tuple[str, ...], gates: tuple[str, ...], comparable: bool, repair: bool) -> tuple[Plan, ...]:
    stops = [*gates, ALL] if len(gates) > 1 else list(gates)
    plans = [Plan((Stage((arm,)),)) for arm in order]
    for gate in stops:
        plans += [Plan((Stage((first,), gate), Stage((first,))), repair) for first in order]
        plans += [
            Plan((Stage((first,), gate), Stage((second,))), repair)
            for first, second in itertools.combinations(order, 2)
        ]
        plans += [
            Plan((Stage((first,), gate), Stage((second,), gate), Stage((third,))), repair)
            for first, second, third in itertools.combinations(order, 3)
        ]
    if comparable:
        plans += [
            Plan((Stage((first, second), "agree"), Stage((third,))), repair)
            for first, second, third in itertools.combinations(order, 3)
        ]
        plans += [
            Plan((Stage((first, first), "agree"), Stage((second,))), repair)
            for first, second in itertools.combinations(order, 2)
        ]
        plans += [
            Plan((Stage((first, second), "agree"), Stage((third,), "most"), Stage((fourth,))), repair)
            for first, second, third, fourth in itertools.combinations(order, 4)
        ]
        plans += [Plan((Stage(trio, None, "vote"),)) for trio in itertools.combinations(order[-5:], 3)]
    return tuple(plans)
