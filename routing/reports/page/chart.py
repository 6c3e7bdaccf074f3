"""A chart as inline SVG, and what it is drawn with: text keeps its size at any width, on a phone as on a desk."""

from __future__ import annotations

from typing import Final

from .markup import Markup, tag

__all__ = ["GAP", "N_COLOURS", "Chart", "circle", "line", "rect", "text"]

N_COLOURS: Final = 6
"""Colours that tell series apart (`page.css`: --c1 and so on); what is left over shares a grey."""

SIZE: Final = 12.0
"""Of text, in pixels."""

GAP: Final = 8.0
"""Between what stands side by side, in pixels."""


def text(x: float, y: float, says: str, *, anchor: str = "start", class_: str = "", size: float = SIZE) -> Markup:
    """Return a line of text."""
    return tag(
        "text",
        says,
        x=x,
        y=y,
        text_anchor=None if anchor == "start" else anchor,
        class_=class_ or None,
        font_size=None if size == SIZE else size,
    )


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """Return a straight line."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def rect(x: float, y: float, width: float, height: float, class_: str, *inside: Markup, rx: float = 0.0) -> Markup:
    """Return a rectangle."""
    size = {"width": max(width, 0.0), "height": max(height, 0.0), "rx": rx or None}
    return tag("rect", *inside, x=x, y=y, class_=class_, **size)


def circle(x: float, y: float, r: float, class_: str, says: str | None = None) -> Markup:
    """Return a disc, and what a pointer on it is told."""
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
