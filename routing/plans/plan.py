"""Plans as data: stages of arms, and what lets a plan stop."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal

from scrimp.profiles.errors import UsageError
from scrimp.routing.text.compare import QUORUMS, n_needed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scrimp.routing.text.compare import Quorum

__all__ = ["ALL", "MAX_STAGES", "Plan", "Stage", "gates_in", "plan_table", "read_plan"]


MAX_STAGES: Final = 3
ALL: Final = "*"
"""The gate that is all checks together."""

How = Literal["one", "vote", "best", "merge", "lead", "bid", "knockout"]
"""What becomes of a stage's answers. The first three take one of those that were given; `merge` has each arm of `by`
write one anew from those before it; `lead` has the arm of `by` ask the others what it likes and answer itself; `bid`
has the arm answer whose plan is worth most for its cost; `knockout` has the arm of `by` drop the worst answer until one
is left."""


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
        The arms that merge one after the other, or the one that leads or judges; empty for the other kinds.
    """

    arms: tuple[str, ...]
    gate: str | None = None
    how: How = "one"
    by: tuple[str, ...] = ()

    @property
    def quorum(self) -> Quorum | None:
        """How many answers have to say the same for the plan to stop here; None where something else lets it stop."""
        return next((each for each in QUORUMS if each == self.gate), None)

    def __str__(self) -> str:
        text = " + ".join(self.arms)
        if self.how != "one":
            text += f" {self.how}"
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
        """Every call of the plan, in order, where none of its stages stops it."""
        return tuple(arm for stage in self.stages for arm in stage.arms)

    @property
    def single(self) -> bool:
        """Whether it is one call."""
        return len(self.arms) == 1

    @property
    def kind(self) -> str:
        """Its kind in a word: one, check, agree, most, vote or best; of agree and most the one that comes first."""
        if self.single:
            return "one"
        last = self.stages[-1]
        kind = last.how if last.how != "one" else "check"
        return next((stage.quorum for stage in self.stages if stage.quorum is not None), kind)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "text": str(self),
            "repair": self.repair,
            "stages": [
                {"arms": list(each.arms), "gate": each.gate, "how": each.how, "by": list(each.by)}
                for each in self.stages
            ],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Plan:
        """Read it back."""
        stages = tuple(
            Stage(tuple(each["arms"]), each["gate"], each["how"], tuple(each.get("by", ()))) for each in data["stages"]
        )
        return cls(stages, data.get("repair", False))


def gates_in(text: str) -> tuple[str, ...]:
    """Return the checks that a plan names, as it is spelled: nothing else says what they are.

    Examples
    --------
    >>> gates_in("small ? has:42 > small + medium ? agree > medium ? json > large")
    ('has:42', 'json')
    """
    gates = (part.partition("?")[2].strip() for part in text.split(">"))
    return tuple(dict.fromkeys(gate for gate in gates if gate and gate not in (*QUORUMS, "checks")))


def read_plan(text: str, arms: Sequence[str], gates: Sequence[str], *, repair: bool = False) -> Plan:
    """Read a plan that a user spelled: stages parted by `>`, arms by `+`, what stops a stage after `?`.

    Raises
    ------
    UsageError
        If it is not a plan, names an arm or check that is not there, or has a stage that could never stop it.

    Examples
    --------
    >>> str(read_plan("small ? checks > large", ["small", "large"], ["tests"]))
    'small ? checks > large'
    >>> str(read_plan("small + medium ? agree > large", ["small", "medium", "large"], []))
    'small + medium ? agree > large'
    >>> read_plan("a + b ? agree > c ? most > d", ["a", "b", "c", "d"], []).kind
    'agree'
    >>> read_plan("a + b + c vote", ["a", "b", "c"], []).kind
    'vote'
    """
    stages: list[Stage] = []
    for part in text.split(">"):
        calls, mark, gate = (piece.strip() for piece in part.partition("?"))
        how: How = "one"
        found = re.fullmatch(r"(.*\S)\s+(vote|best)", calls)
        if found is not None and found[1] not in arms:
            calls, how = found[1], "vote" if found[2] == "vote" else "best"
        names = tuple(name.strip() for name in calls.split("+"))
        for name in names:
            if name not in arms:
                raise UsageError(f"--plan: no arm {name!r} here", hint=f"The arms are: {', '.join(arms)}.")
        known = (*QUORUMS, "checks", *gates)
        if mark and gate not in known:
            raise UsageError(f"--plan: no check {gate!r} to stop at", hint=f"There are: {', '.join(known)}.")
        if gate == "checks" and not gates:
            raise UsageError("--plan stops at checks, and there are none", hint="Give one with --check.")
        if gate in QUORUMS and len(names) < 2 and not stages:
            raise UsageError(f"--plan: one answer cannot agree with itself: give two, as in a + b ? {gate}")
        if gate in QUORUMS and how != "one":
            raise UsageError(f"--plan: `{how}` takes an answer whether or not the others agree: leave out ? {gate}")
        if len(names) > 1 and how == "one" and gate not in QUORUMS:
            raise UsageError(f"--plan: say what becomes of several answers: {calls} vote, best, ? agree, or ? most")
        if how == "best" and not gates:
            raise UsageError("--plan: `best` needs a check or judge to tell", hint="Give one with --check.")
        stages.append(Stage(names, None if not mark else ALL if gate == "checks" else gate, how))
    if sum(len(stage.arms) for stage in stages) > 12:
        raise UsageError("--plan: more than 12 calls for one prompt")
    if any(stage.gate is None for stage in stages[:-1]):
        raise UsageError("--plan: a stage without `? CHECK` always stops, so nothing can follow it")
    _check_quorums(stages)
    stages[-1] = Stage(stages[-1].arms, stages[-1].quorum, stages[-1].how)
    return Plan(tuple(stages), repair)


def _check_quorums(stages: Sequence[Stage]) -> None:
    """Refuse a single arm that could not bring about agreement: it comes after too many answers that differ."""
    n_before = 0
    for before, stage in itertools.pairwise(stages):
        n_before += len(before.arms)
        of_all = len(before.arms) in (1, n_before)  # that it did not stop is about all the answers until then
        if before.quorum is None or stage.quorum is None or len(stage.arms) > 1 or not of_all:
            continue
        if n_needed(before.quorum, n_before) < n_needed(stage.quorum, 1 + n_before):  # with one more than fell short
            raise UsageError(
                f"--plan: `{stage}` can never stop the plan: the {n_before} answers before it differ too much",
                hint="`? most` asks that more than half of all say the same."
                if stage.quorum == "agree"
                else "Ask two arms or more in that stage, which are compared among themselves.",
            )


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
