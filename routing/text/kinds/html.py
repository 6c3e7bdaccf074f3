"""The text of an HTML page: what a reader sees of it, without scripts, styles and tags.

A page is gone through once, whatever it holds: what is left open ends where the page does. `html.parser` of the
standard library goes back in such pages, in time with the square of their length.
"""

from __future__ import annotations

import re
from html import unescape
from typing import Final

from scrimp.routing.text.encodings import decoded

from .kind import NoTextError, Text

__all__ = ["read", "takes", "text_of_page"]

_SUFFIXES: Final = (".html", ".htm", ".xhtml")

_TOKEN: Final = re.compile(
    r"""
      <!--(?:.*?-->|.*\Z)
    | <(?P<end>/?)(?P<tag>[a-z][^\s/>]*+)(?:[^>=]++|=\s*+(?:"[^"]*+"|'[^']*+')?+)*+(?:>|\Z)
    | <[!?/][^>]*+(?:>|\Z)
    | (?P<text>[^<]++|<)
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)

_CHARSET: Final = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w-]+)", re.IGNORECASE)

_UNSEEN: Final = frozenset({"script", "style", "template", "noscript", "svg", "iframe", "object", "ix:header"})
"""What no reader sees. `ix:header` holds the hidden facts of a filing in inline XBRL."""

_PARAGRAPHS: Final = frozenset(
    {
        "address", "article", "aside", "blockquote", "body", "dl", "fieldset", "figure", "footer", "form", "h1", "h2",
        "h3", "h4", "h5", "h6", "header", "hr", "main", "nav", "ol", "p", "pre", "section", "table", "title", "ul",
    }
)  # fmt: skip
"""What an empty line stands around."""

_LINES: Final = frozenset({"br", "caption", "dd", "div", "dt", "figcaption", "li", "option", "summary", "tr"})
"""What begins a line."""

_CELL: Final = "\x00"
"""Stands between cells while a row is put together; no page holds it."""


def takes(name: str, start: bytes) -> bool:  # noqa: ARG001 - a page that is piped in may be meant as it is
    """Tell a page by its name."""
    return name.lower().endswith(_SUFFIXES)


def read(raw: bytes, what: str) -> Text:
    """Return the text of a page.

    Raises
    ------
    NoTextError
        If a reader sees none.
    UsageError
        If it is not text, or its encoding cannot be told.
    """
    named = _CHARSET.search(raw[:4096])
    page, remark = decoded(raw, what=what, declared=None if named is None else named[1].decode("ascii", "replace"))
    text = text_of_page(page)
    if page.strip() and not text:
        raise NoTextError(
            f"{what} is an HTML page without text: a script may put it there",
            hint="Save it from a browser as text. `scrimp ask < FILE` takes it with its tags.",
        )
    said = f"{what}: its text is read, {len(text):,} of {len(page):,} characters (< FILE takes it with its tags)"
    return Text(text, (said,) if remark is None else (remark, said))


def text_of_page(page: str) -> str:
    r"""Return what a reader sees of a page.

    Paragraphs have an empty line between them, a row of a table is a line, its cells parted by `|`.

    Examples
    --------
    >>> text_of_page("<p>One &amp; two<p>three<table><tr><th>Q1<th>Q2<tr><td>7<td>8</table><script>x</script>")
    'One & two\n\nthree\n\nQ1 | Q2\n7 | 8\n'
    """
    writer = _Writer()
    at, end = 0, len(page)
    while at < end:
        match = _TOKEN.match(page, at)
        assert match is not None  # noqa: S101 - its last case takes any character
        at = match.end()
        if (text := match["text"]) is not None:
            writer.text(text)
        elif (tag := match["tag"]) is not None:
            tag = tag.lower()
            if tag in _UNSEEN and not match["end"] and not match[0].endswith("/>"):
                closed = re.compile(rf"</{re.escape(tag)}\b[^>]*+(?:>|\Z)", re.IGNORECASE).search(page, at)
                at = end if closed is None else closed.end()
            else:
                writer.tag(tag, ends=bool(match["end"]))
    return writer.done()


class _Writer:
    """Puts lines together from what is between tags, and what the tags say of it."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._line: list[str] = []
        self._cell = False
        self._verbatim = False

    def text(self, text: str) -> None:
        """Take text."""
        text = unescape(text).replace(_CELL, "")
        if not self._verbatim or self._cell:
            self._line.append(text)
            return
        first, *more = text.split("\n")
        self._line.append(first)
        for line in more:
            self._end()
            self._line.append(line)

    def tag(self, tag: str, *, ends: bool) -> None:
        """Take a tag."""
        if tag in ("td", "th"):
            if not ends:
                self._line.append(_CELL)
                self._cell = True
        elif tag in ("tr", "table"):
            self._cell = False
            self._end(blank=tag == "table")
        elif self._cell:
            if tag in _LINES or tag in _PARAGRAPHS:
                self._line.append(" ")
        elif tag in _PARAGRAPHS:
            self._end(blank=True)
            if tag == "pre":
                self._verbatim = not ends
        elif tag in _LINES:
            self._end()
            if tag == "li":
                self._line = [] if ends else ["- "]

    def _end(self, *, blank: bool = False) -> None:
        """End the line; with an empty one after it."""
        line, self._line = "".join(self._line), []
        if line.strip() == "-":  # of a list: what is beside it has yet to come
            self._line = [line]
            return
        if self._verbatim:
            self._lines.append(line.replace(_CELL, " ").rstrip())
        elif _CELL in line:
            before, *cells = (" ".join(each.split()) for each in line.split(_CELL))
            if before:
                self._lines.append(before)
            if any(cells):
                self._lines.append(" | ".join(cells))
        elif line := " ".join(line.split()):
            self._lines.append(line)
        if blank and self._lines and self._lines[-1]:
            self._lines.append("")

    def done(self) -> str:
        """Return the text, which ends in a newline where there is any."""
        self._end()
        text = "\n".join(self._lines).strip("\n")
        return f"{text}\n" if text else ""
