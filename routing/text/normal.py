"""The normal form of an answer: what it comes to once numbers, choices, code and JSON are written one way."""

from __future__ import annotations

import ast
import json
import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal

from .code import code_in

__all__ = ["Kind", "Normal", "bare_json", "final_number", "normalise", "plain_text"]

Kind = Literal["json", "choice", "number", "code", "text", "prose"]


@dataclass(frozen=True, slots=True)
class Normal:
    """What an answer comes to.

    Attributes
    ----------
    key
        Equal for answers that say the same; None for prose, which only an embedding can compare.
    """

    kind: Kind
    key: str | None


# Searched for in text whose runs of space are one space: otherwise runs of optional space beside each other would take
# a time that grows with the cube of what a model repeats without end.
_LEAD: Final = (
    r"(?:final answer|the answer|answer|correct (?:option|choice|answer)|result) ?(?:is|:|=){0,3} ?(?:option )?"
)
_NUMBER: Final = r"[-+−]?\s?[$€£]?\s?\d[\d,]*(?:\.\d+)?(?:[eE][-+]?\d+)?(?:\s?/\s?\d[\d,]*(?:\.\d+)?)?\s?%?"
_MARKS: Final = r"[*_` ]{0,6}"
_CHOICE: Final = re.compile(rf"{_LEAD}{_MARKS}\(?([A-Z])\)?(?![\w'’])", re.IGNORECASE)
_BARE_CHOICE: Final = re.compile(r"[\s*_`\"'\[{]*\(?([A-Za-z])\)?[\s*_`\"'\]}.:)]*")
_BOXED: Final = re.compile(r"\\boxed\s*\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}")


def _fraction(text: str) -> Fraction | None:
    """Return the number that a text spells, or None."""
    text = re.sub(r"\\d?frac\{([^{}]+)\}\{([^{}]+)\}", r"\1/\2", text)
    text = re.sub(r"[\s$€£,%]|\\[,!;]", "", text.replace("−", "-").replace("\\$", ""))
    above, _, below = text.partition("/")
    if len(text) > 60 or re.search(r"[eE][-+]?\d{3,}", text):
        return None
    try:
        number = Fraction(above)
        return number / Fraction(below) if below else number
    except (ValueError, ZeroDivisionError):
        return None


def _one_space(text: str) -> str:
    return " ".join(text.split())


def bare_json(answer: str) -> str:
    """Return the JSON of an answer: what stands in its only fenced block, or all of it."""
    blocks = re.findall(r"^```[ \t]*(?:json)?[ \t]*\n(.*?)^```[ \t]*$", answer, re.DOTALL | re.MULTILINE)
    return blocks[0] if len(blocks) == 1 else answer


def plain_text(text: str) -> str:
    """Return text without case, surplus space, and punctuation at its ends.

    Examples
    --------
    >>> plain_text("  **Paris.** ")
    'paris'
    """
    text = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return text.strip("\"'`*_.,;:!?()[]{} \t\u201c\u201d\u2018\u2019")


def final_number(answer: str) -> Fraction | None:
    """Return the number that an answer comes to: a marked one (boxed, after "the answer is" or ####), else the last.

    Examples
    --------
    >>> final_number("So 3 + 4 = 7. The answer is $1,234.50."), final_number("no number")
    (Fraction(2469, 2), None)
    """
    text = _one_space(answer[-20_000:])
    marked = _BOXED.findall(text) or re.findall(rf"(?:####|{_LEAD}){_MARKS}({_NUMBER})", text, re.IGNORECASE)
    found = marked or re.findall(_NUMBER, text)
    for each in reversed(found):
        number = _fraction(each)
        if number is not None:
            return number
        inner = re.findall(_NUMBER, each)
        if inner and (number := _fraction(inner[-1])) is not None and marked and len(inner) == 1:
            return number
    return None


def normalise(answer: str) -> Normal | None:
    """Return what an answer comes to; None where there is nothing in it.

    Examples
    --------
    >>> normalise("The answer is (B).").key == normalise("b").key
    True
    >>> normalise("It comes to 1,000 apples, so the answer is 1,000.").key == normalise("1000").key
    True
    >>> normalise('{"b": 1, "a": 2}').key == normalise('{"a":2,"b":1}').key
    True
    """
    text = answer.strip()
    if not text:
        return None
    if (body := bare_json(text).strip())[:1] in ("{", "["):
        try:
            return Normal("json", json.dumps(json.loads(body), sort_keys=True, separators=(",", ":")))
        except (ValueError, RecursionError):
            pass
    bare = _BARE_CHOICE.fullmatch(text)
    if bare is not None:
        return Normal("choice", bare[1].upper())
    line = _one_space(text[-20_000:])
    said = _CHOICE.findall(line[-2_000:])
    if said:
        return Normal("choice", said[-1].upper())
    alone = _fraction(plain_text(text)) if len(text) <= 60 else None
    marked = re.search(rf"\\boxed ?\{{|####|{_LEAD}{_MARKS}{_NUMBER}", line, re.IGNORECASE)
    number = alone if alone is not None else final_number(text) if marked else None
    if number is not None:
        return Normal("number", str(number))
    if marked and (boxed := _BOXED.findall(line)):
        return Normal("text", plain_text(boxed[-1]))
    code = code_in(text)
    if code is not text:
        try:
            return Normal("code", ast.dump(ast.parse(code)))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return Normal("code", "\n".join(line.strip() for line in code.splitlines() if line.strip()))
    plain = plain_text(text)
    return Normal("text", plain) if len(plain.split()) <= 6 else Normal("prose", None)
