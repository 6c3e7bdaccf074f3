"""The frame of a page: one file that asks nothing of any network, and lets nothing in it run but its own script."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from .figures import UNKNOWN
from .markup import NOTHING, Markup, join, tag

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .chart import Chart

__all__ = [
    "MARKS",
    "RATE",
    "WIDE",
    "Cell",
    "card",
    "cards",
    "document",
    "empty",
    "figure",
    "keys",
    "number",
    "section",
    "table",
]

MARKS: Final = {kind: f"<!doctype html>\n<!-- scrimp {kind} -->\n" for kind in ("report", "log")}
"""What a page of a kind begins with: by it a later one knows that it may take this file's place."""

RATE: Final = "scrimp rate last good"
"""What says how good an answer was."""

WIDE: Final = (340.0, 512.0)
"""Widths at which a chart is drawn, in pixels: on a phone, and as one of two beside one another."""

FULL: Final = (340.0, 1064.0)
"""The same of a chart that has a row for itself."""

MIDDLE: Final = 680.0
"""What lies between, for such a chart."""


@cache
def _own(name: str) -> str:
    return files(__package__ or "").joinpath(name).read_text("utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def document(kind: str, title: str, body: Iterable[Markup]) -> str:
    """Return a whole page of a kind (`MARKS`).

    Its policy forbids everything that is not named: no request to anywhere, no script and no style but those that stand
    here, by their digests; neither a handler nor a style on an element works, whatever gets into it.
    """
    style, script = _own("page.css"), _own("page.js")
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        # Digests hold no letter that would be escaped; a policy that was would hold nothing.
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", name="robots", content="noindex"),
        tag("title", title),
        Markup(f"<style>{style}</style>"),
    )
    return MARKS[kind] + tag("html", head, tag("body", *body, Markup(f"<script>{script}</script>")), lang="en") + "\n"


class Cell:
    """A cell of a table: what it shows, and the number that it is sorted by (None where that is unknown)."""

    __slots__ = ("says", "value")

    def __init__(self, says: str, value: float | None = None) -> None:
        self.says = says
        self.value = value


def number(value: float | None, says: str) -> Cell:
    """Return the cell of a number as it is written; None shows as unknown."""
    return Cell(UNKNOWN if value is None else says, value)


def table(titles: Sequence[str], rows: Sequence[Sequence[str | Cell]], *, long: Sequence[int] = ()) -> Markup:
    """Return a table that scrolls by itself where it is too wide.

    Parameters
    ----------
    rows
        Numbers as `Cell`: they stand at the right.
    long
        Columns of longer text.
    """
    numbers = {j for row in rows for j, cell in enumerate(row) if isinstance(cell, Cell)}

    def cell(j: int, each: str | Cell) -> Markup:
        if isinstance(each, Cell):
            return tag("td", each.says, class_="n", data_v="" if each.value is None else f"{each.value:.12g}")
        return tag("td", each, class_="n" if j in numbers else "long" if j in long else None)

    head = tag(
        "tr", *(tag("th", title, scope="col", class_="n" if j in numbers else None) for j, title in enumerate(titles))
    )
    body = (tag("tr", *(cell(j, each) for j, each in enumerate(row))) for row in rows)
    return tag(
        "div", tag("table", tag("thead", head), tag("tbody", *body), class_="sort"), class_="scroll", tabindex="0",
        role="region", aria_label=f"table: {', '.join(titles)}",
    )  # fmt: skip


def figure(
    chart: Chart,
    *,
    name: str,
    about: str = "",
    numbers: Markup = NOTHING,
    full: bool = False,
    legend: Markup = NOTHING,
) -> Markup:
    """Return a chart with its title, what it says, and its numbers below.

    Parameters
    ----------
    name
        Begins the ids of this chart in the page.
    numbers
        The table of what is drawn.
    full
        Whether it takes a row of the page.
    """
    title, _ = chart.said
    narrow, wide = FULL if full else WIDE
    return tag(
        "figure",
        tag("figcaption", tag("h3", title), tag("p", prose(about), class_="about") if about else None),
        tag("div", chart.draw(wide, f"{name}-w"), class_="wide"),
        tag("div", chart.draw(MIDDLE, f"{name}-m"), class_="middle") if full else None,
        tag("div", chart.draw(narrow, f"{name}-n"), class_="narrow"),
        legend,
        tag("details", tag("summary", "Numbers"), numbers) if numbers else None,
        class_="card full" if full else "card",
    )


def card(title: str, *content: Markup, about: str = "", full: bool = False) -> Markup:
    """Return a card without a chart: its title, a sentence, what it holds."""
    told = tag("p", prose(about), class_="about") if about else None
    return tag("div", tag("h3", title), told, *content, class_="card full" if full else "card")


def cards(*each: Markup) -> Markup:
    """Return cards beside one another."""
    return tag("div", *each, class_="cards")


def prose(text: str) -> Markup:
    """Return a sentence of ours: what stands between backticks is a command."""
    return join(tag("code", part) if i % 2 else part for i, part in enumerate(text.split("`")))


def keys(pairs: Iterable[tuple[str, str]]) -> Markup:
    """Return what colours stand for: (class, name)."""
    return tag("ul", *(tag("li", tag("i", class_=colour), name) for colour, name in pairs), class_="keys")


def empty(missing: str, command: str, then: str = "") -> Markup:
    """Return what stands where nothing is known: what is missing, and the command that would fill it."""
    return tag("div", tag("p", f"{missing} ", tag("code", command), prose(then)), class_="none")


def section(anchor: str, title: str, about: str, *content: Markup) -> Markup:
    """Return a section of the page, with its sentence about what it says."""
    return tag("section", tag("h2", title), tag("p", prose(about), class_="quiet"), join(content), id=anchor)
