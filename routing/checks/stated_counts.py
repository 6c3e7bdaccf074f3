"""How much of what a prompt asks for: words, sentences, bullets, highlighted parts, capitals, sections, as checks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from .clauses import NUMBER, number_of
from .form import CountCheck
from .layout import SectionsCheck

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .base import Check
    from .clauses import Clause, Request

__all__ = ["QUANTITY", "counted_words", "lengths", "marked_sections", "parts", "quantity", "things"]

_LEAD: Final = (
    r"(?P<least>at\s+least|no\s+(?:fewer|less)\s+than|not\s+less\s+than|(?:a\s+)?minimum\s+(?:of\s+)?|min\.?)"
    r"|(?P<most>at\s+most|(?:no|not)\s+more\s+than|not\s+exceed(?:ing)?|up\s+to|(?:a"
    r"\s+)?maximum\s+(?:of\s+)?|within|max\.?"
    r"|(?:no|not|(?:do\s+not|don['’]t)\s+want\s+(?:anything|it)(?:\s+to\s+be)?|not\s+be)\s+"
    r"(?:longer|greater|over)(?:\s+than)?)"
    r"|(?P<over>more\s+than|over|longer\s+than|greater\s+than|exceeding)"
    r"|(?P<under>less\s+than|fewer\s+than|shorter\s+than|under|below)"
    r"|(?P<exact>exactly|precisely)"
)
QUANTITY: Final = (
    rf"(?:(?:{_LEAD})\s+(?:a\s+total\s+of\s+|only\s+)?|(?P<between>(?:between|from|the\s+range\s+of)\s+))?"
    rf"(?<![\w.])(?P<n>{NUMBER})"
    rf"(?:\s*(?P<to>to|or|and|-|–)\s*(?P<m>{NUMBER}))?"
    r"(?P<more>\s*\+|\s+or\s+(?:more|less|fewer))?"
)
"""A number with what limits it, as a pattern with named groups."""


def quantity(hit: re.Match[str]) -> tuple[int, int | None, bool] | None:
    """Return (least, most, plain) of a match of `QUANTITY`; plain where nothing says whether more or less is right.

    None where it makes no sense.
    """
    n, more = number_of(hit["n"]), (hit["more"] or "").split()
    if hit["m"] is not None:
        m = number_of(hit["m"])
        if hit["to"] == "and" and not hit["between"]:
            return None
        return (n, m, False) if n < m else None
    if more:
        return (0, n, False) if more[-1] in ("less", "fewer") else (n, None, False)
    if hit["least"]:
        return n, None, False
    if hit["over"]:
        return n + 1, None, False
    if hit["most"]:
        return 0, n, False
    if hit["under"]:
        return (0, n - 1, False) if n > 0 else None
    return n, n, not hit["exact"]


_AFTER: Final = (
    r"(?P<after>\s+or\s+(?:more|less|fewer|longer|shorter)|\s+(?:minimum|maximum|min|max|at\s+(?:least|most))\b)?"
)
_LENGTH: Final = re.compile(
    rf"(?P<before>\b(?:in|of|with|write|use|using|give|list|to|contains?|have|has|include)\s+"
    rf"(?:only\s+|just\s+)?)?\b{QUANTITY}"
    r"[\s-]+(?:(?:very|short|long|full|complete|total|different|concise|brief|simple|separate"
    r"|distinct|coherent)\s+){0,3}"
    r"(?P<unit>words?|sentences?|paragraphs?|lines?|characters?)\b" + _AFTER,
    re.IGNORECASE,
)
_LEAST_CHARACTERS: Final = 10
"""A number of characters below this is of a part of a text, and not of an answer."""
_RANGE_AFTER: Final = re.compile(
    rf"\bnumber\s+of\s+(?P<unit>words|sentences|paragraphs)\b(?!\s+(?:in|with)\s+(?:all"
    rf"|capital))[^.?!]{{0,60}}?\b{QUANTITY}",
    re.IGNORECASE,
)
_CAPITALISED: Final = re.compile(
    r"^(?:\s+or\s+phrases)?\s+(?:(?:in|with|using|that\s+are|which\s+are|are|be|to\s+be|appear)\s+)?(?:in\s+|all[\s-])*"
    r"(?:the\s+output\s+)?(?:should\s+)?(?:be\s+)?(?:in\s+)?(?:all[\s-])?(?:cap|upper|lower)",
    re.IGNORECASE,
)
_NOT_A_LENGTH: Final = re.compile(
    r"^\s*[:\"“'‘]|^\s+(?:that|which|you|above|below|from|per|each|starting|beginning|ending|and\s+(?:then|one|a)"
    r"|instruction)\b",
    re.IGNORECASE,
)
_PART: Final = re.compile(
    r"\b(?:each(?!\s+(?:separated|parted))|every|per|title|subject\s+line|headline"
    r"|introduction|intro|conclusion|first|second|third|fourth|last|final"
    r"|paragraph\s+\d+|section\s+\d+|followed\s+by|then|one\s+of\s+the|one\s+(?:paragraph|sentence)\s+of)\b",
    re.IGNORECASE,
)
_EACH_AFTER: Final = re.compile(
    r"^\s*,?\s*(?:long\s+)?(?:each|per|apiece|(?:for|in|about|on)\s+(?:each|every))\b(?!\s+(?:separated|paragraph))",
    re.IGNORECASE,
)


def _range_text(least: int, most: int | None) -> str:
    return f"{least}" if least == most else f"{least or ''}..{'' if most is None else most}"


def _counted(what: str, named: str, least: int, most: int | None) -> CountCheck:
    return CountCheck(what, least, most, f"{named}:{_range_text(least, most)}")


def lengths(request: Request) -> Iterator[Check]:
    """Yield how long the answer must be: in words, sentences, paragraphs, lines or characters."""
    starred = _STARRED.search(request.text) is not None
    for clause in request.directives:
        for pattern in (_LENGTH, _RANGE_AFTER):
            for hit in pattern.finditer(clause.text):
                found = quantity(hit)
                if found is None or _of_a_part(clause, hit):
                    continue
                least, most, plain = found
                unit = hit["unit"].casefold().removesuffix("s") + "s"
                if pattern is _LENGTH:
                    rest = clause.text[hit.end() :]
                    if _CAPITALISED.match(rest) or (plain and _NOT_A_LENGTH.match(rest)):
                        continue
                    after = (hit["after"] or "").split()
                    if after:
                        up = after[-1].casefold() in ("more", "longer", "minimum", "min", "least")
                        least, most, plain = (least, None, False) if up else (0, most, False)
                    if plain and (not hit["before"] or (unit == "characters" and least < _LEAST_CHARACTERS)):
                        continue
                    if plain and unit in ("words", "characters"):
                        least, most = round(0.8 * least), round(1.2 * least)  # "in 100 words" is not meant to the word
                if unit == "paragraphs" and starred:
                    continue  # `parts` has them
                yield _counted(unit, unit, least, most)


def _of_a_part(clause: Clause, hit: re.Match[str]) -> bool:
    """Return whether it is a part of the answer that must have so many, not all of it."""
    before = clause.text[max(0, hit.start() - 60) : hit.start()]
    before = re.split(r",\s|;|\)\s|\band\s+(?:the\s+)?entire\b|\band\s+at\b", before)[-1]
    return _PART.search(before) is not None or _EACH_AFTER.match(clause.text[hit.end() :]) is not None


_BULLETS: Final = re.compile(
    rf"{QUANTITY}[\s-]+(?:(?!and\b|or\b)[a-z]+\s+){{0,2}}?(?:bullets?(?:\s+points?)?|bulleted"
    rf"\s+(?:items|points|lists?))\b(?!\s*,?\s*each)",
    re.IGNORECASE,
)
_BULLETED: Final = re.compile(

        rf"\b(?:name|list|give|provide|write)\s+(?:me\s+)?(?:with\s+)?{QUANTITY}\s+(?:[a-z]+"
        rf"\s+){{1,8}}?(?:using|as|in|into)\s+(?:markdown\s+)?bullet"
    , re.IGNORECASE
)  # fmt: skip
_HIGHLIGHT: Final = r"(?:highlight(?:ed)?|italici[sz]ed?|italics?|bold(?:ed|face)?|emphasi[sz]ed?)"
_SECTION: Final = (
    r"(?:text\s+|italic\s+|bold\s+|key\s+|important\s+)*(?:sections?|phrases?|parts?|texts?"
    r"|words?|keywords?|passages?|terms?"
    r"|of\s+your(?:\s+\w+){1,3})"
)
_HIGHLIGHTS: Final = (
    re.compile(rf"\b{_HIGHLIGHT}(?:/\w+)?\s+{QUANTITY}\s+{_SECTION}\b", re.IGNORECASE),
    re.compile(
        rf"{QUANTITY}\s+(?:\w+\s+){{0,2}}?(?:sections?|phrases?|parts?|words?)\s+(?:must\s+|should"
        rf"\s+)?(?:be\s+)?{_HIGHLIGHT}\b"
    , re.IGNORECASE),
    re.compile(rf"{QUANTITY}\s+(?:highlighted|italic(?:i[sz]ed)?|bold(?:ed)?)\s+{_SECTION}\b", re.IGNORECASE),
)  # fmt: skip
_SOME_HIGHLIGHTS: Final = re.compile(
    rf"\b{_HIGHLIGHT}\s+(?:some|a\s+few|several|the|each|your|key)\b[^.?!]{{0,60}}(?:\*"
    rf"|\bmarkdown\b)|\*[^.?!]{{0,10}}\bto\s+{_HIGHLIGHT}\s+(?:some|a\s+few)\b",
    re.IGNORECASE,
)
_TWICE: Final = {"once": 1, "twice": 2, "thrice": 3}
_PLACEHOLDERS: Final = re.compile(rf"{QUANTITY}\s+(?:\w+\s+){{0,2}}?place-?holders?\b", re.IGNORECASE)
_CAPITALS: Final = (
    r"(?:in\s+|with\s+|of\s+)?(?:all[\s-]+(?:of\s+them\s+)?|only\s+)?(?:in\s+)?(?:capital"
    r"(?:i[sz]ed)?(?:\s+letters)?|caps|upper[\s-]?case(?:\s+letters)?)"
)

_CAPITAL_WORDS: Final = (
    re.compile(
        rf"{QUANTITY}\s+(?:words?|phrases?|words?\s+or\s+phrases?)\s+(?:[a-z]+"
        rf"\s+){{0,5}}?{_CAPITALS}\b"
    , re.IGNORECASE),
    re.compile(
        rf"\bwords?\s+(?:(?:that\s+are\s+)?(?:in|with|using|written)"
        rf"\s+){{1,2}}{_CAPITALS}[^.?!]{{0,60}}?\b{QUANTITY}\b(?!\s*(?:words?|sentences?))"
    , re.IGNORECASE),
    re.compile(
        rf"\b(?:capitali[sz]ed|all[\s-](?:caps|capital|uppercase))"
        rf"\s+words?\b[^.?!]{{0,60}}?{QUANTITY}\s+times\b"
    , re.IGNORECASE),
    re.compile(
        rf"{QUANTITY}\s+(?:such\s+)?(?:capitali[sz]ed|all[\s-](?:caps|capital|uppercase))"
        rf"\s+words?\b"
    , re.IGNORECASE),
)  # fmt: skip
_SYMBOLS: Final = re.compile(
    rf"{QUANTITY}\s+(?P<what>hash\s?tags?|exclamation\s+(?:marks|points)|question\s+marks)\b", re.IGNORECASE
)


_SHOWN_BULLETS: Final = re.compile(
    r"markdown|^\s*\*\s|[\"“'‘(]\s*\*|by\s+(?:an\s+)?(?:asterisk|\*)|use\s+\*", re.MULTILINE
)
"""Where a prompt shows how bullets are marked, only such count, and no numbered item."""


def things(request: Request) -> Iterator[Check]:
    """Yield how many bullets, highlighted parts, placeholders and marks the answer must have."""
    marked = _SHOWN_BULLETS.search(request.text) is not None
    for clause in request.directives:
        for pattern in (_BULLETS, _BULLETED):
            for hit in pattern.finditer(clause.text):
                found = quantity(hit)
                if found is not None and not _of_a_part(clause, hit):
                    yield _counted("marked bullets" if marked else "bullets", "bullets", *found[:2])
        yield from _highlighted(clause)
        for hit in _PLACEHOLDERS.finditer(clause.text):
            if (found := quantity(hit)) is not None:
                yield _counted("placeholders", "placeholders", found[0], None if found[2] else found[1])
        for hit in _SYMBOLS.finditer(clause.text):
            if (found := quantity(hit)) is not None:
                what = hit["what"].casefold().split()
                named = "hashtags" if what[0].startswith("hash") else f"{what[0]} marks"
                yield _counted(named, named, *found[:2])


def _highlighted(clause: Clause) -> Iterator[Check]:
    for pattern in _HIGHLIGHTS:
        for hit in pattern.finditer(clause.text):
            if (found := quantity(hit)) is not None:
                yield _counted("highlighted sections", "highlights", found[0], None if found[2] else found[1])
                return
    if some := _SOME_HIGHLIGHTS.search(clause.text):
        times = re.search(r"\b(once|twice|thrice)\b", clause.text[some.end() - 1 :], re.IGNORECASE)
        yield _counted("highlighted sections", "highlights", _TWICE[times[1].casefold()] if times else 1, None)


def counted_words(request: Request) -> Iterator[Check]:
    """Yield how many words the answer must have in capital letters."""
    for clause in request.directives:
        for pattern in _CAPITAL_WORDS:
            hit = pattern.search(clause.text)
            found = None if hit is None else quantity(hit)
            if found is not None:
                yield _counted("words in capitals", "capitals", found[0], None if found[2] else found[1])
                break


_STARRED: Final = re.compile(
    r"\b(?:separat|divid|part(?:ed|ing)?\s+by|split)\w*[^.?!]{0,80}?(?<!\*)\*{3}(?!\*)"
    r"|\bmarkdown\s+divider",
    re.IGNORECASE | re.DOTALL,
)
_PARTS: Final = re.compile(
    rf"{QUANTITY}\s+(?:\w+\s+){{0,1}}?(?:paragraphs?|sections?|parts?|stanzas?|verses?|scenes?)\b", re.IGNORECASE
)
_SHOWN_PARTS: Final = re.compile(r"^[ \t]*\*\*\*[ \t]*$", re.MULTILINE)


def parts(request: Request) -> Iterator[Check]:
    """Yield how many parts the answer must have where three asterisks part them."""
    shown = len(_SHOWN_PARTS.findall(request.text))
    as_shown = shown > 1 and re.search(r"\bformat\b", request.masked) is not None
    if not as_shown and not _STARRED.search(request.text):
        return
    if shown > 1:
        yield _counted("parts", "parts", shown + 1, shown + 1)
        return
    for clause in request.clauses:
        for hit in _PARTS.finditer(clause.text):
            found = quantity(hit)
            if found is not None:
                yield _counted("parts", "parts", *found[:2])
                return


_MARKED: Final = re.compile(
    r"\b(?P<mark>SECTION|PARAGRAPH|PART|CHAPTER|DAY|STEP|STANZA|VERSE|SCENE|AUDIENCE|ACT|ROUND"
    r"|WEEK)\s+(?P<x>X|\d{1,2}|N)\b",
    re.IGNORECASE,
)
_N_SECTIONS: Final = re.compile(
    rf"{QUANTITY}[\s-]+(?:\w+\s+)?(?:sections?|paragraphs?|parts?|chapters?|steps?|stanzas?"
    rf"|verses?|scenes?|acts?|rounds?)\b",
    re.IGNORECASE,
)
_MARKING: Final = re.compile(
    r"\bmark(?:ed|ing|s)?\b|\blabel(?:l?ed|s|l?ing)?\b|\bstart(?:s|ing|ed)?\b|\bbegin(?:s|ning"
    r"|ned)?\b|\bnoted\b|\bsections?\b|\bnamed\b",
    re.IGNORECASE,
)


def marked_sections(request: Request) -> Iterator[Check]:
    """Yield how many sections the answer must have that begin with a mark such as `SECTION X`."""
    text = request.text
    for clause in request.directives:
        piece = request.original(clause, 0, len(clause.text))
        hits = list(_MARKED.finditer(piece))
        if (
            not hits
            or not _MARKING.search(piece)
            or re.search(
                r"\bhighlight|\b(?:paragraph|section)\s+\d+\s+(?:must|should)\s+(?:start|begin)|\bstart"
                r"\s+paragraph",
                piece,
                re.IGNORECASE,
            )
        ):
            continue
        numbers = [int(hit["x"]) for hit in hits if hit["x"].isdigit()]
        wanted = [
            found[0] for hit in _N_SECTIONS.finditer(text) if (found := quantity(hit)) is not None and found[0] > 0
        ]
        named = [hit["x"] for hit in hits if not hit["x"].isdigit()]
        if named:
            days = re.search(rf"\b(?P<n>{NUMBER})[\s-]day", text) if hits[0]["mark"].casefold() == "day" else None
            least = wanted[0] if wanted else number_of(days["n"]) if days else 0
        else:
            least = len(numbers) if numbers == list(range(1, len(numbers) + 1)) and len(numbers) > 1 else 0
        if least:
            yield SectionsCheck(hits[0]["mark"], least, f"sections:{least}")
            return
