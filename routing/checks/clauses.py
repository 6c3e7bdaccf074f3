"""A prompt as clauses, and which of them tell how to answer: what the readers of instructions look at."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final

__all__ = ["MOST_READ", "NUMBER", "Clause", "Request", "number_of"]

MOST_READ: Final = 20_000
"""Characters of a prompt that are read for instructions."""

_ONES: Final = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
]
_NUMBER_WORDS: Final = {
    **{word: n for n, word in enumerate(_ONES)},
    **{
        word: 10 * n
        for n, word in enumerate(["thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety", "hundred"], 3)
    },
    "a hundred": 100,
    "a thousand": 1000,
}
NUMBER: Final = (
    r"(?:\d{1,3}(?:,\d{3})+|\d{1,6}|" + "|".join(sorted(_NUMBER_WORDS, key=len, reverse=True)) + r")(?![\w.]*\d)"
)
"""A count, in digits or in words, as a pattern."""


def number_of(text: str) -> int:
    """Return the number that a match of `NUMBER` is.

    Examples
    --------
    >>> number_of("1,200"), number_of("Twelve")
    (1200, 12)
    """
    digits = text.replace(",", "")
    return int(digits) if digits.isdigit() else _NUMBER_WORDS[text.casefold()]


_CODE: Final = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_QUOTED: Final = re.compile(
    r"(?<!\w)[\"“”](?=[^\s\"“”])([^\"“”]{1,4000}?)[\"“”](?!\w)|(?<![\w'’])['‘](?=\w)([^'‘’\n]{1,80})['’](?![\w'’])"
)
_OPTION: Final = re.compile(r"^[ \t]*\(?[A-J][.)][ \t].*$", re.MULTILINE)
_ABBREVIATED: Final = re.compile(
    r"\b(?:[A-Z](?:\.[A-Z])+|i\.\s?e|e\.\s?g|p\.\s?p\.\s?s|p\.\s?s|etc|vs|dr|mrs?|ms|st)\.", re.IGNORECASE
)
_END: Final = re.compile(r"[.!?]+[)\]\"”’']*(?=\s)|:?\s*\n(?=\s*(?:\n|[A-Z0-9\"“*•#<\[-]))|\n\s*\n")

_MUST: Final = r"\b(?:must|should|shall|ha(?:s|ve)\s+to|needs?\s+to|ought\s+to|cannot|can\s?not|can['’]t)\b"
_TEXT: Final = (
    r"(?:answer|response|reply|replies|output|essay|poem|story|tale|letter|e-?mail|post"
    r"|article|song|lyrics|summary|riddle"
    r"|haiku|limerick|rap|speech|description|review|report|paragraphs?|text|tweets?|thread"
    r"|pitch|resume|proposal|itinerary"
    r"|critiques?|jokes?|biography|blog|ad|ads|advertisements?|paper|conversation|dialogue"
    r"|template|plan|list|document|script"
    r"|slogan|quiz|rubric|explanations?|translation|message|cover letter|it|this|sentences?"
    r"|names?|outline|rant|note|file"
    r"|words?|letters?|keywords?|commas|version|versions|thesis|memo|page|play|stanzas?"
    r"|sections?|title|titles|there|you|each"
    r"|everything|deck|tagline|compliment|ending|end)"
)
_VERB: Final = (
    r"(?:writ(?:e|ing)|answer|respond|repl(?:y|ies)|give|provide|us(?:e|ing)|include|make|keep"
    r"|limit|create|generate|compose"
    r"|list|explain|describe|summari[sz]e|mention|contain|add|end|finish|start|begin|conclude"
    r"|highlight|italici[sz]e|bold"
    r"|emphasi[sz]e|wrap|put|place|format|avoid|refrain|exclude|do\s+not|don['’]?t|never"
    r"|restrict|stick|translate|rewrite"
    r"|rephrase|paraphrase|draft|organi[sz]e|capitali[sz]e|say|repeat|separated?|mark|label"
    r"|return|output|show|tell|expand"
    r"|elaborate|criti(?:que|ci[sz]e)|name|think|compare|discuss|suggest|convert|complete|craft|design"
    r"|produce|state|control|break|divide|split|surround|enclose|indicate|invent|brainstorm|recommend|help|improve|edit"
    r"|proofread|correct|extend|continue|reword|outline|imagine|pretend|act|let['’]?s|let|have"
    r"|speak|talk|come\s+up|target"
    r"|aim|address|report|argue|analy[sz]e|review)"
)
_OPENING: Final = re.compile(
    r"\s*(?:\W|\d+[.)]|(?:and|also|but|then|finally|additionally|moreover|furthermore|please"
    r"|kindly|just|now|first|firstly"
    r"|second|secondly|third|lastly|next|again|only|therefore|however|so|hey|hi|hello|ok|okay|remember\s+to"
    r"|make\s+sure(?:\s+to)?|be\s+sure(?:\s+to)?|request|task|instructions?|rules?|note|constraints?|requirements?"
    r"|explicitly|always|carefully|in\s+(?:addition|particular|other\s+words))\b|(?:in|at|for"
    r"|throughout|before|after|by)\s[^.,?!\n]{1,60},)",
    re.IGNORECASE,
)
_ORDER: Final = re.compile(
    rf"\s*(?:{_VERB}|no|not|without|entirely|exactly|at\s+(?:least|most)|all|answer"
    rf"|in\s+(?:{NUMBER}|all|no|at|under|fewer|less|json|exactly|only|valid|between))\b",
    re.IGNORECASE,
)
_DIRECTIVE: Final = re.compile(
    rf"\b(?:your|the|all|both|every|each|these|this)\s+(?:[\w'-]+\s+){{0,4}}?{_TEXT}\b[^.?!]{{0,200}}?{_MUST}"
    rf"|\b(?:it|this|that|there|they|you|words?|letters?|commas|quotes|paragraph\s+\d+)\b[^.?!]{{0,80}}?{_MUST}"
    rf"|\b(?:can|could|would|will)\s+you\s+(?:[\w']+\s+){{0,3}}?{_VERB}\b"
    r"|\bi(?:['’]d|\s+would)?\s+(?:like|want|need|do\s+not\s+want|don['’]?t\s+want)\b|\b(?:make|be)\s+sure\b|\bplease\b"
    r"|\bensur(?:e|ing)\b|\b(?:is|are)\s+(?:not\s+)?allowed\b|\b(?:don['’]t|do\s+not)\s+forget\b",
    re.IGNORECASE,
)


def _is_directive(text: str) -> bool:
    """Return whether a sentence says what to do, or how the answer must be."""
    at = 0
    for _ in range(20):
        if _ORDER.match(text, at):
            return True
        hit = _OPENING.match(text, at)
        if hit is None:
            break
        at = hit.end()
    return _DIRECTIVE.search(text) is not None


_CONTEST: Final = re.compile(r"\bSample (?:Input|Output)\b|^Example 1:.*^Constraints:", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Clause:
    r"""A sentence, or a line, of a prompt.

    Attributes
    ----------
    start
        Where it begins in the prompt.
    text
        Its text, with what stands in quotation marks made unreadable (`\x01`), so that no word of it is taken for
        an instruction; of the same length as in the prompt.
    directive
        Whether it says what to do, or how the answer must be.
    """

    start: int
    text: str
    directive: bool


@dataclass(frozen=True)
class Request:
    """What a prompt asks, ready to be read for instructions."""

    prompt: str

    @cached_property
    def text(self) -> str:
        """The part that is read, runs of blanks made one: no pattern has to try each place in them."""
        return re.sub(r"\n\s*\n", "\n\n", re.sub(r"[^\S\n]+", " ", self.prompt[:MOST_READ]))

    @cached_property
    def masked(self) -> str:
        """`text`, its quotations, code blocks and lettered options made unreadable; as long as it is."""

        def drop(hit: re.Match[str]) -> str:
            return "\x02" * len(hit[0])

        text = _CODE.sub(drop, self.text)
        if len(_OPTION.findall(text)) > 1:
            text = _OPTION.sub(drop, text)

        def hide(hit: re.Match[str]) -> str:
            inside = hit[1] if hit[1] is not None else hit[2]
            return hit[0][0] + "\x01" * len(inside) + hit[0][-1]

        text = _QUOTED.sub(hide, text)
        return _ABBREVIATED.sub(lambda hit: hit[0].replace(".", "·"), text)

    @cached_property
    def clauses(self) -> tuple[Clause, ...]:
        """Its sentences and lines, in order."""
        found, start, text = [], 0, self.masked
        for end in [*(hit.end() for hit in _END.finditer(text)), len(text)]:
            piece = text[start:end]
            if piece.strip():
                found.append(Clause(start, piece, _is_directive(piece)))
            start = end
        return tuple(found)

    @cached_property
    def directives(self) -> tuple[Clause, ...]:
        """The clauses that tell how to answer; none of a programming contest, whose words are about its data."""
        if _CONTEST.search(self.masked):
            return ()
        return tuple(clause for clause in self.clauses if clause.directive)

    def original(self, clause: Clause, start: int, end: int) -> str:
        """Return what stands in the prompt at a place of a clause, quotations as they are."""
        return self.text[clause.start + start : clause.start + end]
