"""Cells of a CSV or TSV file that a spreadsheet would run as a formula: quoted when written, plain when read again."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["quoted", "unquoted"]

_FORMULA: Final = re.compile(r"""[\s"'\ufeff]*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20\u2212]""")
"""What a formula begins with (https://owasp.org/www-community/attacks/CSV_Injection), full-width signs included."""

_NUMBER: Final = re.compile(r"[+-]?(?:\d+(?:[.,]\d+)*|[.,]\d+)(?:[eE][+-]?\d+)?%?|-?inf|nan")


def quoted(cell: str) -> str:
    r"""Return a cell as a spreadsheet may see it: with an apostrophe before what it would run; numbers stay numbers.

    Examples
    --------
    >>> [quoted(each) for each in ("=1+1", " @SUM(A1)", "- a point", "-5", "+3.2e-4", "2-1", "'=1")]
    ["'=1+1", "' @SUM(A1)", "'- a point", '-5', '+3.2e-4', '2-1', "''=1"]
    """
    return f"'{cell}" if _FORMULA.match(cell) and not _NUMBER.fullmatch(cell) else cell


def unquoted(cell: str) -> str:
    """Return what a cell was before `quoted`.

    Examples
    --------
    >>> unquoted(quoted("=1+1")), unquoted("'tis"), unquoted("-5")
    ('=1+1', "'tis", '-5')
    """
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell[1:]) and not _NUMBER.fullmatch(cell[1:]) else cell
