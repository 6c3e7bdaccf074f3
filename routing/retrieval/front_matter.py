"""What stands between two lines of `---` at the head of a Markdown file: a small, strict part of YAML.

A key a line. A value is the rest of its line as it stands, so that "Use it when: ..." needs no quotes; or text in
quotes; or `[a, b]`; or indented lines below it, joined to one (`>`) or kept apart (`|`); or `- item` lines. No anchors,
tags, nested tables or guessed types, which is what is dangerous or surprising in all of YAML.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Final

__all__ = ["BrokenError", "Matter", "Value", "split"]

_FENCE: Final = re.compile(r"---[ \t]*")
_KEY: Final = re.compile(r"([A-Za-z][A-Za-z0-9_-]*):(?:[ \t]+(.*))?")
_BLOCK: Final = re.compile(r"[>|][+-]?")


class BrokenError(Exception):
    """Front matter that cannot be read: at a line, of a field ("" where it is of none)."""

    def __init__(self, line: int, field: str, why: str) -> None:
        super().__init__(why)
        self.line = line
        self.field = field
        self.why = why


@dataclass(frozen=True, slots=True)
class Value:
    """A text or a list of texts, and its line (from 1)."""

    line: int
    said: str | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Matter:
    """A file's front matter and body, and the line that the body begins at."""

    values: dict[str, Value]
    body: str
    line: int


def split(text: str) -> Matter:
    r"""Return front matter and body of a file; a file without front matter is all body.

    Raises
    ------
    BrokenError
        If it has no end, or a line of it cannot be read.

    Examples
    --------
    >>> found = split("---\nabout: Taxes: returns\ntags: [json]\n---\n\nYou know taxes.\n")
    >>> found.values["about"].said, found.values["tags"].said, found.body, found.line
    ('Taxes: returns', ('json',), 'You know taxes.', 6)
    """
    lines = text.replace("\r\n", "\n").split("\n")
    if not _FENCE.fullmatch(lines[0]):
        return _with_body({}, lines, 0)
    end = next((at for at, line in enumerate(lines[1:], start=1) if _FENCE.fullmatch(line)), None)
    if end is None:
        raise BrokenError(1, "", "the front matter that begins here has no end: a line of ---")
    values: dict[str, Value] = {}
    at = 1
    while at < end:
        line = lines[at]
        if not line.strip() or line.lstrip().startswith("#"):
            at += 1
            continue
        match = _KEY.fullmatch(line.rstrip())
        if match is None:
            raise BrokenError(at + 1, "", f"expected `key: value`, got {_short(line)}")
        key, rest = match[1], (match[2] or "").strip()
        if key in values:
            raise BrokenError(at + 1, key, f"it stands there twice, first in line {values[key].line}")
        below = at + 1
        while below < end and (not lines[below].strip() or lines[below][0] in " \t" or lines[below].startswith("- ")):
            below += 1
        values[key] = Value(at + 1, _value(key, rest, lines[at + 1 : below], at + 1))
        at = below
    return _with_body(values, lines, end + 1)


def _with_body(values: dict[str, Value], lines: list[str], at: int) -> Matter:
    while at < len(lines) and not lines[at].strip():
        at += 1
    return Matter(values, "\n".join(lines[at:]).rstrip(), at + 1)


def _value(key: str, rest: str, below: list[str], line: int) -> str | tuple[str, ...]:
    """Return the value of a key: the rest of its line, and the lines below that belong to it."""
    under = [each.strip() for each in below]
    said = [each for each in under if each and not each.startswith("#")]
    if _BLOCK.fullmatch(rest):
        return ("\n" if rest[0] == "|" else " ").join(under).strip()
    if not rest and said and all(each.startswith("- ") for each in said):
        return tuple(_text(key, each[2:].strip(), line) for each in said)
    if rest.startswith("[") and not said:
        if not rest.endswith("]"):
            raise BrokenError(line, key, "the list has no ]")
        return tuple(_text(key, each.strip(), line) for each in rest[1:-1].split(",") if each.strip())
    if said and (rest.startswith(("[", "{")) or any(re.match(r"[\w-]+:(\s|$)", each) for each in said)):
        raise BrokenError(line, key, "a table cannot stand in front matter")
    return _text(key, " ".join([rest, *said]).strip(), line)


def _text(key: str, said: str, line: int) -> str:
    """Return a text, without its quotes."""
    if said[:1] in ("&", "*", "!", "{"):
        raise BrokenError(line, key, f"expected text, got {_short(said)} (put it in quotes if that is the text)")
    if said[:1] == '"':
        try:
            return str(json.loads(said, strict=False))
        except ValueError:
            raise BrokenError(line, key, f"the quotes are not closed, or more follows them: {_short(said)}") from None
    if said[:1] == "'":
        if len(said) < 2 or not re.fullmatch(r"'(?:[^']|'')*'", said):
            raise BrokenError(line, key, f"the quotes are not closed, or more follows them: {_short(said)}")
        return said[1:-1].replace("''", "'")
    return said


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
