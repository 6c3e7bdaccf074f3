"""The Pareto front of quality, cost and time: which ways to answer a prompt no other one beats in all three. Pure.

One way dominates another that is no better, no cheaper and no faster, and worse in one of these. A way whose time is
not known is compared by quality and cost alone, and dominates none whose time is known: silence does not speak for it.
That is a strict partial order, so that whatever is not on the front is dominated by something on it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from scrimp.profiles.money import nano_from_usd, usd_from_nano

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .trace import Decision

__all__ = ["Placed", "Point", "dominates", "front", "points_of"]


@dataclass(frozen=True, slots=True)
class Point:
    """One way to answer a prompt.

    Attributes
    ----------
    name
        The arm's (with a reading, where there are several), or the plan's.
    kind
        What it is: an arm, or a plan of several calls.
    quality
        Predicted P(right), in [0, 1].
    cost_nano
        Predicted cost, nano-USD.
    seconds, first_s
        Predicted seconds to its end, and to the first word; None where that is not known.
    """

    name: str
    quality: float
    cost_nano: int
    seconds: float | None = None
    first_s: float | None = None
    kind: Literal["arm", "plan"] = "arm"


@dataclass(frozen=True, slots=True)
class Placed:
    """A point, and where it stands.

    Attributes
    ----------
    point
        The point.
    dominated_by
        Names of the points of the front that dominate it, in the order in which they were given; none where it is on
        the front itself.
    roles
        What it is among those on the front: "cheapest", "fastest", "best"; of equal ones all are. None: in between.
    """

    point: Point
    dominated_by: tuple[str, ...] = ()
    roles: tuple[str, ...] = field(default=())

    @property
    def on_front(self) -> bool:
        """Whether no other point dominates it."""
        return not self.dominated_by

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        point = self.point
        return {
            "name": point.name,
            "kind": point.kind,
            "quality": point.quality,
            "cost_usd": usd_from_nano(point.cost_nano),
            "first_s": point.first_s,
            "seconds": point.seconds,
            "on_front": self.on_front,
            "roles": list(self.roles),
            "dominated_by": list(self.dominated_by),
        }


def dominates(one: Point, other: Point) -> bool:
    """Tell whether one point dominates another.

    Examples
    --------
    >>> cheap, dear = Point("a", 0.8, 10, 2.0), Point("b", 0.8, 20, 2.0)
    >>> dominates(cheap, dear), dominates(dear, cheap), dominates(cheap, cheap)
    (True, False, False)
    >>> unknown = Point("c", 0.9, 5)
    >>> dominates(unknown, cheap), dominates(Point("d", 0.9, 4, 60.0), unknown)
    (False, True)
    """
    if one.quality < other.quality or one.cost_nano > other.cost_nano:
        return False
    better = one.quality > other.quality or one.cost_nano < other.cost_nano
    if other.seconds is None:
        return better
    if one.seconds is None or one.seconds > other.seconds:
        return False
    return better or one.seconds < other.seconds


def front(points: Sequence[Point]) -> tuple[Placed, ...]:
    """Return points in their order, each with what dominates it; equal ones do not dominate each other."""
    ahead = [point for point in points if not any(dominates(other, point) for other in points)]
    most: dict[str, float] = {}
    if ahead:
        most = {"best": max(point.quality for point in ahead), "cheapest": min(point.cost_nano for point in ahead)}
        if known := [point.seconds for point in ahead if point.seconds is not None]:
            most["fastest"] = min(known)

    def roles(point: Point) -> tuple[str, ...]:
        figures = {"cheapest": point.cost_nano, "fastest": point.seconds, "best": point.quality}
        return tuple(name for name, figure in figures.items() if figure is not None and figure == most.get(name))

    return tuple(
        Placed(point, roles=roles(point))
        if point in ahead
        else Placed(point, tuple(other.name for other in ahead if dominates(other, point)))
        for point in points
    )


def points_of(decision: Decision) -> list[Point]:
    """Return the ways that were open to a decision: arms that can take the prompt, and plans that were weighed."""
    points = [
        Point(option.arm, option.quality, option.cost_nano, option.seconds, option.first_s)
        for option in (weighed.option for weighed in decision.choice.weighed)
        if option.infeasible is None and option.cost_nano is not None
    ]
    plans = {each["name"]: each for each in decision.plans if each.get("feasible", each["why"] is None)}
    plan = decision.plan
    if plan is not None and (plan.get("name") or plan["text"]) not in plans:
        plans[plan.get("name") or plan["text"]] = plan["expected"]
    points += [
        Point(name, each["quality"], nano_from_usd(each["cost_usd"]), each.get("seconds"), None, "plan")
        for name, each in plans.items()
    ]
    return points
