"""Checks that look at the text of an answer: schema, pattern, match, counts, wording, language, refusal, truncation."""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal

from scrimp.profiles.errors import UsageError

from .check import NOTHING, SHOWN, BaseCheck, Check, Given, Outcome, Verdict, problem_of
from .normal import bare_json, final_number, normalise, plain_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = [
    "CompleteCheck",
    "CountCheck",
    "ExactCheck",
    "FormCheck",
    "InstructionsCheck",
    "JsonCheck",
    "LanguageCheck",
    "NumberCheck",
    "PatternCheck",
    "RefusalCheck",
    "SchemaCheck",
    "WordingCheck",
    "read_range",
    "schema_verdict",
    "searched_quickly",
]

PATTERN_TIMEOUT_S: Final = 5.0
"""A pattern that searches an answer for longer than this has failed."""

_QUICK_CHARS: Final = 10_000


@dataclass(frozen=True)
class SchemaCheck(BaseCheck):
    """The answer is JSON and satisfies a JSON Schema."""

    schema: Mapping[str, Any]
    name: str = "schema"
    timeout_s: float = PATTERN_TIMEOUT_S
    kind: str = field(default="schema", init=False)

    @classmethod
    def parse(cls, argument: str, name: str) -> SchemaCheck:
        """Read `schema:FILE` or `schema:{...}`."""
        from pathlib import Path

        from .prompt import load_schema

        raw, what = argument, f"--check {name}"
        if not argument.lstrip().startswith("{"):
            what = f"schema {argument}"
            try:
                raw = Path(argument).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise UsageError(f"cannot read {what}: {error}") from None
        return cls(load_schema(raw, what=what), name)

    @cached_property
    def _risky(self) -> bool:
        """Whether the schema holds a pattern that could backtrack for ever."""
        return any(not searched_quickly(pattern) for pattern in _patterns(self.schema))

    def test(self, answer: str, given: Given = NOTHING) -> Verdict:
        """Return the verdict on an answer."""
        del given
        if self._risky or (len(answer) > _QUICK_CHARS and any(True for _ in _patterns(self.schema))):
            from .check_process import validate_apart

            found = validate_apart(self.schema, answer, timeout_s=self.timeout_s)
            if found is None:
                return self.failed(f"holding the answer against the schema took over {self.timeout_s:g} s")
        else:
            found = schema_verdict(self.schema, answer)
        outcome, said = found
        return self.passed() if outcome == "pass" else Verdict(self.name, outcome, said)


def _patterns(schema: Any, depth: int = 0) -> Iterator[str]:
    """Yield every regular expression of a schema."""
    if depth > 100:
        return
    if isinstance(schema, list):
        for each in schema:
            yield from _patterns(each, depth + 1)
    elif isinstance(schema, dict):
        for key, value in schema.items():
            if key == "pattern" and isinstance(value, str):
                yield value
            elif key == "patternProperties" and isinstance(value, dict):
                yield from value
            yield from _patterns(value, depth + 1)


def schema_verdict(schema: Mapping[str, Any], answer: str) -> tuple[Outcome, str]:
    """Return what a JSON Schema makes of an answer, and why; what a schema refers to elsewhere is never fetched."""
    import jsonschema
    from jsonschema.validators import validator_for
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    try:
        value = json.loads(answer)
    except (ValueError, RecursionError):
        return "fail", "the answer is not JSON"
    try:
        validator = validator_for(schema)(schema, registry=Registry())
        first = next(iter(validator.iter_errors(value)), None)
    except (jsonschema.SchemaError, re.error) as error:
        return "abstain", f"the schema is not a JSON Schema: {str(error)[:SHOWN]}"
    except (RecursionError, Unresolvable) as error:
        return "abstain", f"the schema cannot be followed to its end: {str(error)[:SHOWN]}"
    if first is None:
        return "pass", ""
    where = "/".join(str(part) for part in first.absolute_path) or "the top"
    return "fail", f"the answer does not satisfy the schema, at {where}: {first.message[:SHOWN]}"


@dataclass(frozen=True, slots=True)
class JsonCheck(BaseCheck):
    """The answer is JSON, bare or in one fenced block."""

    name: str = "json"
    kind: str = field(default="json", init=False)

    @classmethod
    def parse(cls, argument: str, name: str) -> JsonCheck:
        """Read `json`."""
        del argument
        return cls(name)

    def test(self, answer: str, given: Given = NOTHING) -> Verdict:
        """Return the verdict on an answer."""
        del given
        try:
            json.loads(bare_json(answer))
        except (ValueError, RecursionError):
            return self.failed("the answer is not JSON")
        return self.passed()


def searched_quickly(pattern: str) -> bool:
    r"""Return whether searching a short text for a pattern cannot take long.

    So it is with at most one repetition, which is not of a group, and few alternatives: each of those can double the
    ways in which the rest is tried.

    Examples
    --------
    >>> [searched_quickly(each) for each in (r"^\d{3}-[a-d]$", "^(yes|no)", "(a|a)*b", "(a+)+$", "a?" * 30 + "a" * 30)]
    [True, True, False, False, False]
    """
    source = re.sub(r"\\.|\[\^?\]?[^\]]*\]", "x", pattern).replace("(?:", "(")
    many = re.findall(r"[*+]|\{\d*,?\d*\}", source)
    return (
        len(many) <= 1
        and len(re.findall(r"[?|]", source)) <= 8
        and re.search(r"\)(?:[*+]|\{\d*,?\d*\})", source) is None
        and "(?P=" not in source
    )


@dataclass(frozen=True, slots=True)
class PatternCheck(BaseCheck):
    """A regular expression is found in the answer.

    A pattern can backtrack for longer than the universe has stood: unless it is simple and the answer short, it is
    searched for in a process of its own, which has 5 seconds.
    """

    pattern: re.Pattern[str]
    name: str = "pattern"
    timeout_s: float = PATTERN_TIMEOUT_S
    kind: str = field(default="pattern", init=False)

    @classmethod
    def parse(cls, argument: str, name: str) -> PatternCheck:
        """Read `re:PATTERN`."""
        try:
            return cls(re.compile(argument, re.MULTILINE), name)
        except (re.error, OverflowError, RecursionError) as error:
            raise UsageError(f"--check {name}: not a regular expression: {error}") from None

    @property
    def quick(self) -> bool:
        """Whether searching a short answer cannot take long."""
        return searched_quickly(self.pattern.pattern)

    def test(self, answer: str, given: Given = NOTHING) -> Verdict:
        """Return the verdict on an answer."""
        del given
        if self.quick and len(answer) <= _QUICK_CHARS:
            found = self.pattern.search(answer) is not None
        else:
            from .check_process import search_apart

            ran = search_apart(self.pattern, answer, timeout_s=self.timeout_s)
            if ran is None:
                return self.failed(f"searching for {self._shown} took over {self.timeout_s:g} s")
            found = ran
        return self.passed() if found else self.failed(f"the answer does not match {self._shown}")

    @property
    def _shown(self) -> str:
        return repr(self.pattern.pattern[:SHOWN])


@dataclass(frozen=True, slots=True)
class ExactCheck(BaseCheck):
    """The answer is one text, but for case, space and punctuation around it."""

    expected: str
    name: str = "is"
    kind: str = field(default="exact", init=False)

    @classmethod
    def parse(cls, argument: str, name: str) -> ExactCheck:
        """Read `is:TEXT`."""
        return cls(argument, name)

    def test(self, answer: str, given: Given = NOTHING) -> Verdict:
        """Return the verdict on an answer."""
        del given
        if plain_text(answer) == plain_text(self.expected):
            return self.passed()
        mine, theirs = normalise(answer), normalise(self.expected)
        if mine is not None and mine.key is not None and theirs is not None and mine.key == theirs.key:
            return self.passed()
        return self.failed(f"the answer is not {self.expected[:SHOWN]!r}")


@dataclass(frozen=True, slots=True)
class NumberCheck(BaseCheck):
    """The number the answer ends in is the one expected, within a tolerance."""

    expected: Decimal
    tolerance: Decimal
    name: str = "number"
    kind: str = field(default="number", init=False)

    @classmethod
    def parse(cls, argument: str, name: str) -> NumberCheck:
        """Read `number:42` or `number:3.14+-0.01`."""
        left, _, right = argument.replace("±", "+-").partition("+-")
        try:
            expected, tolerance = Decimal(left.strip().replace(",", "")), Decimal(right.strip() or 0)
        except ArithmeticError:
            expected = tolerance = Decimal("NaN")
        if not (expected.is_finite() and tolerance.is_finite() and tolerance >= 0):
            raise UsageError(f"--check {name}: expected a number such as 42, or with a tolerance: 3.14+-0.01")
        return cls(expected, tolerance, name)

    def test(self, answer: str, given: Given = NOTHING) -> Verdict:
        """Return the verdict on an answer."""
        from fractions import Fraction

        del given
        number = final_number(answer)
        if number is None:
            return self.failed("the answer has no number")
        if abs(number - Fraction(self.expected)) <= Fraction(self.tolerance):
            return self.passed()
        return self.failed(f"the answer's number is {float(number):g}, not {self.expected}")


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
    """The answer has so many words, characters, lines, sentences, paragraphs or list items."""

    what: str
    least: int
    most: int | None
    name: str = "count"
    kind: str = field(default="count", init=False)

    @classmethod
    def _parse(cls, what: str, argument: str, name: str) -> CountCheck:
        least, most = read_range(argument, name)
        return cls(what, least, most, name)

    @classmethod
    def parse_words(cls, argument: str, name: str) -> CountCheck:
        """Read `words:10..200`."""
        return cls._parse("words", argument, name)

    @classmethod
    def parse_chars(cls, argument: str, name: str) -> CountCheck:
        """Read `chars:..280`."""
        return cls._parse("characters", argument, name)

    @classmethod
    def parse_lines(cls, argument: str, name: str) -> CountCheck:
        """Read `lines:1`; empty lines do not count."""
        return cls._parse("lines", argument, name)

    @classmethod
    def parse_sentences(cls, argument: str, name: str) -> CountCheck:
        """Read `sentences:3`."""
        return cls._parse("sentences", argument, name)

    @classmethod
    def parse_paragraphs(cls, argument: str, name: str) -> CountCheck:
        """Read `paragraphs:2`; an empty line parts them."""
        return cls._parse("paragraphs", argument, name)

    @classmethod
    def parse_bullets(cls, argument: str, name: str) -> CountCheck:
        """Read `bullets:5`: items of lists, numbered or not."""
        return cls._parse("bullets", argument, name)

    def test(self, answer: str, given: Given = NOTHING) -> Verdict:
        """Return the verdict on an answer."""
        del given
        count = _COUNTED[self.what](answer)
        if count >= self.least and (self.most is None or count <= self.most):
            return self.passed()
        if self.most is None:
            wanted = f"{self.least} or more"
        elif self.least == self.most:
            wanted = f"{self.least}"
        else:
            wanted = f"{self.least} to {self.most}"
        return self.failed(f"the answer has {count} {self.what}, not {wanted}")


@dataclass(frozen=True, slots=True)
class WordingCheck(BaseCheck):
    """The answer holds, lacks, starts or ends with a text, whatever its case."""

    how: Literal["has", "lacks", "starts", "ends"]
    text: str
    name: str = "wording"
    kind: str = field(default="wording", init=False)

    @classmethod
    def _parse(cls, how: Literal["has", "lacks", "starts", "ends"], argument: str, name: str) -> WordingCheck:
        if not argument.strip():
            raise UsageError(f"--check {name}: expected a text after {how}:")
        return cls(how, argument, name)

    @classmethod
    def parse_has(cls, argument: str, name: str) -> WordingCheck:
        """Read `has:TEXT`."""
        return cls._parse("has", argument, name)

    @classmethod
    def parse_lacks(cls, argument: str, name: str) -> WordingCheck:
        """Read `lacks:TEXT`."""
        return cls._parse("lacks", argument, name)

    @classmethod
    def parse_starts(cls, argument: str, name: str) -> WordingCheck:
        """Read `starts:TEXT`."""
        return cls._parse("starts", argument, name)

    @classmethod
    def parse_ends(cls, argument: str, name: str) -> WordingCheck:
        """Read `ends:TEXT`."""
        return cls._parse("ends", argument, name)

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

    @classmethod
    def parse_upper(cls, argument: str, name: str) -> FormCheck:
        """Read `upper`."""
        del argument
        return cls("upper", name)

    @classmethod
    def parse_lower(cls, argument: str, name: str) -> FormCheck:
        """Read `lower`."""
        del argument
        return cls("lower", name)

    @classmethod
    def parse_title(cls, argument: str, name: str) -> FormCheck:
        """Read `title`."""
        del argument
        return cls("title", name)

    @classmethod
    def parse_no_commas(cls, argument: str, name: str) -> FormCheck:
        """Read `no-commas`."""
        del argument
        return cls("no-commas", name)

    def test(self, answer: str, given: Given = NOTHING) -> Verdict:
        """Return the verdict on an answer."""
        del given
        if self.form == "upper":
            return self.passed() if answer == answer.upper() else self.failed("the answer has lower-case letters")
        if self.form == "lower":
            return self.passed() if answer == answer.lower() else self.failed("the answer has upper-case letters")
        if self.form == "title":
            good = re.search(r"<<[^<>\n]+>>", answer) is not None
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
}

_SCRIPTS: Final[dict[str, str]] = {
    "ru": "CYRILLIC", "uk": "CYRILLIC", "bg": "CYRILLIC", "el": "GREEK", "ar": "ARABIC", "fa": "ARABIC",
    "he": "HEBREW", "hi": "DEVANAGARI", "th": "THAI", "ko": "HANGUL", "ja": "HIRAGANA", "zh": "CJK",
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

    @classmethod
    def parse(cls, argument: str, name: str) -> RefusalCheck:
        """Read `refusal`."""
        del argument
        return cls(name)

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

    @classmethod
    def parse(cls, argument: str, name: str) -> CompleteCheck:
        """Read `complete`."""
        del argument
        return cls(name)

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

    @classmethod
    def parse(cls, argument: str, name: str) -> InstructionsCheck:
        """Read `instructions`."""
        del argument
        return cls(name)

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
