"""Charts as inline SVG: each is a value that can be drawn at any width, so that text keeps its size on a phone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from .figures import clip, log_ticks, short_usd, ticks, width_of
from .markup import Markup, tag

__all__ = ["N_COLOURS", "Bars", "Chart", "Columns", "Dot", "Mark", "Part", "Reliability", "Row", "Scatter", "Whiskers"]

N_COLOURS: Final = 6
"""Colours that tell series apart (`page.css`: --c1 and so on); what is left over shares a grey."""

SIZE: Final = 12.0
"""Of text, in pixels."""

_GAP: Final = 8.0


def _text(x: float, y: float, text: str, *, anchor: str = "start", class_: str = "", size: float = SIZE) -> Markup:
    return tag(
        "text",
        text,
        x=x,
        y=y,
        text_anchor=None if anchor == "start" else anchor,
        class_=class_ or None,
        font_size=None if size == SIZE else size,
    )


def _line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def _rect(x: float, y: float, width: float, height: float, class_: str, *inside: Markup, rx: float = 0.0) -> Markup:
    size = {"width": max(width, 0.0), "height": max(height, 0.0), "rx": rx or None}
    return tag("rect", *inside, x=x, y=y, class_=class_, **size)


def _circle(x: float, y: float, r: float, class_: str, says: str | None = None) -> Markup:
    return tag("circle", None if says is None else tag("title", says), cx=x, cy=y, r=r, class_=class_)


class Chart:
    """What can be drawn."""

    def draw(self, width: float, ids: str) -> Markup:
        """Return the chart as SVG of a width in pixels; `ids` begins the ids of its title and description."""
        height, parts = self.parts(width)
        title, description = self.said
        return tag(
            "svg",
            tag("title", title, id=f"{ids}t"),
            tag("desc", description, id=f"{ids}d"),
            *parts,
            viewBox=f"0 0 {width:.0f} {height:.0f}",
            role="img",
            aria_labelledby=f"{ids}t {ids}d",
        )

    @property
    def said(self) -> tuple[str, str]:
        """Title and description, for who does not see it."""
        raise NotImplementedError

    def parts(self, width: float) -> tuple[float, list[Markup]]:
        """Return the height and what is drawn."""
        raise NotImplementedError


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
            drawn.append(_text(0, y + 12, clip(row.name, width - width_of(row.value) - 2 * _GAP), class_="name"))
            drawn.append(_text(width, y + 12, row.value, anchor="end", class_="value"))
            scale = width / (top if row.whole is None else row.whole or 1.0)
            drawn.append(_rect(0, y + 20, width, 8, "track", rx=2))
            x = 0.0
            for part in row.parts:
                if part.value <= 0:
                    continue
                length = min(max(part.value * scale, 1.5), width - x)
                drawn.append(_rect(x, y + 20, length, 8, part.colour, tag("title", part.says), rx=2))
                x += length
            y += 42.0
        drawn.append(_text(0, y + 10, self.axis, class_="unit"))
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
        drawn = [_line(at(each), 20, at(each), bottom, "grid") for each in scale]
        if self.line is not None:
            drawn.append(_line(at(self.line), 20, at(self.line), bottom, "axis"))
        y = 4.0
        for mark in self.marks:
            drawn.append(_text(0, y + 12, clip(mark.name, width - width_of(mark.says) - 2 * _GAP), class_="name"))
            drawn.append(_text(width, y + 12, mark.says, anchor="end", class_="value"))
            middle = y + 26
            if mark.low is not None and mark.high is not None:
                drawn.append(
                    _line(at(mark.low), middle, at(mark.high), middle, f"whisker {mark.colour.replace('f', 's')}")
                )
            drawn.append(_circle(at(mark.value), middle, 5.0, mark.colour))
            y += 42.0
        drawn += [
            _text(at(each), bottom + 15, self.tick(each), anchor="middle", class_="tick", size=11.0) for each in scale
        ]
        drawn.append(_text(width / 2, bottom + 34, self.axis, anchor="middle", class_="unit"))
        return bottom + 42.0, drawn


@dataclass(frozen=True, slots=True)
class Columns(Chart):
    """Columns that stand side by side, each of parts.

    Attributes
    ----------
    columns
        For each: its name, its parts, and what a pointer on it is told.
    axis, along
        What height says, with its unit; what the columns are.
    tick
        How a number of the axis is written.
    """

    title: str
    about: str
    columns: Sequence[tuple[str, Sequence[Part], str]]
    axis: str
    along: str
    tick: Callable[[float], str] = short_usd

    @property
    def said(self) -> tuple[str, str]:
        """Title and description."""
        return self.title, self.about

    def parts(self, width: float) -> tuple[float, list[Markup]]:
        """Return the height and what is drawn."""
        scale = ticks(
            0.0, max((math.fsum(part.value for part in parts) for _, parts, _ in self.columns), default=0.0), 4
        )
        left = max(width_of(self.tick(each), 11.0) for each in scale) + _GAP
        top, bottom = 26.0, 216.0
        drawn = [_text(0, 12, self.axis, class_="unit")]
        for each in scale:
            y = bottom - each / scale[-1] * (bottom - top)
            drawn.append(_line(left, y, width, y, "grid" if each else "axis"))
            drawn.append(_text(left - _GAP / 2, y + 4, self.tick(each), anchor="end", class_="tick", size=11.0))
        step = (width - left) / max(len(self.columns), 1)
        each_width = min(step * 0.76, 44.0)
        paths: dict[str, list[str]] = {}
        hover = []
        for i, (_, parts, says) in enumerate(self.columns):
            x, y = left + (i + 0.5) * step - each_width / 2, bottom
            for part in parts:
                height = part.value / scale[-1] * (bottom - top)
                if height > 0:
                    y -= height
                    paths.setdefault(part.colour, []).append(
                        f"M{x:.1f} {y:.1f}h{each_width:.1f}v{height:.2f}h-{each_width:.1f}z"
                    )
            hover.append(_rect(left + i * step, top, step, bottom - top, "hover", tag("title", says)))
        drawn += [tag("path", d="".join(found), class_=colour) for colour, found in paths.items()]
        drawn += hover
        drawn += self._names(left, step, bottom)
        drawn.append(_text(left + (width - left) / 2, bottom + 36, self.along, anchor="middle", class_="unit"))
        return bottom + 44.0, drawn

    def _names(self, left: float, step: float, bottom: float) -> list[Markup]:
        """Return as many names as there is room for, the last one first."""
        widest = max((width_of(name, 11.0) for name, _, _ in self.columns), default=0.0) + 2 * _GAP
        every = max(1, math.ceil(widest / step))
        last = len(self.columns) - 1
        return [
            _text(
                left + (i + 0.5) * step + (0 if i < last or step > widest else step / 2), bottom + 17, name,
                anchor="middle" if i < last or step > widest else "end", class_="tick", size=11.0,
            )
            for i, (name, _, _) in enumerate(self.columns)
            if (last - i) % every == 0 and left + (i + 0.5) * step - widest / 2 > 0
        ]  # fmt: skip


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

        drawn = [_text(0, 12, self.axis, class_="unit")]
        for each in (0.0, 0.25, 0.5, 0.75, 1.0):
            drawn.append(_line(left, y(each), right, y(each), "grid" if each else "axis"))
            drawn.append(_text(left - _GAP, y(each) + 4, f"{each:.0%}", anchor="end", class_="tick", size=11.0))
            place = "end" if each == 1.0 else "middle"
            drawn.append(_text(x(each), bottom + 17, f"{each:.0%}", anchor=place, class_="tick", size=11.0))
        drawn.append(_line(x(0), y(0), x(1), y(1), "diagonal"))
        most = max((n for *_, n in self.points), default=1)
        for predicted, observed, low, high, n in self.points:
            drawn.append(_line(x(predicted), y(low), x(predicted), y(high), "whisker s1"))
            says = f"predicted {predicted:.0%}, observed {observed:.0%} of {n:,}"
            drawn.append(_circle(x(predicted), y(observed), 3.5 + 5.5 * math.sqrt(n / most), "f1", says))
        drawn.append(_text(left + (right - left) / 2, bottom + 36, self.along, anchor="middle", class_="unit"))
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

        drawn = [_text(0, 12, self.axis, class_="unit")]
        for each in (0.0, 0.25, 0.5, 0.75, 1.0):
            drawn.append(_line(left, y(each), right, y(each), "grid" if each else "axis"))
            drawn.append(_text(left - _GAP, y(each) + 4, f"{each:.0%}", anchor="end", class_="tick", size=11.0))
        free = -math.inf
        for each in scale:
            name = short_usd(each)
            half = width_of(name, 11.0) / 2
            middle = min(x(each), right - half)
            if middle - half > free:
                drawn.append(_text(middle, bottom + 17, name, anchor="middle", class_="tick", size=11.0))
                free = middle + half + _GAP
        front = sorted((dot for dot in self.dots if dot.on_front), key=lambda dot: (dot.x, dot.y))
        if len(front) > 1:
            path = "".join(f"{'ML'[i > 0]}{x(dot.x):.1f} {y(dot.y):.1f}" for i, dot in enumerate(front))
            drawn.append(tag("path", d=path, class_="front"))
        taken = [(x(dot.x) - 7, y(dot.y) - 7, x(dot.x) + 7, y(dot.y) + 7) for dot in self.dots]
        names = []
        for dot in self.dots:
            cx, cy = x(dot.x), y(dot.y)
            if dot.low is not None and dot.high is not None:
                drawn.append(_line(cx, y(dot.low), cx, y(dot.high), "whisker s1"))
            drawn.append(_circle(cx, cy, 5.5, "hollow" if dot.hollow else "f1", dot.says))
            name = clip(dot.name, 150.0)
            if (place := _room(cx, cy, width_of(name), (left, top - 8, right + 8, bottom), taken)) is not None:
                taken.append(place)
                names.append(_text(place[0], place[3] - 3, name, class_="name label"))
        drawn.append(_text(left + (right - left) / 2, bottom + 36, self.along, anchor="middle", class_="unit"))
        return bottom + 44.0, [*drawn, *names]


_Box = tuple[float, float, float, float]


def _room(x: float, y: float, wide: float, inside: _Box, taken: Sequence[_Box]) -> _Box | None:
    """Return where the name of a point may stand: beside, above or below it, in nobody's way; None where nowhere."""
    for left, middle in (
        (x + 10, y), (x - 10 - wide, y), (x - wide / 2, y - 15), (x - wide / 2, y + 15), (x + 8, y - 13), (x + 8, y + 13),
    ):  # fmt: skip
        box = (left, middle - 8, left + wide, middle + 8)
        fits = box[0] >= inside[0] and box[1] >= inside[1] and box[2] <= inside[2] and box[3] <= inside[3]
        if fits and not any(
            box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3] for other in taken
        ):
            return box
    return None
