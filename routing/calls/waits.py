"""How long a provider asks to wait: in headers, in the body of an error, or in its text."""

from __future__ import annotations

import contextlib
import email.utils
import math
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["LONGEST_S", "server_time", "span_words", "wait_s"]

LONGEST_S: Final = 31 * 86_400.0
"""A longer wait than a month is taken for a month: no run lasts that long, and the numbers are mistakes."""

_EPOCH: Final = 1e9
"""From here on, a number of seconds is a point in time (since 1970), and from 1e12 on one in milliseconds."""

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_PART: Final = (
    r"(\d+(?:\.\d+)?)\s*"
    r"(milliseconds?|msecs?|ms|days?|d|hours?|hrs?|h|minutes?|mins?|m|seconds?|secs?|s)(?![a-z])"
)
_IN_TEXT: Final = re.compile(
    r"(?:try(?:ing)?(?: your request| this request| it)? again|retry(?:ing)?|wait|available|resets?|reset)"
    rf"[^.\d]{{0,40}}?(?<!-)((?:{_PART}[\s,]*(?:and\s+)?)+)",
    re.IGNORECASE,
)
_UNTIL: Final = re.compile(
    r"(?:again|retry|access|resets?|available|until|after)[^.\d]{0,40}?"
    r"(\d{4}-\d\d-\d\d)(?:(?:\s+at\s+|[T ])(\d\d:\d\d(?::\d\d)?)(?:\.\d+)?\s*(Z|UTC|[+-]\d\d:?\d\d)?)?",
    re.IGNORECASE,
)
_BODY_KEYS: Final = {
    "retrydelay": 1.0, "retry_delay": 1.0, "retry_after": 1.0, "retryafter": 1.0, "retry_after_seconds": 1.0,
    "retry_after_ms": 0.001, "resets_in_seconds": 1.0, "resets_at": 1.0,
}  # fmt: skip


def wait_s(headers: Mapping[str, str], body: Any, texts: Iterable[str], *, now: float) -> float | None:
    """Return how long a provider asks to wait, in seconds; None when it does not say, or says nonsense.

    What it asks for outright (`Retry-After`, a delay in the body or in the text) goes before the headers that tell when
    its limits start anew. Of several, the longest. None is longer than `LONGEST_S`.

    Parameters
    ----------
    headers
        Of the reply, by lower-case name.
    body
        Of the reply, decoded; None where it is no JSON.
    texts
        What the error says, for people.
    now
        POSIX time, by the provider's own clock where it tells it (`server_time`).

    Examples
    --------
    >>> wait_s({}, None, ["Limit reached. Please try again in 7h12m0s."], now=0.0)
    25920.0
    >>> wait_s({"x-ratelimit-reset-tokens": "1m30s", "x-ratelimit-remaining-tokens": "0"}, None, [], now=0.0)
    90.0
    """
    asked = [_after(headers, now), *_in_body(body, now), *(_in_text(text, now) for text in texts)]
    known = [seconds for seconds in asked if seconds is not None and seconds > 0.0]
    seconds = max(known) if known else _reset(headers, now)
    return None if seconds is None else min(seconds, LONGEST_S)


def server_time(headers: Mapping[str, str], now: float) -> float:
    """Return the time on the clock of whoever replied, POSIX seconds; `now` where it does not tell."""
    return _date(headers.get("date", "")) or now


def span_words(seconds: float) -> str:
    """Return a span of time in words, rounded up, so that whoever waits that long does not come early.

    Examples
    --------
    >>> span_words(0.2), span_words(25_920.0), span_words(200_000.0)
    ('1 s', '7 h 12 min', '2 d 8 h')
    """
    whole = max(1, math.ceil(seconds))
    if whole < 120:
        return f"{whole} s"
    minutes = math.ceil(whole / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    days, hours = divmod(math.ceil(minutes / 60), 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def _after(headers: Mapping[str, str], now: float) -> float | None:
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds:
        return milliseconds / 1000
    return _span(headers.get("retry-after"), now)


def _in_body(body: Any, now: float, depth: int = 0) -> list[float | None]:
    """Return what the fields of an error's body ask for: Google's RetryInfo and the like."""
    found: list[float | None] = []
    if depth > 8:
        return found
    if isinstance(body, list):
        for item in body[:20]:
            found += _in_body(item, now, depth + 1)
    elif isinstance(body, dict):
        for key, value in list(body.items())[:50]:
            scale = _BODY_KEYS.get(str(key).lower())
            if scale is not None and isinstance(value, (str, int, float)) and not isinstance(value, bool):
                seconds = _span(str(value), now)
                found.append(None if seconds is None else seconds * scale)
            elif scale is not None and isinstance(value, dict):
                found.append(_number(str(value.get("seconds"))))
            else:
                found += _in_body(value, now, depth + 1)
    return found


def _in_text(text: str, now: float) -> float | None:
    match = _IN_TEXT.search(text)
    if match is not None:
        return _parts(match[1])
    until = _UNTIL.search(text)
    if until is None:
        return None
    zone = (until[3] or "UTC").upper()
    moment = _date(f"{until[1]}T{until[2] or '00:00'}{'+00:00' if zone in ('Z', 'UTC') else zone}")
    return None if moment is None else moment - now


def _reset(headers: Mapping[str, str], now: float) -> float | None:
    """Return when the limit that was reached starts anew; where that cannot be told, the one that does first."""
    reached: list[float] = []
    others: list[float] = []
    for name, value in headers.items():
        if "ratelimit" not in name or "reset" not in name:
            continue
        seconds = _span(value, now)
        if seconds is not None:
            left = _number(headers.get(name.replace("-reset-after", "-remaining").replace("reset", "remaining")))
            (reached if left == 0 else others).append(seconds)
    return max(reached) if reached else min(others, default=None)


def _span(text: str | None, now: float) -> float | None:
    """Return the seconds in a value: a number, a duration such as 6m0s, or the time until a date or an epoch."""
    if text is None:
        return None
    value = text.strip()
    number = _number(value)
    if number is not None:
        moment = number / 1000 if number >= _EPOCH * 1000 else number if number >= _EPOCH else None
        seconds: float | None = number if moment is None else moment - now
    elif re.fullmatch(rf"(?:{_PART}\s*)+", value, re.IGNORECASE):
        seconds = _parts(value)
    else:
        moment = _date(value)
        seconds = None if moment is None else moment - now
    return seconds if seconds is not None and seconds > 0.0 else None


def _parts(text: str) -> float:
    """Return the seconds in a duration such as 7h12m0s, or 1 hour and 5 minutes."""
    total = 0.0
    for number, unit in re.findall(_PART, text, re.IGNORECASE):
        name = unit.lower()
        total += float(number) * _UNITS["ms" if name.startswith(("ms", "mil")) else name[0]]
    return total


def _date(text: str) -> float | None:
    """Return a moment in HTTP's or ISO's form, POSIX seconds; without a zone it is UTC."""
    for read in (datetime.fromisoformat, email.utils.parsedate_to_datetime):
        with contextlib.suppress(ValueError, TypeError, IndexError, OverflowError):
            moment = read(text.strip())
            return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
    return None


def _number(text: str | None) -> float | None:
    """Return a number of at least 0, or None."""
    if text is None:
        return None
    with contextlib.suppress(ValueError):
        value = float(text)
        if value >= 0.0:  # false for NaN; more than any clock is bounded later
            return min(value, 1e16)
    return None
