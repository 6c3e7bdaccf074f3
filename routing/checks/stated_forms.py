"""What form a prompt wants: capitals, no commas, JSON, quotation marks, a title, a language, two answers; as checks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from .form import FormCheck, LanguageCheck
from .layout import QuotedCheck, TwoCheck
from .text import JsonCheck

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .base import Check
    from .clauses import Request

__all__ = ["case", "commas", "json_only", "language", "quoted", "title", "two_answers"]

_ALL: Final = (
    r"(?:(?:in|only|all|entirely|use|using|with|and|be|english|letters?|of\s+the\s+letters)\s+"
    r"(?:the\s+|only\s+|are\s+|must\s+be\s+)*)"
)

_LOWER: Final = re.compile(
    rf"\b{_ALL}(?:all[\s-]+)?(?:(?:the\s+|of\s+)*(?:letters?|words?)\s+(?:\w+\s+){{0,4}}?(?:in"
    rf"\s+)?(?:all\s+)?)?lower[\s-]?cased?s?\b(?!\s+(?:english|latin)\s+(?:letters|characters"
    rf"|alphabet))|\blower[\s-]?case\s+(?:letters?\s+)?(?:only|english)\b|,\s*(?:and"
    rf"\s+)?lowercase\s+letters\b"
    r"|\b(?:no|not?\s+contain\s+any|without(?:\s+using)?(?:\s+any)?|not\s+use(?:\s+any)?|have"
    r"\s+no)\s+(?:capital(?:s|i[sz]ations?)?|upper[\s-]?case)(?:\s+letters?)?\b(?!\s+(?:city"
    r"|cities|gain))"
    r"|\bnot\s+a\s+single\s+letter\b[^.?!]{0,40}\bcapital",
    re.IGNORECASE,
)
_UPPER: Final = re.compile(

        r"\b(?:in|only|all|entirely|use|using|be|write)\s+(?:all[\s-]+|only\s+)*(?:capital"
        r"\s+letters|caps|upper[\s-]?case(?:\s+letters)?)\b|\bcapitali[sz]e\s+(?:all\s+(?:of\s+)?"
        r"(?:your\s+|the\s+)?(?:words|letters)|every\s+letter)\b"

    r"|\ball\s+letters\b[^.?!]{0,40}\bcapitali[sz]ed\b|\bno\s+lower[\s-]?case\b|,\s*all\s+capital\s+letters\b",
    re.IGNORECASE,
)  # fmt: skip
_SOME_WORDS: Final = re.compile(
    r"\b(?:words?|phrases?|acronyms?|names?|titles?|headings?|points?|claims?|times|first\s+letter|key|some|few)\b",
    re.IGNORECASE,
)
_THE_WORDS: Final = re.compile(
    r"\s+(?:words|phrases|letters\s+(?:at\s+least|to\s+highlight|should\s+appear))", re.IGNORECASE
)


def case(request: Request) -> Iterator[Check]:
    """Yield the case that all of the answer must be in."""
    for clause in request.directives:
        if hit := _LOWER.search(clause.text):
            yield FormCheck("lower", "lower")
            return
        if (hit := _UPPER.search(clause.text)) and not _of_words(clause.text, hit):
            yield FormCheck("upper", "upper")
            return


def _of_words(text: str, hit: re.Match[str]) -> bool:
    """Return whether it is words that are in capitals, and not all of the answer."""
    before = re.split(r",\s*(?:and|write)\b|\benglish\b|\bentire\b", text[: hit.start()], flags=re.IGNORECASE)[-1][-70:]
    if hit[0].casefold().startswith(("capitali", "all letters", "no lower")):
        return False
    if re.search(r"\byour\s+names\s+are\b|\benglish\b", text[: hit.start()], re.IGNORECASE):
        return False
    return _SOME_WORDS.search(before) is not None or _THE_WORDS.match(text[hit.end() :]) is not None


_COMMAS: Final = re.compile(
    r"\b(?:no|without(?:\s+(?:using|the\s+use\s+of))?|avoid(?:ing)?|refrain\s+from|not|(?:do"
    r"|does|ca|should|must)n['’]?t|cannot|zero)\s+(?:to\s+)?(?:us(?:e|ing)\s+|includ(?:e|ing)"
    r"\s+|contain(?:ing)?\s+|allowed\s+to\s+use\s+|hav(?:e|ing)\s+|be\s+)?(?:any\s+|a\s+single"
    r"\s+|of\s+)*commas?\b"
    r"|\bcommas?\s+(?:are|is|should|must|may)\s*(?:not|n['’]t)\b|\b(?:no|without|not"
    r"\s+use)\b[^.,?!]{0,30}\bor\s+commas\b",
    re.IGNORECASE,
)


def commas(request: Request) -> Iterator[Check]:
    """Yield that the answer must have no comma."""
    for clause in request.directives:
        if _COMMAS.search(clause.text):
            yield FormCheck("no-commas", "no-commas")
            return


_JSON: Final = re.compile(
    r"\b(?:in|as|into|using|with|valid|only|one|a|use|within|containing?)\s+(?:a\s+|an\s+|one"
    r"\s+|just\s+a\s+|the\s+|single\s+|valid\s+|proper\s+|form\s+of\s+|structured\s+)*(?:JSON"
    r"|json)\b(?!\s+(?:schema|file|files|api|parser|library|data|string|web))"
    r"|\bJSON\s+(?:format|block|only)\b",
)
_CODE_ABOUT_JSON: Final = re.compile(
    r"\b(?:function|script|program|code|parse|parser|class|method|convert\s+\w+\s+to|api|endpoint)\b", re.IGNORECASE
)


def json_only(request: Request) -> Iterator[Check]:
    """Yield that the answer must be JSON."""
    for clause in request.directives:
        hit = _JSON.search(clause.text)
        if (
            hit is not None
            and not _CODE_ABOUT_JSON.search(clause.text)
            and "outside of the JSON" not in clause.text[: hit.start()]
        ):
            yield JsonCheck("json")
            return


_WHOLE: Final = (
    r"(?:(?:your|the)\s+)?(?:entire|whole|complete)?\s*(?:[\w-]+\s+)?(?:response|reply|answer"
    r"|output|email|text|letter|message|essay|poem)"
)

_QUOTED: Final = re.compile(
    rf"\b(?:wrap|put|enclose|place|surround)(?:ped|ed|d)?\b[^.?!]{{0,90}}?\bdouble\s+quot(?:e"
    rf"|ation)s?(?:\s+marks?)?|\bdouble\s+quot(?:e|ation)s?(?:\s+marks?)?\s+(?:should\s+be"
    rf"\s+placed\s+)?around\s+{_WHOLE}"
    rf"|\b(?:wrap|put|enclose)\s+{_WHOLE}\s+(?:in|with|inside)\s+quot(?:es|ation\s+marks)\b",
    re.IGNORECASE,
)


def quoted(request: Request) -> Iterator[Check]:
    """Yield that the answer must stand in double quotation marks."""
    for clause in request.directives:
        hit = _QUOTED.search(clause.text)
        if hit is not None and re.search(
            r"\b(?:response|reply|answer|output|email|entire|whole|letter|message|poem|essay)\b",
            clause.text,
            re.IGNORECASE,
        ):
            yield QuotedCheck("quoted")
            return


_TITLE: Final = re.compile(r"<<[^<>\n]{1,60}>>|\bdouble\s+angular\s+brackets\b", re.IGNORECASE)


def title(request: Request) -> Iterator[Check]:
    """Yield that the answer must have a title in double angle brackets."""
    for clause in request.clauses:
        text = request.original(clause, 0, len(clause.text))
        if _TITLE.search(text) and (
            clause.directive or re.search(r"\btitle\b|\bangular\b", request.masked, re.IGNORECASE)
        ):
            yield FormCheck("title", "title")
            return


_TWO: Final = re.compile(r"(?<!\*)\*{6,7}(?!\*)|\b(?:6|six)\s+asterisk", re.IGNORECASE)


def two_answers(request: Request) -> Iterator[Check]:
    """Yield that the answer must be two, parted by six asterisks."""
    hit = _TWO.search(request.masked)
    if hit is not None and re.search(
        r"\bseparat|\bdivid|\bpart(?:ed)?\s+(?:by|with)|\bbetween\b", request.masked, re.IGNORECASE
    ):
        yield TwoCheck("two-parts")


LANGUAGES: Final = {
    "english": "en", "german": "de", "french": "fr", "spanish": "es", "italian": "it", "portuguese": "pt",
    "dutch": "nl", "danish": "da", "swedish": "sv", "polish": "pl", "russian": "ru", "ukrainian": "uk",
    "bulgarian": "bg", "greek": "el", "arabic": "ar", "persian": "fa", "farsi": "fa", "hebrew": "he", "hindi": "hi",
    "thai": "th", "korean": "ko", "japanese": "ja", "chinese": "zh", "urdu": "ur", "marathi": "mr", "nepali": "ne",
    "bengali": "bn", "punjabi": "pa", "gujarati": "gu", "tamil": "ta", "telugu": "te", "kannada": "kn",
    "malayalam": "ml", "finnish": "fi", "swahili": "sw", "vietnamese": "vi", "turkish": "tr", "indonesian": "id",
    "romanian": "ro", "czech": "cs", "hungarian": "hu",
}  # fmt: skip
_NAME: Final = rf"(?P<name>{'|'.join(LANGUAGES)})"
_ONLY: Final = r"(?:the\s+|only\s+|entirely\s+|completely\s+|just\s+|purely\s+)*"
_NOT_OF = r"(?!\s+(?:class|literature|history|speaker|teacher|lesson|words?|style|letters?|alphabet|characters?))"
_ANSWERED: Final = (
    re.compile(
        rf"\b(?:answer|respond|reply|response|written|write|output|explanations?)\b[^.?!:]{{0,60}}?"
        rf"\b(?:in|using|use)\s+{_ONLY}{_NAME}\b{_NOT_OF}",
        re.IGNORECASE,
    ),
    re.compile(rf"\bin\s+{_NAME}(?:\s+language)?\s+(?:only|and\s+no\s+other)\b", re.IGNORECASE),
    re.compile(rf"\b(?:only|entirely)\s+(?:in\s+|use\s+|using\s+)(?:the\s+)?{_NAME}\b{_NOT_OF}", re.IGNORECASE),
)
_SOLE: Final = re.compile(rf"\b(?:in|use|using|outside\s+of|except)\s+{_ONLY}{_NAME}\b", re.IGNORECASE)
_NO_OTHER: Final = re.compile(r"\bno\s+other\s+languages?\b", re.IGNORECASE)
_ABOUT_TEXT: Final = re.compile(
    r"\btranslat(?:e|ion)|\bhow\s+(?:do|would)\s+you\s+say\b|\bthe\s+word\s+for\b", re.IGNORECASE
)


def language(request: Request) -> Iterator[Check]:
    """Yield the language that the answer must be in."""
    alone = _NO_OTHER.search(request.masked) is not None
    for clause in request.directives:
        if not alone and _ABOUT_TEXT.search(clause.text):
            continue
        patterns = (_SOLE,) if alone else _ANSWERED
        hit = next((hit for pattern in patterns if (hit := pattern.search(clause.text))), None)
        if hit is not None:
            code = LANGUAGES[hit["name"].casefold()]
            yield LanguageCheck(code, f"language:{code}")
            return
