"""What a prompt itself demands of its answer's form, as checks."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Literal

from .base import NOTHING, BaseCheck, Check, Given, Verdict, problem_of
from .form import CountCheck, FormCheck, WordingCheck
from .text import JsonCheck

__all__ = ["InstructionsCheck"]


_NUMBER_WORDS: Final = {word: n for n, word in enumerate(
    ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
)}  # fmt: skip
_N: Final = r"(\d{1,6}|" + "|".join(_NUMBER_WORDS) + ")"
_UNIT: Final = r"(words?|sentences?|paragraphs?|lines?|bullet points?|bullets|characters?)"
_UNITS: Final = {
    "word": "words", "sentence": "sentences", "paragraph": "paragraphs", "line": "lines", "bullet point": "bullets",
    "bullet": "bullets", "character": "characters",
}  # fmt: skip


def instructions_in(prompt: str) -> tuple[Check, ...]:
    """Return a check for each instruction of a prompt that can be verified without understanding it.

    Counts ("at least 300 words", "exactly three bullet points"), keywords ("include the word 'tax'"), forbidden words,
    forms ("in all lowercase", "no commas", "in JSON"), and how the answer must start or end.

    Examples
    --------
    >>> [check.name for check in instructions_in("Answer in at most two sentences, in all lowercase letters.")]
    ['sentences:..2', 'lower']
    """
    found: list[Check] = []
    text = " ".join(prompt[:20_000].split())

    def number(word: str) -> int:
        return int(word) if word.isdigit() else _NUMBER_WORDS[word.casefold()]

    bounds = (
        (r"(?:at least|no fewer than|no less than|minimum of|more than)", "least"),
        (r"(?:at most|no more than|up to|fewer than|less than|under|maximum of|within)", "most"),
        (r"(?:exactly|in|of|with|write|use|give|list)", "exactly"),
    )
    taken: set[int] = set()
    for lead, how in bounds:
        for hit in re.finditer(rf"\b{lead}\s+(?:only\s+)?{_N}[\s-]+{_UNIT}\b", text, re.IGNORECASE):
            if hit.start(1) in taken:
                continue
            taken.add(hit.start(1))
            n, what = number(hit[1]), _UNITS[hit[2].casefold().removesuffix("s")]
            least, most = (n, None) if how == "least" else (0, n) if how == "most" else (n, n)
            if how == "exactly" and what in ("words", "characters") and not hit[0].casefold().startswith("exactly"):
                least, most = round(0.8 * n), round(1.2 * n)  # "in 100 words" is not meant to the word
            spelt = f"{least or ''}..{'' if most is None else most}" if least != most else f"{n}"
            found.append(CountCheck(what, least, most, f"{what}:{spelt}"))
    quoted = r"[\"“'‘]([^\"”'’]{1,60})[\"”'’]"
    lacking = r"\b(?:do not|don['’]t|never|avoid|without)\s+(?:use|using|include|including|mention|mentioning)?\s*"
    wordings: tuple[tuple[str, Literal["has", "lacks", "starts", "ends"]], ...] = (
        (rf"\b(?:include|use|mention|contain)\s+the\s+(?:keyword|word|phrase)\s+{quoted}", "has"),
        (rf"{lacking}the\s+(?:keyword|word|phrase)\s+{quoted}", "lacks"),
        (rf"\b(?:start|begin)\s+(?:your\s+\w+\s+)?with\s+(?:the\s+(?:word|phrase|words)\s+)?{quoted}", "starts"),
        (rf"\b(?:end|finish)\s+(?:your\s+\w+\s+)?with\s+(?:the\s+(?:word|phrase|words)\s+)?{quoted}", "ends"),
    )
    negated = set()
    for pattern, how_worded in sorted(wordings, key=lambda pair: pair[1] != "lacks"):
        for hit in re.finditer(pattern, text, re.IGNORECASE):
            if how_worded == "has" and hit.start(1) in negated:
                continue
            if how_worded == "lacks":
                negated.add(hit.start(1))
            found.append(WordingCheck(how_worded, hit[1], f"{how_worded}:{hit[1]}"))
    forms: tuple[tuple[str, Check], ...] = (
        (r"\b(?:in|all)\s+(?:all\s+)?lower\s?case\b", FormCheck("lower", "lower")),
        (r"\b(?:in|all)\s+(?:all\s+)?(?:upper\s?case|capital letters|caps)\b", FormCheck("upper", "upper")),
        (r"\b(?:no|without|avoid|not use|not include)\s+(?:any\s+|using\s+(?:any\s+)?)?commas\b",
         FormCheck("no-commas", "no-commas")),
        (r"\b(?:in|as|valid|only)\s+(?:valid\s+)?JSON\b(?!\s+Schema)", JsonCheck("json")),
        (r"<<\s*title\s*>>|double angular brackets", FormCheck("title", "title")),
    )  # fmt: skip
    found += [check for pattern, check in forms if re.search(pattern, text, re.IGNORECASE)]
    return tuple(found)


@dataclass(frozen=True, slots=True)
class InstructionsCheck(BaseCheck):
    """The answer keeps to what the prompt asks of its form, as far as that can be verified."""

    name: str = "instructions"
    kind: str = field(default="instructions", init=False)

    def test(self, answer: str, given: Given = NOTHING) -> Verdict:
        """Return the verdict on an answer."""
        checks = instructions_in(given.prompt)
        if not checks:
            return self.abstained("the prompt has no instruction that can be verified")
        problems = [problem for check in checks if (problem := problem_of([check.test(answer)])) is not None]
        score = 1.0 - len(problems) / len(checks)
        if problems:
            return self.failed("; ".join(problems), score)
        return self.passed(f"{len(checks)} instructions kept", score)
