"""Checks of how an answer is laid out: marks, parts, sections, first words of paragraphs, set phrases."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from .base import NOTHING, SHOWN, BaseCheck, Given, Verdict

__all__ = [
    "LAID_OUT",
    "OneOfCheck",
    "OpeningCheck",
    "PostscriptCheck",
    "QuotedCheck",
    "RepeatCheck",
    "SectionsCheck",
    "TimesCheck",
    "TwoCheck",
    "amount",
]


def _highlights(text: str) -> int:
    single = sum(bool(part.strip("* ")) for part in re.findall(r"\*[^\n*]*\*", text))
    double = sum(bool(part.strip("* ")) for part in re.findall(r"\*\*[^\n*]+\*\*", text))
    return single + double + len(re.findall(r"(?<![\w_])_[^\n_]*[^\s_]_(?![\w_])", text))


def _capital_words(text: str) -> int:
    return sum(word.isupper() for word in re.findall(r"[^\W_][\w'’-]*", text))


LAID_OUT: Final = {
    "highlighted sections": _highlights,
    "words in capitals": _capital_words,
    "placeholders": lambda text: len(re.findall(r"\[[^\[\]]+\]", text)),
    "marked bullets": lambda text: len(re.findall(r"^[ \t]*(?:\*(?!\*)|[-•+])[ \t]*[^\s*-]", text, re.MULTILINE)),
    "parts": lambda text: sum(bool(part.strip()) for part in re.split(r"(?<!\*)\*\*\*(?!\*)", text)),
    "hashtags": lambda text: len(re.findall(r"#", text)),
    "exclamation marks": lambda text: text.count("!"),
    "question marks": lambda text: text.count("?"),
}
"""What can be counted in an answer, beside words and sentences (`form`)."""


def amount(least: int, most: int | None) -> str:
    """Return a range in words.

    Examples
    --------
    >>> amount(2, None), amount(3, 3), amount(0, 4), amount(2, 4)
    ('2 or more', '3', '0 to 4', '2 to 4')
    """
    if most is None:
        return f"{least} or more"
    return f"{least}" if least == most else f"{least} to {most}"


@dataclass(frozen=True, slots=True)
class TimesCheck(BaseCheck):
    """A word, or a letter, stands in the answer a number of times, whatever its case.

    Of a word that must stand there, its forms count too ("tax" in "taxes"); of one that must not, only itself does.
    """

    text: str
    least: int
    most: int | None
    name: str = "times"
    kind: str = field(default="wording", init=False)

    def test(self, answer: str, given: Given = NOTHING) -> Verdict:
        """Return the verdict on an answer."""
        del given
        within, wanted = answer.casefold(), self.text.casefold()
        inside = within.count(wanted)
        whole = inside if len(wanted) == 1 else len(re.findall(rf"(?<!\w){re.escape(wanted)}(?!\w)", within))
        if self.most is not None and whole > self.most:
            return self.failed(f"{self.text[:SHOWN]!r} stands in the answer {whole} times, not {self._wanted}")
        if inside < self.least:
            return self.failed(f"{self.text[:SHOWN]!r} stands in the answer {inside} times, not {self._wanted}")
        return self.passed()

    @property
    def _wanted(self) -> str:
        return amount(self.least, self.most)


@dataclass(frozen=True, slots=True)
class QuotedCheck(BaseCheck):
    """The whole answer stands in double quotation marks."""

    name: str = "quoted"
    kind: str = field(default="form", init=False)

    def test(self, answer: str, given: Given = NOTHING) -> Verdict:
        """Return the verdict on an answer."""
        del given
        text = answer.strip()
        if len(text) > 1 and text[0] in '"“«„' and text[-1] in '"”»“':
            return self.passed()
        return self.failed("the answer is not wrapped in double quotation marks")


@dataclass(frozen=True, slots=True)
class TwoCheck(BaseCheck):
    """The answer is two texts that differ, parted by six asterisks."""

    name: str = "two-parts"
    kind: str = field(default="form", init=False)

    def test(self, answer: str, given: Given = NOTHING) -> Verdict:
        """Return the verdict on an answer."""
        del given
        parts = [part.strip() for part in answer.split("******")]
        whole = [part for part in parts if part]
        if len(whole) != 2 or "" in parts[1:-1]:
            return self.failed(f"six asterisks part the answer into {len(whole)}, not 2")
        return self.passed() if whole[0] != whole[1] else self.failed("both parts of the answer are the same")


@dataclass(frozen=True, slots=True)
class SectionsCheck(BaseCheck):
    """The answer has sections that begin with a mark and a number: `SECTION 1`, `Day 2`."""

    mark: str
    least: int
    name: str = "sections"
    kind: str = field(default="form", init=False)

    def test(self, answer: str, given: Given = NOTHING) -> Verdict:
        """Return the verdict on an answer."""
        del given
        n = len(re.findall(rf"(?<!\w){re.escape(self.mark)}[ \t*_#:]?\d", answer, re.IGNORECASE))
        if n >= self.least:
            return self.passed()
        return self.failed(f"the answer has {n} sections marked {self.mark[:SHOWN]} and a number, not {self.least}")


@dataclass(frozen=True, slots=True)
class OpeningCheck(BaseCheck):
    """A paragraph, counted from 1 (-1: the last), begins with a word."""

    nth: int
    word: str
    name: str = "opening"
    kind: str = field(default="form", init=False)

    def test(self, answer: str, given: Given = NOTHING) -> Verdict:
        """Return the verdict on an answer."""
        del given
        parts = [part.strip() for part in re.split(r"\n[ \t]*\n", answer) if part.strip()]
        if abs(self.nth) > len(parts):
            return self.failed(f"the answer has {len(parts)} paragraphs, and none is number {self.nth}")
        part = parts[self.nth - 1 if self.nth > 0 else self.nth]
        if re.match(rf"\W{{0,5}}{re.escape(self.word.casefold())}(?!\w)", part.casefold()):
            return self.passed()
        which = "the last" if self.nth < 0 else f"paragraph {self.nth}"
        return self.failed(f"{which} begins with {part.split()[0][:SHOWN]!r}, not {self.word[:SHOWN]!r}")


@dataclass(frozen=True, slots=True)
class PostscriptCheck(BaseCheck):
    """The answer has a postscript, marked `P.S.` or `P.P.S.`."""

    mark: str
    name: str = "postscript"
    kind: str = field(default="form", init=False)

    def test(self, answer: str, given: Given = NOTHING) -> Verdict:
        """Return the verdict on an answer."""
        del given
        letters = re.findall(r"\w", self.mark.casefold())
        pattern = r"(?<!\w)" + r"\.?\s?".join(letters) + r"(?:\.|(?!\w))"
        good = re.search(pattern, answer.casefold()) is not None
        return self.passed() if good else self.failed(f"the answer has no postscript that starts with {self.mark}")


@dataclass(frozen=True, slots=True)
class OneOfCheck(BaseCheck):
    """The answer holds one of several set phrases, whatever their case."""

    options: tuple[str, ...]
    name: str = "one-of"
    kind: str = field(default="wording", init=False)

    def test(self, answer: str, given: Given = NOTHING) -> Verdict:
        """Return the verdict on an answer."""
        del given
        text = " ".join(answer.casefold().split())
        if any(" ".join(option.casefold().split()).rstrip(".") in text for option in self.options):
            return self.passed()
        shown = ", ".join(repr(option) for option in self.options)
        return self.failed(f"the answer holds none of {shown[:SHOWN]}")


@dataclass(frozen=True, slots=True)
class RepeatCheck(BaseCheck):
    """The answer begins with a text, word for word; case, blanks and marks around it do not matter."""

    text: str
    name: str = "repeats"
    kind: str = field(default="wording", init=False)

    def test(self, answer: str, given: Given = NOTHING) -> Verdict:
        """Return the verdict on an answer."""
        del given
        theirs, mine = _words(answer[: 2 * len(self.text) + 200]), _words(self.text)
        if theirs[: len(mine)] == mine:
            return self.passed()
        n = next((k for k, (a, b) in enumerate(zip(theirs, mine, strict=False)) if a != b), min(len(theirs), len(mine)))
        return self.failed(f"the answer repeats {n} of the {len(mine)} words of the request it must begin with")


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())
