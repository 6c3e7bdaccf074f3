"""Charts that lie: bars and estimates with their intervals, each under its name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .chart import GAP, Chart, circle, line, rect, text
from .figures import clip, ticks, width_of
from .markup import tag

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .markup import Markup

__all__ = ["Bars", "Mark", "Part", "Row", "Whiskers"]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a bar: how much, which colour (a class of `page.css`), and what it is."""

    value: float
    colour: str
    says: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A bar that lies: its name, what stands at the right, its parts, and the whole that they are parts of."""

    name: str
    value: str
    parts: Sequence[Part]
    whole: float | None = None


@dataclass(frozen=True, slots=True)
class Bars(Chart):
    """Bars that lie below one another, each under its name: of one scale, or each a part of its own whole.

    Attributes
    ----------
    axis
        What the length of a bar says, with its unit.
    """

    title: str
    about: str
    rows: Sequence[Row]
    axis: str

    @property
    def said(self) -> tuple[str, str]:
        """Title and description."""
        return self.title, self.about

    def parts(self, width: float) -> tuple[float, list[Markup]]:
        """Return the height and what is drawn."""
        top = max((sum(part.value for part in row.parts) for row in self.rows), default=0.0) or 1.0
        drawn, y = [], 4.0
        for row in self.rows:
            drawn.append(text(0, y + 12, clip(row.name, width - width_of(row.value) - 2 * GAP), class_="name"))
            drawn.append(text(width, y + 12, row.value, anchor="end", class_="value"))
            scale = width / (top if row.whole is None else row.whole or 1.0)
            drawn.append(rect(0, y + 20, width, 8, "track", rx=2))
            x = 0.0
            for part in row.parts:
                if part.value <= 0:
                    continue
                length = min(max(part.value * scale, 1.5), width - x)
                drawn.append(rect(x, y + 20, length, 8, part.colour, tag("title", part.says), rx=2))
                x += length
            y += 42.0
        drawn.append(text(0, y + 10, self.axis, class_="unit"))
        return y + 18.0, drawn


@dataclass(frozen=True, slots=True)
class Mark:
    """An estimate with its interval: the ends are None where they are not known. `says` stands at the right."""

    name: str
    value: float
    low: float | None
    high: float | None
    says: str
    colour: str = "f1"


@dataclass(frozen=True, slots=True)
class Whiskers(Chart):
    """Estimates with intervals below one another, on one axis.

    Attributes
    ----------
    low, high
        The least that the axis shows.
    fixed
        Whether it shows no more: a share lies in [0, 1].
    line
        Where a line stands that tells something: 0, for no gain.
    tick
        How a number of the axis is written.
    """

    title: str
    about: str
    marks: Sequence[Mark]
    axis: str
    tick: Callable[[float], str]
    low: float = 0.0
    high: float = 1.0
    fixed: bool = False
    line: float | None = None

    @property
    def said(self) -> tuple[str, str]:
        """Title and description."""
        return self.title, self.about

    def parts(self, width: float) -> tuple[float, list[Markup]]:
        """Return the height and what is drawn."""
        ends = [end for mark in self.marks for end in (mark.value, mark.low, mark.high) if end is not None]
        low, high = self.low, self.high
        if not self.fixed:
            low, high = min([low, *ends]), max([high, *ends])
        scale = ticks(low, high, 5 if width > 400 else 4)
        left, right = 14.0, width - 14.0

        def at(value: float) -> float:
            return left + (min(max(value, scale[0]), scale[-1]) - scale[0]) / (scale[-1] - scale[0]) * (right - left)

        bottom = 4.0 + 42.0 * len(self.marks)
        drawn = [line(at(each), 20, at(each), bottom, "grid") for each in scale]
        if self.line is not None:
            drawn.append(line(at(self.line), 20, at(self.line), bottom, "axis"))
        y = 4.0
        for mark in self.marks:
            drawn.append(text(0, y + 12, clip(mark.name, width - width_of(mark.says) - 2 * GAP), class_="name"))
            drawn.append(text(width, y + 12, mark.says, anchor="end", class_="value"))
            middle = y + 26
            if mark.low is not None and mark.high is not None:
                drawn.append(
                    line(at(mark.low), middle, at(mark.high), middle, f"whisker {mark.colour.replace('f', 's')}")
                )
            drawn.append(circle(at(mark.value), middle, 5.0, mark.colour))
            y += 42.0
        drawn += [
            text(at(each), bottom + 15, self.tick(each), anchor="middle", class_="tick", size=11.0) for each in scale
        ]
        drawn.append(text(width / 2, bottom + 34, self.axis, anchor="middle", class_="unit"))
        return bottom + 42.0, drawn
