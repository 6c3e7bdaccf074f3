"""Columns that stand side by side: what was spent, day after day."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .chart import GAP, Chart, line, rect, text
from .figures import short_usd, ticks, width_of
from .markup import tag

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .bars import Part
    from .markup import Markup

__all__ = ["Columns"]


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
        left = max(width_of(self.tick(each), 11.0) for each in scale) + GAP
        top, bottom = 26.0, 216.0
        drawn = [text(0, 12, self.axis, class_="unit")]
        for each in scale:
            y = bottom - each / scale[-1] * (bottom - top)
            drawn.append(line(left, y, width, y, "grid" if each else "axis"))
            drawn.append(text(left - GAP / 2, y + 4, self.tick(each), anchor="end", class_="tick", size=11.0))
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
            hover.append(rect(left + i * step, top, step, bottom - top, "hover", tag("title", says)))
        drawn += [tag("path", d="".join(found), class_=colour) for colour, found in paths.items()]
        drawn += hover
        drawn += self._names(left, step, bottom)
        drawn.append(text(left + (width - left) / 2, bottom + 36, self.along, anchor="middle", class_="unit"))
        return bottom + 44.0, drawn

    def _names(self, left: float, step: float, bottom: float) -> list[Markup]:
        """Return as many names as there is room for, the last one first."""
        widest = max((width_of(name, 11.0) for name, _, _ in self.columns), default=0.0) + 2 * GAP
        every = max(1, math.ceil(widest / step))
        last = len(self.columns) - 1
        return [
            text(
                left + (i + 0.5) * step + (0 if i < last or step > widest else step / 2), bottom + 17, name,
                anchor="middle" if i < last or step > widest else "end", class_="tick", size=11.0,
            )
            for i, (name, _, _) in enumerate(self.columns)
            if (last - i) % every == 0 and left + (i + 0.5) * step - widest / 2 > 0
        ]  # fmt: skip
