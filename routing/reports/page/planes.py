"""Charts of two numbers: predicted against observed, cost against quality."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .chart import GAP, Chart, circle, line, text
from .figures import clip, log_ticks, short_usd, ticks, width_of
from .markup import tag

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .markup import Markup

__all__ = ["Dot", "Reliability", "Scatter"]


@dataclass(frozen=True, slots=True)
class Reliability(Chart):
    """Predicted against observed shares: on the diagonal they agree.

    Attributes
    ----------
    points
        For each: predicted, observed, the interval's ends, and how many.
    """

    title: str
    about: str
    points: Sequence[tuple[float, float, float, float, int]]
    axis: str
    along: str

    @property
    def said(self) -> tuple[str, str]:
        """Title and description."""
        return self.title, self.about

    def parts(self, width: float) -> tuple[float, list[Markup]]:
        """Return the height and what is drawn."""
        left, top = 40.0, 26.0
        right = width - 8.0
        bottom = top + min(right - left, 300.0)

        def x(value: float) -> float:
            return left + value * (right - left)

        def y(value: float) -> float:
            return bottom - value * (bottom - top)

        drawn = [text(0, 12, self.axis, class_="unit")]
        for each in (0.0, 0.25, 0.5, 0.75, 1.0):
            drawn.append(line(left, y(each), right, y(each), "grid" if each else "axis"))
            drawn.append(text(left - GAP, y(each) + 4, f"{each:.0%}", anchor="end", class_="tick", size=11.0))
            place = "end" if each == 1.0 else "middle"
            drawn.append(text(x(each), bottom + 17, f"{each:.0%}", anchor=place, class_="tick", size=11.0))
        drawn.append(line(x(0), y(0), x(1), y(1), "diagonal"))
        most = max((n for *_, n in self.points), default=1)
        for predicted, observed, low, high, n in self.points:
            drawn.append(line(x(predicted), y(low), x(predicted), y(high), "whisker s1"))
            says = f"predicted {predicted:.0%}, observed {observed:.0%} of {n:,}"
            drawn.append(circle(x(predicted), y(observed), 3.5 + 5.5 * math.sqrt(n / most), "f1", says))
        drawn.append(text(left + (right - left) / 2, bottom + 36, self.along, anchor="middle", class_="unit"))
        return bottom + 44.0, drawn


@dataclass(frozen=True, slots=True)
class Dot:
    """A point with its name; the ends of its interval are None where they are not known."""

    name: str
    x: float
    y: float
    low: float | None
    high: float | None
    hollow: bool
    on_front: bool
    says: str


@dataclass(frozen=True, slots=True)
class Scatter(Chart):
    """Cost against quality, with the front of what is beaten by nothing."""

    title: str
    about: str
    dots: Sequence[Dot]
    axis: str
    along: str

    @property
    def said(self) -> tuple[str, str]:
        """Title and description."""
        return self.title, self.about

    def parts(self, width: float) -> tuple[float, list[Markup]]:
        """Return the height and what is drawn."""
        left, right, top = 40.0, width - 12.0, 26.0
        bottom = top + min(right - left, 300.0)
        costs = [dot.x for dot in self.dots]
        logarithmic = min(costs) > 0 and max(costs) > 20 * min(costs)
        scale = log_ticks(min(costs), max(costs)) if logarithmic else ticks(0.0, max(costs), 4)

        def along(value: float) -> float:
            return math.log10(value) if logarithmic else value

        def x(value: float) -> float:
            return (
                left
                + 10
                + (along(value) - along(scale[0])) / (along(scale[-1]) - along(scale[0])) * (right - left - 20)
            )

        def y(value: float) -> float:
            return bottom - value * (bottom - top)

        drawn = [text(0, 12, self.axis, class_="unit")]
        for each in (0.0, 0.25, 0.5, 0.75, 1.0):
            drawn.append(line(left, y(each), right, y(each), "grid" if each else "axis"))
            drawn.append(text(left - GAP, y(each) + 4, f"{each:.0%}", anchor="end", class_="tick", size=11.0))
        free = -math.inf
        for each in scale:
            name = short_usd(each)
            half = width_of(name, 11.0) / 2
            middle = min(x(each), right - half)
            if middle - half > free:
                drawn.append(text(middle, bottom + 17, name, anchor="middle", class_="tick", size=11.0))
                free = middle + half + GAP
        front = sorted((dot for dot in self.dots if dot.on_front), key=lambda dot: (dot.x, dot.y))
        if len(front) > 1:
            path = "".join(f"{'ML'[i > 0]}{x(dot.x):.1f} {y(dot.y):.1f}" for i, dot in enumerate(front))
            drawn.append(tag("path", d=path, class_="front"))
        taken = [(x(dot.x) - 7, y(dot.y) - 7, x(dot.x) + 7, y(dot.y) + 7) for dot in self.dots]
        taken += [
            (x(dot.x) - 2, y(dot.high), x(dot.x) + 2, y(dot.low))
            for dot in self.dots
            if dot.low is not None and dot.high is not None
        ]
        names = []
        for dot in self.dots:
            cx, cy = x(dot.x), y(dot.y)
            if dot.low is not None and dot.high is not None:
                drawn.append(line(cx, y(dot.low), cx, y(dot.high), "whisker s1"))
            drawn.append(circle(cx, cy, 5.5, "hollow" if dot.hollow else "f1", dot.says))
            name = clip(dot.name, 150.0)
            if (place := _room(cx, cy, width_of(name), (left, top - 8, right + 8, bottom), taken)) is not None:
                taken.append(place)
                names.append(text(place[0], place[3] - 3, name, class_="name label"))
        drawn.append(text(left + (right - left) / 2, bottom + 36, self.along, anchor="middle", class_="unit"))
        return bottom + 44.0, [*drawn, *names]


_Box = tuple[float, float, float, float]


def _room(x: float, y: float, wide: float, inside: _Box, taken: Sequence[_Box]) -> _Box | None:
    """Return where the name of a point may stand: beside, above or below it, in nobody's way; None where nowhere."""
    below = [(x + 8, y + 14), (x + 10, y), (x - wide / 2, y + 17)]
    for left, middle in (*below, (x - 10 - wide, y), (x + 8, y - 13), (x - wide / 2, y - 16)):
        box = (left, middle - 8, left + wide, middle + 8)
        fits = box[0] >= inside[0] and box[1] >= inside[1] and box[2] <= inside[2] and box[3] <= inside[3]
        if fits and not any(
            box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3] for other in taken
        ):
            return box
    return None
