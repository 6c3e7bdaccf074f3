"""HTML that is safe as it is made: text is sanitised and escaped on its way in, only what was made here is not."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Final

from scrimp.routing.text.sanitize import sanitize

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["NOTHING", "Markup", "join", "safe", "tag"]

_VOID: Final = frozenset({"br", "input", "meta"})
"""Elements without content; of SVG there are none, since HTML closes what it does not know by its end alone."""


class Markup(str):
    """HTML that was made by `tag`, `safe` or `join`: it may stand in a page as it is."""

    __slots__ = ()


NOTHING: Final = Markup()


def safe(text: str) -> Markup:
    r"""Return a text as HTML that shows it: controls and what reorders or hides text are made visible, too.

    Examples
    --------
    >>> safe("</script><b>\x1b[2J\u202e")
    '&lt;/script&gt;&lt;b&gt;␛[2J\\u202e'
    """
    return text if isinstance(text, Markup) else Markup(html.escape(sanitize(text)))


def join(parts: Iterable[str | None], between: str = "") -> Markup:
    """Return parts together; texts among them are made safe, None is left out."""
    return Markup(safe(between).join(safe(part) for part in parts if part is not None))


def tag(name: str, /, *content: str | None, **attributes: str | float | None) -> Markup:
    """Return an element.

    Parameters
    ----------
    content
        Markup stands as it is, text is made safe, None is left out.
    attributes
        `class_` is `class`, other low lines are hyphens; None leaves one out, "" gives it without a value.

    Examples
    --------
    >>> tag("p", "a < b", class_="note"), tag("input", type="search", hidden="")
    ('<p class="note">a &lt; b</p>', '<input type="search" hidden>')
    """
    told = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value == "" else f'="{_value(value)}"')
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{told}>")
    return Markup(f"<{name}{told}>{join(content)}</{name}>")


def _value(value: str | float) -> str:
    if isinstance(value, float):
        return f"{round(value, 1):g}"
    return safe(str(value))
