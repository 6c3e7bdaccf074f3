"""How a file of rows is laid out: its byte order mark, line ends, separator, or that it is one JSON document.

Found out once, by its first lines, and the same for the output. What is not certain is refused, with the fix.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
from dataclasses import dataclass
from typing import Final

from scrimp.profiles.errors import DataError

__all__ = ["PLAIN", "SAMPLE_BYTES", "Layout", "begins_json", "layout_of"]

SAMPLE_BYTES: Final = 1 << 16
"""Bytes of a file that are looked at."""

_SEPARATORS: Final = ",;\t|"
_NAMES: Final = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars (|)"}
_SEP_LINE: Final = re.compile(r'"?sep=([^\r\n"])"?[,;\t]*', re.IGNORECASE)
_BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Layout:
    r"""How a file is laid out.

    Attributes
    ----------
    bom
        Whether it begins with a byte order mark (UTF-8).
    newline
        How its lines end: `\n`, `\r\n` or `\r`.
    separator
        What stands between the cells of a table.
    stated
        Whether a line before the header says so: `sep=;`, as Excel writes it.
    n_before
        Lines before a table's header: that one, and empty ones.
    document
        Whether it is JSON that does not stand one value to a line.
    note
        What of this the user is told, or None.
    """

    bom: bool = False
    newline: str = "\n"
    separator: str = ","
    stated: bool = False
    n_before: int = 0
    document: bool = False
    note: str | None = None


PLAIN: Final = Layout()
"""Lines of UTF-8, cells separated by commas."""


def layout_of(start: bytes, form: str, *, whole: bool, name: str) -> Layout:
    """Return the layout of a file that begins like this.

    Parameters
    ----------
    form
        Its format: `jsonl`, `csv`, `tsv` or `lines`.
    whole
        Whether that is all of it.

    Raises
    ------
    DataError
        If a table's separator cannot be told.
    """
    bom = start.startswith(_BOM)
    text = start.removeprefix(_BOM).decode("utf-8", "surrogateescape")
    newline = _newline(text)
    if form == "jsonl":
        return Layout(bom=bom, newline=newline, document=_is_document(text, whole=whole))
    if form == "lines":
        return Layout(bom=bom, newline=newline)
    lines = list(io.StringIO(text.replace("\r", "\n") if newline == "\r" else text, newline="\n"))
    if not whole and len(lines) > 1:
        lines.pop()
    n_before = 0
    stated: str | None = None
    for line in lines:
        found = _SEP_LINE.fullmatch(line.rstrip("\r\n"))
        if found is not None and stated is None:
            stated = found[1]
        elif line.strip():
            break
        n_before += 1
    separator = stated or _separator(lines[n_before:], "\t" if form == "tsv" else ",", name)
    note = None
    if separator != ("\t" if form == "tsv" else ","):
        note = f"{name}: its cells are separated by {_NAMES.get(separator, repr(separator))}"
    return Layout(bom, newline, separator, stated is not None, n_before, note=note)


def _newline(text: str) -> str:
    at = text.find("\n")
    if at < 0:
        return "\r" if "\r" in text.rstrip("\r") or text.endswith("\r") else "\n"
    return "\r\n" if text[at - 1 : at] == "\r" else "\n"


def _separator(lines: list[str], usual: str, name: str) -> str:
    """Return what separates a table's cells: the usual, unless the header has none of it and has another."""
    found = {each: _cells(lines, each) for each in _SEPARATORS}
    found = {each: rows for each, rows in found.items() if rows and len(rows[0]) > 1}
    if not found:
        return usual
    if len(found) == 1:
        return next(iter(found))
    # The header has several of them: the rows say which one makes as many cells in each.
    fits = {each: sum(_width(row) <= len(rows[0]) and len(row) > 1 for row in rows) for each, rows in found.items()}
    exact = [each for each, rows in found.items() if fits[each] == len(rows)]
    if len(exact) == 1:
        return exact[0]
    if not exact and usual in found:
        return usual
    raise DataError(
        f"{name}: its cells may be separated by {' or by '.join(_NAMES[each] for each in exact or found)}",
        hint=f"Say which in a line before the header: sep={usual if usual != chr(9) else ';'}",
    )


def _width(row: list[str]) -> int:
    """Return how many cells a row has, without the empty ones at its end."""
    n = len(row)
    while n and not row[n - 1].strip():
        n -= 1
    return n


def _cells(lines: list[str], separator: str) -> list[list[str]]:
    """Return the cells of a table's first rows, empty rows left out, up to one that cannot be read."""
    rows: list[list[str]] = []
    with contextlib.suppress(csv.Error):
        rows.extend(row for row in csv.reader(lines[:200], delimiter=separator, strict=True) if _width(row))
    return rows


# ---- JSON


def begins_json(start: bytes) -> bool:
    """Tell whether a file whose name says nothing holds JSON, by how it begins."""
    text = start.removeprefix(_BOM).lstrip()
    return text[:1] == b"{" or text[:1] == b"\x1e" or (text[:1] == b"[" and text[1:].lstrip()[:1] in (b"{", b"]"))


def _is_document(text: str, *, whole: bool) -> bool:
    """Tell JSON that does not stand one value to a line: an array, objects over several lines, a text sequence."""
    text = text.lstrip()
    if text[:1] in ("[", "\x1e"):
        return True
    if text[:1] != "{":
        return False
    line = re.split(r"[\r\n]", text, maxsplit=1)[0]
    end = _first_value(line)
    if end is not None:
        return line[end:].strip(" \t,") != "" or (whole and text.strip() == line.strip())
    return _first_value(text) is not None or (not whole and line.rstrip()[-1:] in ("{", "["))


def _first_value(text: str) -> int | None:
    """Return where the JSON value that a text begins with ends; None where there is none."""
    try:
        return json.JSONDecoder().raw_decode(text)[1]
    except (ValueError, RecursionError):
        return None
