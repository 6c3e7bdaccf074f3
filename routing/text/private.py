"""Find what is private in a text, by its form, and put placeholders there: cards, accounts, addresses, keys."""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from .sanitize import REDACTED, scrub

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Redactor", "in_every_text", "luhn", "valid_iban"]


def luhn(digits: str) -> bool:
    """Return whether digits end in the check digit that cards have (ISO/IEC 7812-1).

    Examples
    --------
    >>> luhn("4111111111111111"), luhn("4111111111111112")
    (True, False)
    """
    total = 0
    for place, char in enumerate(reversed(digits)):
        value = int(char) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def valid_iban(text: str) -> bool:
    """Return whether a text is an account number of ISO 13616 with its check digits.

    Examples
    --------
    >>> valid_iban("DE89370400440532013000"), valid_iban("DE89370400440532013001")
    (True, False)
    """
    if not 15 <= len(text) <= 34 or not text.isascii() or not text.isalnum():
        return False
    return int("".join(str(int(char, 36)) for char in text[4:] + text[:4])) % 97 == 1


def _card(text: str) -> str | None:
    digits = re.sub(r"\D", "", text)
    return text if len(set(digits)) > 1 and luhn(digits) else None


def _iban(text: str) -> str | None:
    """Return as much of a text, from its beginning, as is an account number: words may follow it."""
    for end in range(len(text), 14, -1):
        if (end == len(text) or text[end] == " ") and valid_iban(text[:end].replace(" ", "")):
            return text[:end]
    return None


def _phone(text: str) -> str | None:
    return text if 8 <= sum(map(str.isdigit, text)) <= 15 else None


def _machine(text: str) -> str | None:
    """Return an address where it is one of IP, version 4 or 6, and not a clock's time."""
    trimmed = text.rstrip(".:") if not text.endswith("::") else text
    try:
        ipaddress.ip_address(trimmed)
    except ValueError:
        return None
    return trimmed


def _any(text: str) -> str | None:
    return text


_KINDS: Final[tuple[tuple[str, re.Pattern[str], Callable[[str], str | None]], ...]] = (
    ("EMAIL", re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){0,8}\.[A-Za-z]{2,24}\b"), _any),
    ("IBAN", re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}\b"), _iban),
    ("CARD", re.compile(r"(?<![\d.-])\d(?:[ -]?\d){12,18}(?![\d-])"), _card),
    ("MACHINE", re.compile(r"(?<![\w.:-])(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}(?![\w:-])"), _any),
    ("MACHINE", re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w]|\.\d)"), _machine),
    ("MACHINE", re.compile(r"(?<![\w:])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:])"), _machine),
    ("MACHINE", re.compile(r"\b[\w-]{1,63}(?:\.[\w-]{1,63}){0,4}\.(?:local|internal|lan|corp|intranet)\b"), _any),
    ("SSN", re.compile(r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])"), _any),
    ("PHONE", re.compile(r"(?<![\w.])(?:\+|00)\d{1,3}(?:[ ./-]?\(?\d{1,4}\)?){2,7}(?!\w)"), _phone),
    ("PHONE", re.compile(r"(?<![\w.-])\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4}(?![\w-])"), _phone),
)
"""What is looked for, in this order: its name, its form, and what of a match it is (None: nothing)."""


@dataclass(slots=True)
class Redactor:
    """Puts placeholders where private text stands; the same text gets the same one, as long as this lives.

    What has a form of its own is found: e-mail, IBAN, cards, telephone numbers, social security numbers, addresses and
    names of machines, and what looks like a key. Names of people and streets have none, and are not.

    Attributes
    ----------
    secrets
        Keys to be taken out wherever they stand, whole or in part.
    found
        How much of each kind was replaced.

    Examples
    --------
    >>> Redactor().redact("Pay 4111 1111 1111 1111, tell ann@example.com and bob@example.com, then ann@example.com")
    'Pay <CARD_1>, tell <EMAIL_1> and <EMAIL_2>, then <EMAIL_1>'
    """

    secrets: Sequence[str] = ()
    found: Counter[str] = field(default_factory=Counter)
    _known: dict[tuple[str, str], str] = field(default_factory=dict)

    def redact(self, text: str) -> str:
        """Return a text with placeholders."""
        clean = scrub(text, self.secrets)
        keys = clean.count(REDACTED) - text.count(REDACTED)
        if keys > 0:
            self.found["KEY"] += keys
        for name, form, is_it in _KINDS:
            clean = form.sub(partial(self._put, name, is_it), clean)
        return clean

    def _put(self, name: str, is_it: Callable[[str], str | None], hit: re.Match[str]) -> str:
        what = is_it(hit[0])
        if what is None:
            return hit[0]
        self.found[name] += 1
        number = 1 + sum(kind == name for kind, _ in self._known)
        return self._known.setdefault((name, what), f"<{name}_{number}>") + hit[0][len(what) :]


def in_every_text(value: Any, change: Callable[[str], str]) -> Any:
    """Return plain data with every string in it changed; names of fields stay."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list | tuple):
        return [in_every_text(each, change) for each in value]
    if isinstance(value, dict):
        return {name: in_every_text(each, change) for name, each in value.items()}
    return value
