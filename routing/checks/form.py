"""Checks of form: counts, wording, case, language, refusals, whether an answer ends."""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from scrimp.profiles.errors import UsageError

from .base import NOTHING, SHOWN, BaseCheck, Given, Verdict
from .layout import LAID_OUT, amount

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "CompleteCheck",
    "CountCheck",
    "FormCheck",
    "LanguageCheck",
    "RefusalCheck",
    "WordingCheck",
    "completeness",
    "read_range",
]


def _bullets(text: str) -> int:
    return len(re.findall(r"^[ \t]*(?:[-*•+]|\d{1,3}[.)])[ \t]+\S", text, re.MULTILINE))


_SENTENCE_END: Final = re.compile(r"(?<![.!?。！？])[.!?。！？]+[\"')\]”’]*(?=\s|$)")
"""Looked for only where a run of such marks begins: a model that repeats them without end is not searched for ever."""


def _sentences(text: str) -> int:
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    return len(ends) + (1 if text[ends[-1] if ends else 0 :].strip() else 0)


_COUNTED: Final[dict[str, Callable[[str], int]]] = {
    "words": lambda text: len(re.findall(r"\w[\w'’-]*", text)),
    "characters": lambda text: len(text.strip()),
    "lines": lambda text: sum(1 for line in text.splitlines() if line.strip()),
    "sentences": _sentences,
    "paragraphs": lambda text: len([part for part in re.split(r"\n[ \t]*\n", text) if part.strip()]),
    "bullets": _bullets,
    **LAID_OUT,
}


def read_range(text: str, name: str) -> tuple[int, int | None]:
    """Return (least, most) of `10..200`, `..200`, `10..` or `3`; most is None where there is none.

    Raises
    ------
    UsageError
        If it is not a range.

    Examples
    --------
    >>> read_range("10..200", "words"), read_range("..5", "words"), read_range("3", "words")
    ((10, 200), (0, 5), (3, 3))
    """
    found = re.fullmatch(r"\s*(\d{0,9})\s*(\.\.)?\s*(\d{0,9})\s*", text)
    if found is None or not (found[1] or found[3]):
        raise UsageError(f"--check {name}: expected a number, or a range such as 10..200, ..200 or 10..")
    if found[2] is None:
        number = int(found[1] or found[3])
        return number, number
    least, most = int(found[1] or 0), int(found[3]) if found[3] else None
    if most is not None and most < least:
        raise UsageError(f"--check {name}: no number is at least {least} and at most {most}")
    return least, most


@dataclass(frozen=True, slots=True)
class CountCheck(BaseCheck):
    """The answer has a given number of words, characters, lines, sentences, paragraphs or list items.

    Attributes
    ----------
    what
        What is counted. Blank lines do not count as lines, but separate paragraphs; items of lists are bullets,
        numbered or not; what else can be counted is in `layout`.
    least, most
        How many there must be, both included; `most` is None where there is no limit.
    """

    what: str
    least: int
    most: int | None
    name: str = "count"
    kind: str = field(default="count", init=False)

    @classmethod
    def parse(cls, what: str, argument: str, name: str) -> CountCheck:
        """Read a range: `words:10..200`, `chars:..280`, `sentences:3`."""
        return cls(what, *read_range(argument, name), name)

    def test(self, answer: str, given: Given = NOTHING) -> Verdict:
        """Return the verdict on an answer."""
        del given
        count = _COUNTED[self.what](answer)
        if count >= self.least and (self.most is None or count <= self.most):
            return self.passed()
        return self.failed(f"the answer has {count} {self.what}, not {amount(self.least, self.most)}")


@dataclass(frozen=True, slots=True)
class WordingCheck(BaseCheck):
    """The answer holds, lacks, starts or ends with a text, whatever its case."""

    how: Literal["has", "lacks", "starts", "ends"]
    text: str
    name: str = "wording"
    kind: str = field(default="wording", init=False)

    @classmethod
    def parse(cls, how: Literal["has", "lacks", "starts", "ends"], argument: str, name: str) -> WordingCheck:
        """Read `has:TEXT`, `lacks:TEXT`, `starts:TEXT` or `ends:TEXT`."""
        if not argument.strip():
            raise UsageError(f"--check {name}: expected a text after {how}:")
        return cls(how, argument, name)

    def test(self, answer: str, given: Given = NOTHING) -> Verdict:
        """Return the verdict on an answer."""
        del given
        text, wanted = " ".join(answer.casefold().split()), " ".join(self.text.casefold().split())
        good = {
            "has": wanted in text,
            "lacks": wanted not in text,
            "starts": text.startswith(wanted),
            "ends": text.rstrip(".!\"' ").endswith(wanted.rstrip(".!\"' ")),
        }[self.how]
        said = {"has": "does not hold", "lacks": "holds", "starts": "does not start with", "ends": "does not end with"}
        return self.passed() if good else self.failed(f"the answer {said[self.how]} {self.text[:SHOWN]!r}")


@dataclass(frozen=True, slots=True)
class FormCheck(BaseCheck):
    """The answer is all upper case, all lower case, without commas, or has a title in double angle brackets."""

    form: Literal["upper", "lower", "title", "no-commas"]
    name: str = "form"
    kind: str = field(default="form", init=False)

    def test(self, answer: str, given: Given = NOTHING) -> Verdict:
        """Return the verdict on an answer."""
        del given
        if self.form == "upper":
            return self.passed() if answer == answer.upper() else self.failed("the answer has lower-case letters")
        if self.form == "lower":
            return self.passed() if answer == answer.lower() else self.failed("the answer has upper-case letters")
        if self.form == "title":
            good = re.search(r"<<[ \t]*[^<>\s][^<>\n]*>>", answer) is not None
            return self.passed() if good else self.failed("the answer has no <<title>>")
        return self.failed("the answer has a comma") if "," in answer else self.passed()


_STOP_WORDS: Final[dict[str, str]] = {
    "en": "the of and to in is that it was for with are this be not have you which",
    "de": "der die und das ist nicht ein eine zu mit den von auf sich dem für als auch",
    "fr": "le la les et des est une un que pour dans pas qui sur avec sont du au",
    "es": "el la los las que de en es un una por con para del se no como más",
    "it": "il di che la è e un una per non con del sono gli della le si più",
    "pt": "o a de que e do da em um uma para não com os as se por mais",
    "nl": "de het een en van is dat niet op te zijn voor met die er aan ook",
    "da": "og det er en af på til som ikke med den for at har der et",
    "sv": "och det är en av på som inte med den för att har ett till om",
    "pl": "i w nie się na z to jest że do jak o po ale od za",
    "fi": "ja on ei se että oli mutta kun niin ovat hän jos myös tai joka kuin",
    "sw": "na ya wa kwa ni katika za la kuwa hii hiyo yake lakini kama cha huo",
    "vi": "và của là không có một được cho trong các những đã với người này để",
    "tr": "ve bir bu için ile da de çok daha olan gibi ne ama her olarak değil",
    "id": "dan yang di itu dengan untuk tidak ini dari dalam akan pada juga saya ke karena",
    "ro": "și de la în un o cu pe nu este care pentru din mai sunt ca",
    "cs": "a se v na je že to s z do o ale jako jsou by pro",
    "hu": "a az és hogy nem is egy ez van de meg volt mint csak vagy már",
}

_SCRIPTS: Final[dict[str, str]] = {
    "ru": "CYRILLIC", "uk": "CYRILLIC", "bg": "CYRILLIC", "el": "GREEK", "ar": "ARABIC", "fa": "ARABIC",
    "he": "HEBREW", "hi": "DEVANAGARI", "th": "THAI", "ko": "HANGUL", "ja": "HIRAGANA", "zh": "CJK",
    "ur": "ARABIC", "mr": "DEVANAGARI", "ne": "DEVANAGARI", "bn": "BENGALI", "pa": "GURMUKHI", "gu": "GUJARATI",
    "ta": "TAMIL", "te": "TELUGU", "kn": "KANNADA", "ml": "MALAYALAM",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class LanguageCheck(BaseCheck):
    """The answer is in a language: by its script, or by its small words; it abstains where there are too few."""

    language: str
    name: str = "language"
    kind: str = field(default="language", init=False)

    @classmethod
    def parse(cls, argument: str, name: str) -> LanguageCheck:
        """Read `language:de`."""
        if argument not in _STOP_WORDS and argument not in _SCRIPTS:
            known = ", ".join(sorted({*_STOP_WORDS, *_SCRIPTS}))
            raise UsageError(f"--check {name}: not a language this check knows", hint=f"It knows {known}.")
        return cls(argument, name)

    def test(self, answer: str, given: Given = NOTHING) -> Verdict:
        """Return the verdict on an answer."""
        del given
        text = re.sub(r"^```.*?^```", "", answer[:100_000], flags=re.DOTALL | re.MULTILINE)
        letters = [char for char in text[:20_000] if char.isalpha()]
        if len(letters) < 8:
            return self.abstained("too little text to tell its language")
        latin = sum(unicodedata.name(char, "").startswith("LATIN") for char in letters) / len(letters)
        script = _SCRIPTS.get(self.language)
        if script is not None:
            names = ("CJK", "HIRAGANA", "KATAKANA") if script == "HIRAGANA" else (script,)
            share = sum(unicodedata.name(char, "").startswith(names) for char in letters) / len(letters)
            kana = any(unicodedata.name(char, "").startswith(("HIRAGANA", "KATAKANA")) for char in letters)
            good = share >= 0.3 and kana == (script == "HIRAGANA") if script in ("CJK", "HIRAGANA") else share >= 0.5
            return self.passed(score=share) if good else self.failed(f"the answer is not in {self.language}")
        if latin < 0.5:
            return self.failed(f"the answer is not in {self.language}: it is not in Latin script")
        words = re.findall(r"\w+", text.casefold())
        counts = {code: sum(word in stop for word in words) for code, stop in _STOP_SETS.items()}
        best = max(counts, key=lambda code: (counts[code], code == self.language))
        if counts[best] < 3:
            return self.abstained("too little text to tell its language")
        if best == self.language or counts[self.language] >= 0.9 * counts[best]:
            return self.passed(score=counts[self.language] / max(1, len(words)))
        return self.failed(f"the answer looks like {best}, not {self.language}")


_STOP_SETS: Final = {code: frozenset(words.split()) for code, words in _STOP_WORDS.items()}

_REFUSAL: Final = re.compile(
    r"^\W{0,5}(?:(?:i['’]?m|i am)\s+(?:really\s+|very\s+|so\s+)?(?:sorry|unable|not able|afraid i (?:can|cannot))"
    r"|(?:sorry|apologies|unfortunately)\b.{0,40}\bi\b.{0,20}\b(?:can['’]?t|cannot|won['’]?t|am unable|am not able)"
    r"|i\s+(?:can['’]?t|cannot|won['’]?t|must decline|am not allowed|do not feel comfortable)"
    r"|as an? (?:ai|language model)\b.{0,60}\b(?:can['’]?t|cannot|unable|not able))",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class RefusalCheck(BaseCheck):
    """The answer does not begin by declining to answer."""

    name: str = "refusal"
    kind: str = field(default="refusal", init=False)

    def test(self, answer: str, given: Given = NOTHING) -> Verdict:
        """Return the verdict on an answer."""
        if given.finish_reason == "content_filter":
            return self.failed("the provider's filter ended the answer")
        return self.failed("the answer declines") if _REFUSAL.match(answer.strip()[:400]) else self.passed()


@dataclass(frozen=True, slots=True)
class CompleteCheck(BaseCheck):
    """The answer was not cut off: by the provider's word, an open code block, or JSON that does not end."""

    name: str = "complete"
    kind: str = field(default="complete", init=False)

    def test(self, answer: str, given: Given = NOTHING) -> Verdict:
        """Return the verdict on an answer."""
        if given.finish_reason == "length":
            return self.failed("the answer was cut at its output limit")
        text = answer.strip()
        if len(re.findall(r"^[ \t]*```", text, re.MULTILINE)) % 2:
            return self.failed("a code block is never closed")
        if text[:1] in ("{", "[") and text[-1:] not in ("}", "]"):
            try:
                json.loads(text)
            except (ValueError, RecursionError):
                return self.failed("JSON that does not end")
        if len(text) > 400 and (text[-1].isalpha() or text[-1] in ",;-(") and "\n" not in text[-80:]:
            return self.failed("the answer stops in the middle of a sentence")
        return self.passed()


def completeness(text: str | None, finish_reason: str | None) -> Verdict | None:
    """Return what the check `complete` says of an answer, whether or not anybody asked for it.

    Parameters
    ----------
    text
        The answer; None where it was not kept.
    finish_reason
        Why the model stopped; None where that is not known.

    Returns
    -------
    Verdict
        None where there is nothing to tell by: no text, and no word of the provider's that it was cut.
    """
    if not (text or "").strip() and finish_reason != "length":
        return None
    return CompleteCheck().test(text or "", Given(finish_reason=finish_reason))
