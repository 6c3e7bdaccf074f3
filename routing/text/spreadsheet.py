"""Lines of a CSV or TSV file, in which no cell is a formula that a spreadsheet would run."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["quoted", "table_line"]

_FORMULA: Final = re.compile(r"""[\s"\ufeff]*(?:[=+\-@\uff1d\uff0b\uff0d\uff20\u2212]|(?<=[\t\r\n]))""")
"""How a formula begins (https://owasp.org/www-community/attacks/CSV_Injection), full-width signs included."""

_HARMLESS: Final = re.compile(r"[+-]?(?:\d+(?:[.,]\d+)*|[.,]\d+)(?:[eE][+-]?\d+)?%?|[+-]")
"""A number, or a sign alone."""


def quoted(cell: str) -> str:
    r"""Return a cell with an apostrophe before what a spreadsheet would run; numbers stay numbers.

    Examples
    --------
    >>> [quoted(each) for each in ("=1+1", " @SUM(A1)", "- a point", "-5", "+3.2e-4", "2-1", "'=1")]
    ["'=1+1", "' @SUM(A1)", "'- a point", '-5', '+3.2e-4', '2-1', "'=1"]
    """
    return f"'{cell}" if _FORMULA.match(cell) and not _HARMLESS.fullmatch(cell) else cell


def table_line(cells: Iterable[str], *, separator: str = ",", newline: str = "\n") -> str:
    r"""Return a line of a table.

    Examples
    --------
    >>> table_line(["a", "b\r=c", "=d"])
    'a,"b\r=c",\'=d\n'
    """
    out = io.StringIO()
    # What a line ends in is quoted within it: a bare carriage return, too, begins a row for many a reader.
    csv.writer(out, delimiter=separator, lineterminator="\r\n").writerow(map(quoted, cells))
    return out.getvalue().removesuffix("\r\n") + newline
