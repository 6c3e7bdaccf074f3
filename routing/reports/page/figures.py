"""Numbers as a person reads them on a page, and the ticks of an axis."""

from __future__ import annotations

import math
import unicodedata
from typing import TYPE_CHECKING, Final

from scrimp.profiles.money import NANO, format_usd

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "UNKNOWN", "clip", "count", "log_ticks", "money", "share", "share_interval", "short_usd", "signed", "ticks", "usd",
    "width_of",
]  # fmt: skip

UNKNOWN: Final = "unknown"

_WIDTH: Final = 0.57
"""Mean width of a letter of a system's own font, in its size."""


def usd(amount: float | None) -> str:
    """Return an amount in USD; None is unknown."""
    if amount is None:
        return UNKNOWN
    return format_usd(round(amount * NANO))


def money(nano: int | None) -> str:
    """Return an amount of nano-USD; None is unknown."""
    return format_usd(nano)


def short_usd(amount: float) -> str:
    """Return an amount in USD as a tick of an axis says it.

    Examples
    --------
    >>> short_usd(0.00025), short_usd(1.5), short_usd(1200.0), short_usd(0.0)
    ('$0.00025', '$1.5', '$1,200', '$0')
    """
    if amount == 0:
        return "$0"
    sign, amount = ("\N{MINUS SIGN}", -amount) if amount < 0 else ("", amount)
    if amount >= 1:
        return f"{sign}${amount:,.2f}".removesuffix("0").removesuffix(".0")
    return f"{sign}${amount:.{max(2, 1 - math.floor(math.log10(amount)))}f}".rstrip("0")


def count(n: int | None) -> str:
    """Return a whole number; None is unknown."""
    return UNKNOWN if n is None else f"{n:,}"


def share(value: float | None) -> str:
    """Return a share of 1 in percent; None is unknown."""
    return UNKNOWN if value is None else f"{value:.0%}"


def share_interval(bounds: tuple[float, float] | None) -> str:
    """Return an interval of a share in percent, in brackets; "" without one."""
    return "" if bounds is None else f"[{100 * bounds[0]:.0f}, {100 * bounds[1]:.0f}]"


def signed(value: float, digits: int = 2) -> str:
    """Return a number with its sign, by a minus that is as wide as the plus."""
    return f"{value:+.{digits}f}".replace("-", "\N{MINUS SIGN}")


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Return round numbers that cover a range: steps of 1, 2 or 5 times a power of ten, at most so many and two.

    Examples
    --------
    >>> ticks(0.0, 0.83), ticks(0.0, 0.0)
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [0.0, 1.0])
    """
    if not high - low > 1e-6 * max(abs(low), abs(high)):  # one number, but for what floats cannot tell apart
        high = low + max(1.0, abs(low))
        most = 1
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(times * power for times in (1.0, 2.0, 5.0, 10.0) if times * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    digits = max(0, -math.floor(math.log10(step)) + 1)
    return [round(i * step, digits) + 0.0 for i in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return powers of ten that cover a range of numbers above 0.

    Examples
    --------
    >>> log_ticks(0.0002, 0.03)
    [0.0001, 0.001, 0.01, 0.1]
    """
    return [10.0**i for i in range(math.floor(math.log10(low)), math.ceil(math.log10(high) + 1e-9) + 1)]


def width_of(text: str, size: float = 12.0) -> float:
    """Return about how wide a text is, in pixels."""
    return sum(_wide(each) for each in text) * size * _WIDTH


def clip(text: str, width: float, size: float = 12.0) -> str:
    """Return as much of a text as fits a width in pixels, with an ellipsis where that is not all; one line.

    Examples
    --------
    >>> clip("a long name of an arm", 60.0)
    'a long n…'
    """
    line = " ".join(text.split())
    if width_of(line, size) <= width:
        return line
    kept, used = [], _WIDTH * size
    for each in line:
        used += _wide(each) * size * _WIDTH
        if used > width:
            break
        kept.append(each)
    return "".join(kept) + "…"


def _wide(letter: str) -> float:
    if unicodedata.combining(letter):
        return 0.0
    return 1.8 if unicodedata.east_asian_width(letter) in "WF" else 1.0


def together(parts: Sequence[str]) -> str:
    """Return parts that are not empty, with a middle dot between."""
    return " · ".join(part for part in parts if part)
