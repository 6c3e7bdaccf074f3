"""Whether the figures and quotations of an answer stand in what was sent: what stands there nowhere was made up.

Figures are compared by what they come to (1,234.5 and 1.234,5; $3.7 million and 3,700,000), as exactly as the answer
writes them. Years, ordinals, the numbers of a list and small whole numbers are left out. A figure that is the sum,
difference, quotient or change of others in the answer, which stand there, was worked out; where the question asks to
work something out, the check abstains rather than fail.
"""

from __future__ import annotations

import bisect
import itertools
import re
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from .base import NOTHING, BaseCheck, Given, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["QuotedCheck"]

_SCALES: Final = {
    "thousand": 1e3, "k": 1e3, "tsd": 1e3, "mille": 1e3, "mil": 1e3,
    "million": 1e6, "millions": 1e6, "mn": 1e6, "mm": 1e6, "m": 1e6, "mio": 1e6, "millionen": 1e6, "millones": 1e6,
    "milioni": 1e6, "milh\u00f5es": 1e6, "miljoen": 1e6,
    "billion": 1e9, "billions": 1e9, "bn": 1e9, "b": 1e9, "mrd": 1e9, "milliarden": 1e9, "milliards": 1e9,
    "miljard": 1e9, "miliardi": 1e9, "trillion": 1e12, "tn": 1e12, "\u4e07": 1e4, "\u842c": 1e4, "\u4ebf": 1e8,
    "\u5104": 1e8,
}  # fmt: skip
_WORDS: Final = "|".join(sorted(map(re.escape, _SCALES), key=len, reverse=True))
_NUMBER: Final = re.compile(
    r"(?<![\w.,/:-])(?P<money>[$\u20ac\u00a3\u00a5]\s?)?"
    r"(?P<digits>\d{1,3}(?:[,.'\u2019\u00a0\u202f ]\d{3})+(?:[.,]\d+)?(?!\d)|\d+(?:[.,]\d+)?)"
    rf"(?:[ \u00a0-]?(?P<scale>{_WORDS})(?![\w]))?(?P<percent>\s?(?:%|percent\b|per cent\b|Prozent\b))?"
    r"(?P<tail>st|nd|rd|th)?(?![\w]|[.,]\d)",
    re.IGNORECASE,
)
_LISTED: Final = re.compile(r"^[ \t>*-]*(?:\(?\d{1,3}[.):]|\[\d{1,3}\])[ \t]+", re.MULTILINE)
_DATES: Final = re.compile(
    r"\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.? \d{1,2}(?:st|nd|rd|th)?\b|"
    r"\b\d{1,2}(?:st|nd|rd|th|\.)? (?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\b|\[\d{1,3}\]",
    re.IGNORECASE,
)
_SMALL: Final = 12
"""Whole numbers up to this one are counted more often than quoted."""

_QUOTED: Final = re.compile(
    "\u201c([^\u201c\u201d\n]{8,600})\u201d|\u00ab\\s?([^\u00ab\u00bb\n]{8,600}?)\\s?\u00bb|\u201e([^\u201e\u201c\u201d\n]{8,600})[\u201c\u201d]"
    '|\u300c([^\u300c\u300d\n]{5,600})\u300d|(?<![\\w"])"([^"\n]{8,600})"(?![\\w"])'
)
_COMPUTES: Final = re.compile(
    r"\b(?:calculat|comput|berechn|calcul|averag|subtract|multipl|divid|convert|percentage (?:change|increase|decrease)"
    r"|grow|grew|increas|decreas|declin|ratio|proportion|differen|diff\u00e9ren|combined|altogether|promedio)\w*"
    r"|\b(?:how much (?:more|less|higher|lower|did)|how many (?:more|fewer)|in total|total of|sum of|per ?cent change"
    r"|net of|times (?:as|more|larger)|what share|add up|summe|anteil|somme|suma)\b",
    re.IGNORECASE,
)
_IN_UNITS: Final = (
    (re.compile(r"\bin (?:\S+ )?thousands\b|\bin Tausend\b|\ben milliers\b|000s?\b", re.IGNORECASE), 1e3),
    (re.compile(r"\bin (?:\S+ )?millions\b|\bin Mio\b|\bin Millionen\b|\ben millions\b", re.IGNORECASE), 1e6),
    (re.compile(r"\bin (?:\S+ )?billions\b|\bin Mrd\b|\ben milliards\b", re.IGNORECASE), 1e9),
)
_MOST: Final = 40
"""So many figures of an answer are looked for at most."""


@dataclass(frozen=True, slots=True)
class _Figure:
    """A figure: what it may come to, and half of its last place."""

    text: str
    values: tuple[float, ...]
    half: float


@dataclass(frozen=True, slots=True)
class QuotedCheck(BaseCheck):
    """The figures and quotations of the answer stand in what was sent."""

    name: str = "quoted"
    kind: str = field(default="quoted", init=False)

    def test(self, answer: str, given: Given = NOTHING) -> Verdict:
        """Return the verdict on an answer."""
        if not given.material.strip():
            return self.abstained("what was sent is not known")
        quotations = list(_quotations(answer))
        figures = list(itertools.islice(_figures(_left_out(answer)), _MOST))
        if not quotations and not figures:
            return self.abstained("the answer has no figures and no quotations")
        material = given.material
        sent = _Sent(material)
        missing = [figure for figure in figures if not sent.has(figure)]
        there = [figure for figure in figures if figure not in missing]
        made_up = [figure.text for figure in missing if not _worked_out(figure, there)]
        lost = [f'"{text[:60]}"' for text in quotations if not sent.says(text)]
        n = len(quotations) + len(figures)
        score = 1.0 - (len(made_up) + len(lost)) / n
        if lost:
            return self.failed(f"not in what was sent: {', '.join((*lost, *made_up))}", score)
        if made_up and _COMPUTES.search(given.prompt):
            return self.abstained(f"worked out, or made up: {', '.join(made_up)}")
        if made_up:
            return self.failed(f"not in what was sent: {', '.join(made_up)}", score)
        return self.passed("", 1.0)


class _Sent:
    """What was sent, so that figures and quotations are found in it."""

    def __init__(self, text: str) -> None:
        self.plain = _plain(text)
        values = {value for figure in _figures(text) for value in figure.values}
        for pattern, scale in _IN_UNITS:
            if pattern.search(text):
                values |= {value * scale for value in values}
        self.values = sorted(values)

    def has(self, figure: _Figure) -> bool:
        """Tell whether a figure is among those that were sent, as exactly as it is written."""
        for value in figure.values:
            at = bisect.bisect_left(self.values, value - figure.half * 1.0001)
            if at < len(self.values) and self.values[at] <= value + figure.half * 1.0001:
                return True
        return False

    def says(self, quotation: str) -> bool:
        """Tell whether a quotation stands there, but for case, space, marks, and what is left out of it."""
        parts = [_plain(part).strip() for part in re.split(r"\.\.\.|\u2026|\[[^\]]{0,40}\]", quotation)]
        return all(part in self.plain for part in parts if len(part) > 3)


def _plain(text: str) -> str:
    """Return a text in lower case, with one space for all that is neither letter nor digit."""
    return re.sub(r"[\W_]+", " ", unicodedata.normalize("NFKC", text).casefold())


def _left_out(answer: str) -> str:
    """Return an answer without the numbers of its list, and dates."""
    return _DATES.sub(" ", _LISTED.sub("", answer))


def _quotations(answer: str) -> Iterator[str]:
    for found in _QUOTED.finditer(answer):
        text = next(part for part in found.groups() if part is not None).strip()
        if len(text.split()) >= 3 or any("\u3040" <= char <= "\u9fff" for char in text):
            yield text


def _figures(text: str) -> Iterator[_Figure]:
    """Yield the figures of a text that say something."""
    for found in _NUMBER.finditer(text):
        digits, scale = found["digits"], _SCALES.get((found["scale"] or "").lower(), 1.0)
        bare = not (found["money"] or found["scale"] or found["percent"])
        if found["tail"] is not None and not found["percent"]:
            continue
        if bare and digits.isdigit() and (int(digits) <= _SMALL or (len(digits) == 4 and 1900 <= int(digits) <= 2100)):
            continue
        readings = _readings(digits)
        if not readings:
            continue
        half = max(half for _, half in readings) * scale
        if half >= 0.5 * scale and bare:
            half = 0.0  # a whole number is meant as it stands
        yield _Figure(found[0].strip(), tuple(value * scale for value, _ in readings), half)


def _readings(digits: str) -> list[tuple[float, float]]:
    """Return what digits may come to, with half of the last place: `1.234` is a thousand in some places."""
    plain = re.sub(r"['\u2019\u00a0\u202f ]", "", digits)
    found: list[tuple[float, float]] = []
    for group, point in ((",", "."), (".", ",")):
        whole, _, rest = plain.partition(point)
        parts = whole.split(group)
        if point in rest or group in rest or any(len(part) != 3 for part in parts[1:]) or not parts[0]:
            continue
        number = float("".join(parts) + (f".{rest}" if rest else ""))
        entry = (number, 0.5 * 10.0 ** -len(rest))
        if entry not in found:
            found.append(entry)
    return found


def _worked_out(figure: _Figure, there: Sequence[_Figure]) -> bool:
    """Tell whether a figure is made of two others of the answer, or the sum of all of them."""
    known = [each.values[0] for each in there][:20]
    made = [sum(known)] if len(known) > 2 else []
    for one, other in itertools.permutations(known, 2):
        made += [one + other, one - other, one * other]
        if other:
            made += [one / other, 100.0 * one / other, 100.0 * (one - other) / other]
    half = figure.half * 1.0001 or 0.5
    return any(abs(value - abs(each)) <= half for value in figure.values for each in made)
