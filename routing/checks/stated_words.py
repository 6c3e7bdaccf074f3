"""Which words a prompt wants in the answer, or not, and how often; how it must start and end: as checks."""

from __future__ import annotations

import re
from itertools import takewhile
from typing import TYPE_CHECKING, Final

from .clauses import NUMBER, number_of
from .form import WordingCheck
from .layout import OneOfCheck, OpeningCheck, PostscriptCheck, RepeatCheck, TimesCheck

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .base import Check
    from .clauses import Clause, Request

__all__ = ["first_words", "frequencies", "keywords", "letters", "options", "postscript", "repeats", "starts_and_ends"]

_Q: Final = r"[\"“”'‘][\x01]+[\"“”'’]"
_ITEM: Final = rf"(?:{_Q}|[^\W_][\w'’-]*)"
_BETWEEN: Final = r"(?:\s*,\s*(?:and\s+|or\s+|nor\s+)?|\s+(?:and|or|nor)\s+)"
_LIST: Final = rf"(?P<items>\[?\s*{_ITEM}(?:{_BETWEEN}{_ITEM}){{0,30}}\s*\]?)"
_QUOTES: Final = rf"(?P<items>\[?\s*{_Q}(?:{_BETWEEN}{_Q}){{0,30}}\s*\]?)"
_NOUN: Final = r"(?:key\s?words?|words?|phrases?|terms?|names?|keys|items)"
_THESE: Final = r"(?:any\s+of\s+)?(?:the\s+|these\s+|this\s+|following\s+|exact\s+|both\s+|single\s+|negative\s+)*"
_USE: Final = (
    r"(?:us(?:e|es|ing)|includ(?:e|es|ing)|mention(?:s|ing)?|contain(?:s|ing)?|hav(?:e|ing)"
    r"|has|say(?:s|ing)?|writ(?:e|ing)|incorporat(?:e|es|ing)|featur(?:e|es|ing))"
)

_NOT: Final = (
    r"(?:do\s+not|don['’]t|does\s+not|doesn['’]t|never|avoid(?:ing)?|without|not|refrain"
    r"\s+from|exclud(?:e|ing)|cannot|can['’]t|shouldn['’]t|mustn['’]t|forbidden)"
)

_LACKING: Final = (
    re.compile(rf"\b{_NOT}\s+(?:to\s+)?(?:{_USE}\s+)?{_THESE}{_NOUN}\s*(?:such\s+as\s*)?:?\s*{_LIST}", re.IGNORECASE),
    re.compile(rf"\b{_NOT}\s+(?:to\s+)?{_USE}\s+(?:words\s+such\s+as\s+)?{_QUOTES}", re.IGNORECASE),
)
_LACKED: Final = re.compile(
    rf"\b{_NOUN}\s+{_LIST}\s+(?:should|must|can|may|does|do|shall|are|is)\s*(?:not|n['’]t)\s+"
    rf"(?:be|appear|allowed|used|occur)\b",
    re.IGNORECASE,
)
_HAVING: Final = (
    re.compile(rf"\b{_USE}\s+(?:all\s+)?{_THESE}{_NOUN}\s*:?\s*{_LIST}", re.IGNORECASE),
    re.compile(rf"\bwith\s+these\s+{_NOUN}\s*:?\s*{_LIST}", re.IGNORECASE),
    re.compile(
        rf"\b(?:include|mention)\s+(?:the\s+(?:exact\s+)?(?:line|sentence|text)\s*:?\s*)?{_QUOTES}", re.IGNORECASE
    ),
)
_COUNTED: Final = (
    r"(?:(?P<least>at\s+least|no\s+(?:fewer|less)\s+than|(?:a\s+)?minimum\s+of)|(?P<most>at"
    r"\s+most|no\s+more\s+than|(?:a\s+)?maximum\s+of|up\s+to)"
    r"|(?P<over>more\s+than|over)|(?P<under>less\s+than|fewer\s+than|under)|(?P<exact>exactly"
    r"|precisely|only)|(?:for|a\s+total\s+of))?\s*(?:for\s+)?(?:at\s+least\s+)?"
    rf"\b(?:(?P<adverb>once|twice|thrice)|(?P<n>{NUMBER})(?:\s*(?:to|or|-|–)\s*"
    rf"(?P<m>{NUMBER}))?(?P<more0>\s+or\s+(?:more|less|fewer))?\s+times?)"
    r"\b(?P<more>\s+or\s+(?:more|less|fewer))?"
)
_TIMES_OF: Final = r"(?:\s+(?:[a-z'’]+)){0,7}?\s+"
_FREQUENCY: Final = re.compile(
    rf"\b(?:key\s?word|word|term|phrase|name)\s+(?P<item>{_ITEM}){_TIMES_OF}{_COUNTED}", re.IGNORECASE
)
_MENTIONED: Final = re.compile(rf"\b(?:mention|include|use)\s+(?P<item>{_Q}){_TIMES_OF}{_COUNTED}", re.IGNORECASE)
_LETTER: Final = re.compile(
    rf"(?P<not>\b{_NOT}\s+(?:to\s+)?(?:{_USE}\s+)?)?\bthe\s+letter\s+"
    rf"(?P<item>[\"“”'‘][\x01][\"“”'’]|[a-z])(?![\w'’])(?:(?:\s+(?:[a-z'’]+)){{0,7}}?"
    rf"\s+{_COUNTED})?",
    re.IGNORECASE,
)
_TWICE: Final = {"once": 1, "twice": 2, "thrice": 3}


def _times(hit: re.Match[str]) -> tuple[int, int | None, bool]:
    """Return (least, most, whether it is said which) of a match with `_COUNTED` in it."""
    n = _TWICE[hit["adverb"].casefold()] if hit["adverb"] else number_of(hit["n"])
    more = f"{hit['more'] or ''}{hit['more0'] or ''}".split()
    if hit["m"] is not None:
        return n, number_of(hit["m"]), True
    if more:
        return (0, n, True) if more[-1].casefold() in ("less", "fewer") else (n, None, True)
    if hit["over"]:
        return n + 1, None, True
    if hit["most"]:
        return 0, n, True
    if hit["under"]:
        return 0, max(n - 1, 0), True
    if hit["exact"]:
        return n, n, True
    return n, None, bool(hit["least"]) or "at least" in hit[0]


def _items(request: Request, clause: Clause, hit: re.Match[str], group: str = "items") -> list[str]:
    """Return the words or quotations of a list."""
    start, end = hit.span(group)
    masked, text = clause.text[start:end], request.original(clause, start, end)
    return [text[each.start() : each.end()].strip("\"“”'‘’").rstrip(",") for each in re.finditer(_ITEM, masked)
            if each[0].casefold() not in ("and", "or", "nor")]  # fmt: skip


_NO_WORDS: Final = frozenset({
    "the", "a", "an", "in", "of", "to", "for", "that", "which", "is", "are", "as", "from", "you", "your", "it", "its",
    "with", "on", "at", "by", "must", "should", "count", "limit", "below", "above", "cannot", "can", "be",
})  # fmt: skip


def _listed(request: Request, clause: Clause, hit: re.Match[str]) -> list[str]:
    """Return the items where they are what is meant, not the middle of a sentence ("the word of God")."""
    items = _items(request, clause, hit)
    quoted = "\x01" in hit["items"]
    if not quoted and items and items[0].casefold() in _NO_WORDS:
        return []
    if quoted:  # after a quoted one, an unquoted one is another matter: "A" and wrap ...
        start, _ = hit.span("items")
        first = re.match(rf"\[?\s*{_Q}(?:{_BETWEEN}{_Q})*", clause.text[start:])
        if first is not None:
            mixed = re.match(rf"\[?\s*{_Q}{_BETWEEN}[\w'-]+\s*(?:[.!]|$)", clause.text[start:])
            n = len(re.findall(_Q, first[0]))
            return items if mixed else items[:n]
    return items


def _frequent(request: Request) -> dict[tuple[int, int], re.Match[str]]:
    """Return the matches that say how often a word stands in the answer, by clause and place of the word."""
    found: dict[tuple[int, int], re.Match[str]] = {}
    for clause in request.directives:
        for pattern in (_FREQUENCY, _MENTIONED):
            for hit in pattern.finditer(clause.text):
                found.setdefault((clause.start, hit.start("item")), hit)
    return found


def frequencies(request: Request) -> Iterator[Check]:
    """Yield how often words must stand in the answer."""
    clauses = {clause.start: clause for clause in request.directives}
    for (start, _), hit in _frequent(request).items():
        word = _items(request, clauses[start], hit, "item")[0]
        if (
            word.casefold() in _NO_WORDS
            and "\x01" not in hit["item"]
            and not re.search(r"\bword\s+\w+\s+(?:should|must)", hit[0])
        ):
            continue
        least, most, said = _times(hit)
        before = clauses[start].text[: hit.start()]
        if re.search(rf"\b{_NOT}\s+(?:to\s+)?(?:{_USE}\s+)?(?:the\s+)?$", before, re.IGNORECASE):
            if not (hit["over"] and most is None):
                continue
            least, most = 0, least - 1
        elif not said:
            most = None
        yield TimesCheck(word, least, most, f"times:{word}")


def letters(request: Request) -> Iterator[Check]:
    """Yield how often letters must stand in the answer."""
    for clause in request.directives:
        for hit in _LETTER.finditer(clause.text):
            letter = _items(request, clause, hit, "item")[0].casefold()
            least, most, _ = _times(hit) if hit["adverb"] or hit["n"] else (0, None, False)
            if hit["not"]:
                if (
                    re.search(r"\bavoid\s+using$|^\s*avoid\w*", hit["not"].strip(), re.IGNORECASE)
                    and "trying" in clause.text
                ):
                    continue
                most, least = (least - 1, 0) if hit["over"] else (0, 0)
            elif least == 0 and most is None:
                continue
            yield TimesCheck(letter, least, most, f"letter:{letter}")


def keywords(request: Request) -> Iterator[Check]:
    """Yield the words that the answer must hold, and those it must not."""
    counted = {(start, place) for start, place in _frequent(request)}
    lacked: set[tuple[int, int]] = set()
    for clause in request.directives:
        for pattern in (*_LACKING, _LACKED):
            for hit in pattern.finditer(clause.text):
                place = (clause.start, hit.start("items"))
                if (
                    place in lacked
                    or place in counted
                    or re.search(r"\bletter\s*$", hit[0][: hit.start("items") - hit.start()])
                ):
                    continue
                lacked.add(place)
                for word in _listed(request, clause, hit):
                    yield TimesCheck(word, 0, 0, f"lacks:{word}")
    for clause in request.directives:
        for pattern in _HAVING:
            for hit in pattern.finditer(clause.text):
                place = (clause.start, hit.start("items"))
                if place in lacked or place in counted or _negated(clause, hit):
                    continue
                lacked.add(place)
                for word in _listed(request, clause, hit):
                    if not _spelt_later(clause, hit, counted):
                        yield WordingCheck("has", word, f"has:{word}")


def _negated(clause: Clause, hit: re.Match[str]) -> bool:
    return re.search(rf"\b{_NOT}\s+(?:to\s+)?(?:[\w]+\s+)?$", clause.text[: hit.start()], re.IGNORECASE) is not None


def _spelt_later(clause: Clause, hit: re.Match[str], counted: set[tuple[int, int]]) -> bool:
    """Return whether what was found is the beginning of a word that is counted elsewhere."""
    return any(start == clause.start and hit.start() <= place < hit.end() for start, place in counted)


_WHOLE: Final = r"(?:your|the|this)\s+(?:(?:entire|whole|full|very)\s+)?(?:\w+\s+)?\w+\s+"
_TELLING: Final = (
    r"(?:(?:the|this)\s+)?(?:exact(?:ly)?\s+|following\s+|same\s+)*(?:(?:words?|phrase"
    r"|sentence|statement|question|line|text)\s*(?:of\s+)?)?:?\s*(?:like:?\s*)?"
)

_START: Final = re.compile(
    rf"\b(?:start|begin)s?\s+(?:{_WHOLE})?(?:off\s+)?with\s+{_TELLING}(?P<item>{_Q})", re.IGNORECASE
)
_ENDINGS: Final = (
    re.compile(rf"\b(?:end|finish|conclude)s?\s+(?:{_WHOLE})?with\s+{_TELLING}(?P<item>{_Q})", re.IGNORECASE),
    re.compile(
        rf"\b(?:very\s+)?(?:last|end|final)\s+(?:sentence\s+|words?\s+|line\s+)?(?:of\s+)?{_WHOLE}"
        rf"(?:should|must)\s+(?:be|read)\s+{_TELLING}(?P<item>{_Q})"
    , re.IGNORECASE),
)  # fmt: skip
_UNQUOTED_END: Final = re.compile(
    rf"\b(?:end|finish|conclude)s?\s+(?:{_WHOLE})?with(?::|\s+(?:this|the)\s+exact\s+(?:phrase"
    rf"|question|words?|sentence):?|\s+exactly:)\s*(?P<item>[A-Za-z][^\n\"“”]{{2,120}})"
    rf"|\b(?:very\s+)?end\s+of\s+{_WHOLE}(?:should|must)\s+read\s+exactly\s+like:\s*"
    rf"(?P<item2>[A-Za-z][^\n\"“”]{{2,120}})",
    re.IGNORECASE,
)
_FIRST_WORD: Final = (
    re.compile(
        rf"\b(?:the\s+)?(?:very\s+)?(?:(?P<nth>first|second|third|fourth|fifth|sixth|seventh|last"
        rf"|\d{{1,2}}(?:st|nd|rd|th))\s+paragraph|paragraph\s+(?P<n>\d{{1,2}}))\s+(?:must\s+|should"
        rf"\s+)?(?:starts?|begins?)\s+with\s+(?:the\s+)?(?:word\s+)?(?P<item>{_ITEM})"
    , re.IGNORECASE),
    re.compile(
        rf"\b(?:start|begin)\s+(?:the\s+)?(?:(?P<nth>first|second|third|fourth|fifth|sixth|seventh"
        rf"|last|\d{{1,2}}(?:st|nd|rd|th))\s+paragraph|paragraph\s+(?P<n>\d{{1,2}}))\s+with\s+"
        rf"(?:the\s+)?(?:word\s+)?(?P<item>{_ITEM})"
    , re.IGNORECASE),
)  # fmt: skip
_NTH: Final = {"first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "last": -1}

_OF_A_PART: Final = re.compile(r"\b(?:each|every|paragraph|section|sentence|line|note|postscript)\b", re.IGNORECASE)


def starts_and_ends(request: Request) -> Iterator[Check]:
    """Yield the texts that the answer must start or end with."""
    for clause in request.directives:
        hit = _START.search(clause.text)
        if hit is not None and not _OF_A_PART.search(clause.text[: hit.start() + 40]):
            text = _items(request, clause, hit, "item")[0]
            yield WordingCheck("starts", text, f"starts:{text}")
        ended = [hit for pattern in _ENDINGS if (hit := pattern.search(clause.text))]
        if ended and not re.search(r"\b(?:each|every)\s+\w+|\bparagraph\b|\bstanza\b", ended[0][0], re.IGNORECASE):
            text = _items(request, clause, ended[0], "item")[0]
            yield WordingCheck("ends", text, f"ends:{text}")
        elif hit := _UNQUOTED_END.search(request.masked[clause.start : clause.start + len(clause.text) + 160]):
            group = "item" if hit["item"] else "item2"
            if hit.start() < len(clause.text) and "\x01" not in hit[group]:
                text = " ".join(request.original(clause, *hit.span(group)).split())
                yield WordingCheck("ends", text, f"ends:{text}")


def first_words(request: Request) -> Iterator[Check]:
    """Yield the words that paragraphs must begin with."""
    for clause in request.directives:
        for pattern in _FIRST_WORD:
            for hit in pattern.finditer(clause.text):
                said = hit["n"] or hit["nth"].casefold()
                nth = _NTH.get(said) or int(re.sub(r"\D", "", said))
                word = _items(request, clause, hit, "item")[0]
                yield OpeningCheck(nth, word, f"opening:{nth}")


_POSTSCRIPT: Final = re.compile(r"\bp\s?[.·]\s?(?P<second>p\s?[.·]\s?)?s\b", re.IGNORECASE)
_ASKED_POSTSCRIPT: Final = re.compile(r"\b(?:post\s?script|add|end|finish|include|note|with\s+a)\b", re.IGNORECASE)


def postscript(request: Request) -> Iterator[Check]:
    """Yield the postscript that the answer must have."""
    for clause in request.directives:
        text = request.original(clause, 0, len(clause.text))
        hit = _POSTSCRIPT.search(text)
        if hit is not None and _ASKED_POSTSCRIPT.search(text[: hit.start()]):
            mark = "P.P.S" if hit["second"] else "P.S."
            yield PostscriptCheck(mark, f"postscript:{mark}")
            return


_OPTIONS: Final = re.compile(
    r"\b(?:one\s+of\s+(?:the\s+)?(?:following|these)(?:\s+exact)?(?:\s+(?:phrases|options"
    r"|answers|words|sentences|responses|labels))?|just\s+say|choose\s+from(?:\s+the"
    r"\s+following)?"
    rf"|answer(?:\s+with)?)\s*:?\s*\(?\s*(?P<items>{_Q}(?:\s*(?:,|or|,\s*or)?\s*{_Q}){{1,20}})",
    re.IGNORECASE,
)
_UNQUOTED_OPTIONS: Final = re.compile(
    r"\b(?:one\s+of\s+the\s+following(?:\s+exact)?\s+(?:phrases|options|answers|sentences)"
    r"|choose\s+from)\s*:?\.?\s*(?P<items>(?:[A-Z][^.?!\n:]{1,60}\.\s*){2,10})"
)


def options(request: Request) -> Iterator[Check]:
    """Yield the set phrases of which the answer must hold one."""
    if hit := _OPTIONS.search(request.masked):
        text = request.text[hit.start("items") : hit.end("items")]
        found = [text[each.start() + 1 : each.end() - 1] for each in re.finditer(_Q, hit["items"])]
        yield OneOfCheck(tuple(found), "one-of")
    elif hit := _UNQUOTED_OPTIONS.search(request.masked):
        found = [each.strip() for each in re.findall(r"[^.]+\.", request.text[hit.start("items") : hit.end("items")])]
        alike = list(takewhile(lambda each: each.split()[0] == found[0].split()[0], found))
        if len(alike) > 1:  # "My answer is yes. My answer is no.": else where the list ends cannot be told
            yield OneOfCheck(tuple(alike), "one-of")


_REPEAT: Final = re.compile(
    r"\b(?:(?:first|please|just|let['’]?s|need\s+to|to|and|,)\s+(?:\w+\s+)?)?rep(?:eat|leat)"
    r"\s+(?:it\b|all\s+(?:the\s+)?text\b|(?:the|this)\s+(?:exact,?\s+|entire\s+|whole\s+|first"
    r"\s+)*(?:request|prompt|sentence|question|line|instruction|text|message)s?\b)",
    re.IGNORECASE,
)
_ABOUT_REPEATING: Final = re.compile(
    r"\brepeat|\bdo\s+not\s+(?:say|output|change|add)|\bdon['’]?t\s+(?:say|change)|\bafter"
    r"\s+that\b|\bplease\s+do\s+not\s+(?:change|say)|\bwithout\s+change|^\s*\W*(?:notes:"
    r"\s*)?\d\.\s*(?:do\s+not)?|\bthen\s+(?:give|output|answer)",
    re.IGNORECASE,
)


def repeats(request: Request) -> Iterator[Check]:
    """Yield the text of the prompt that the answer must repeat first: what stands before, or after, what says so.

    Only as much is held against the answer as is sure: of what is to be repeated, the first sentence or line.
    """
    clauses = request.clauses
    at = next((k for k, clause in enumerate(clauses) if clause.directive and _REPEAT.search(clause.text)), None)
    if at is None:
        return
    said = clauses[at].text
    first = re.search(
        r"\bfirst\b|\bbefore\b|\bbeginning\b|\bthen\b", " ".join(c.text for c in clauses[at : at + 3]), re.IGNORECASE
    )
    if first is None:
        return
    rest = [clause for clause in clauses[:at] if not _ABOUT_REPEATING.search(clause.text)]
    after = [clause for clause in clauses[at + 1 :] if not _ABOUT_REPEATING.search(clause.text)]
    if re.search(r"\bbelow\b|\bfollowing\b", said, re.IGNORECASE) or not rest:
        rest = after
    if rest:
        text = request.original(rest[0], 0, len(rest[0].text)).strip()
        if len(text.split()) > 2:
            yield RepeatCheck(text, "repeats")
