"""Money: integer nano-USD inside, decimal strings at the edge, never a float sum."""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal, InvalidOperation

__all__ = ["MAX_USD", "NANO", "ceil_nano", "format_usd", "nano_from_usd", "read_number", "read_usd", "usd_from_nano"]

NANO = 1_000_000_000
"""Nano-USD in one USD."""

MAX_USD = 1_000_000_000
"""The largest amount that is taken for one, in USD."""

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,9})?")


def read_number(text: str) -> Decimal:
    """Read a number that someone wrote in a flag, a variable or a file.

    Raises
    ------
    ValueError
        If it is none, saying why: digits are those of ASCII, with no separators, and there is no infinity.

    Examples
    --------
    >>> read_number(" 1.5e-3 ")
    Decimal('0.0015')
    >>> read_number("1_000")
    Traceback (most recent call last):
    ValueError: not a number
    """
    text = text.strip()
    if not _NUMBER.fullmatch(text):
        msg = "not a number"
        raise ValueError(msg)
    return Decimal(text)


def read_usd(text: str) -> int:
    """Read an amount in USD that someone wrote, as nano-USD rounded up: `0.05`, `$5`, `5 USD`.

    Raises
    ------
    ValueError
        If it is none, saying why.

    Examples
    --------
    >>> read_usd("$0.05"), read_usd("5 USD"), read_usd("1e-400")
    (50000000, 5000000000, 1)
    >>> read_usd("1e400")
    Traceback (most recent call last):
    ValueError: more than $1,000,000,000
    """
    bare = re.sub(r"^\$\s*|\s*(?:\$|usd)$", "", text.strip(), flags=re.IGNORECASE)
    amount = read_number(bare)
    if amount < 0:
        msg = "below zero"
        raise ValueError(msg)
    if amount > MAX_USD:
        msg = f"more than ${MAX_USD:,}"
        raise ValueError(msg)
    # What underflows is still more than nothing.
    return ceil_nano(amount * NANO) or int(amount > 0)


def nano_from_usd(usd: Decimal | str | float) -> int:
    """Convert an amount in USD to nano-USD, rounding up.

    Parameters
    ----------
    usd
        An amount in USD. A float is read by its shortest decimal form, so 0.1 is exactly one tenth.

    Raises
    ------
    ValueError
        If `usd` is not a finite number.

    Examples
    --------
    >>> nano_from_usd("0.05")
    50000000
    >>> nano_from_usd(0.1)
    100000000
    """
    try:
        amount = usd if isinstance(usd, Decimal) else Decimal(str(usd))
    except InvalidOperation:
        msg = f"not an amount in USD: {usd!r}"
        raise ValueError(msg) from None
    if not amount.is_finite():
        msg = f"not a finite amount in USD: {usd!r}"
        raise ValueError(msg)
    return ceil_nano(amount * NANO)


def ceil_nano(nano: Decimal) -> int:
    """Round a decimal amount of nano-USD up to a whole one."""
    return int(nano.to_integral_value(rounding=ROUND_CEILING))


def usd_from_nano(nano: int) -> float:
    """Convert nano-USD to a float in USD, for JSON and arithmetic on predictions; never for sums of money."""
    return nano / NANO


def format_usd(nano: int | None) -> str:
    """Show an amount to a person: at least two decimals, and as many as the first two significant digits need.

    Examples
    --------
    >>> format_usd(1_230_000_000), format_usd(123_456), format_usd(0), format_usd(None)
    ('$1.23', '$0.00012', '$0', 'unknown')
    """
    if nano is None:
        return "unknown"
    if nano == 0:
        return "$0"
    sign, nano = ("-", -nano) if nano < 0 else ("", nano)
    decimals = 2
    while decimals < 9 and nano < 10 ** (10 - decimals):
        decimals += 1
    return f"{sign}${Decimal(nano) / NANO:.{decimals}f}"
