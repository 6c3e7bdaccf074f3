"""Cells of a CSV or TSV file that a spreadsheet would run as a formula."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["quoted"]

_FORMULA: Final = re.compile(r"""[\s"\ufeff]*(?:[=+\-@\uff1d\uff0b\uff0d\uff20\u2212]|(?<=[\t\r\n]))""")
"""How a formula begins (https://owasp.org/www-community/attacks/CSV_Injection), full-width signs included."""

_NUMBER: Final = re.compile(r"[+-]?(?:\d+(?:[.,]\d+)*|[.,]\d+)(?:[eE][+-]?\d+)?%?")


def quoted(cell: str) -> str:
    r"""Return a cell with an apostrophe before what a spreadsheet would run; numbers stay numbers.

    Examples
    --------
    >>> [quoted(each) for each in ("=1+1", " @SUM(A1)", "- a point", "-5", "+3.2e-4", "2-1", "'=1")]
    ["'=1+1", "' @SUM(A1)", "'- a point", '-5', '+3.2e-4', '2-1', "'=1"]
    """
    return f"'{cell}" if _FORMULA.match(cell) and not _NUMBER.fullmatch(cell) else cell
