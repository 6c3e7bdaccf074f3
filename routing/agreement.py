"""Agreement of answers: what two answers have in common once numbers, choices, code and JSON are normalised; votes."""

from __future__ import annotations

import ast
import json
import math
import re
from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Final, Literal

from scrimp.profiles.errors import UsageError

from .check import NOTHING, BaseCheck, Given, Verdict
from .check_process import code_in
from .check_text import bare_json, plain_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    Embed = Callable[[Sequence[str]], NDArray[np.float32]]

__all__ = ["SAME_PROSE", "AgreeCheck", "Normal", "agreement", "final_number", "groups", "normalise", "sigma", "vote"]

SAME_PROSE: Final = 0.85
"""Cosine of two texts' embeddings from which they say the same, as far as an embedding can tell."""

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


def agreement(
    answers: Sequence[str], *, embed: Embed | None = None, same: float = SAME_PROSE
) -> list[list[float | None]]:
    """Return how far each pair of answers agrees, in [0, 1]; None where that cannot be told.

    Answers with a key agree wholly or not at all; prose by the cosine of its embeddings. An empty answer agrees with
    nothing.

    Parameters
    ----------
    embed
        Embeds prose, `(n, dim)` of unit length; without it two different texts of prose cannot be compared.
    same
        The cosine from which two texts count as the same: agreement is scaled so that it stands at one half.
    """
    normals = [normalise(answer) for answer in answers]
    prose = [i for i, normal in enumerate(normals) if normal is not None and normal.key is None]
    cosine: dict[tuple[int, int], float] = {}
    if embed is not None and len(prose) > 1:
        vectors = embed([answers[i] for i in prose])
        products = vectors @ vectors.T
        cosine = {(i, j): float(products[a, b]) for a, i in enumerate(prose) for b, j in enumerate(prose)}
    table: list[list[float | None]] = []
    for i, mine in enumerate(normals):
        row: list[float | None] = []
        for j, theirs in enumerate(normals):
            if mine is None or theirs is None:
                row.append(0.0)
            elif i == j or (mine.key is not None and (mine.kind, mine.key) == (theirs.kind, theirs.key)):
                row.append(1.0)
            elif "number" in (mine.kind, theirs.kind) and mine.kind != theirs.kind:
                # A bare number beside a sentence that comes to one.
                mine_number, their_number = final_number(answers[i]), final_number(answers[j])
                row.append(1.0 if mine_number is not None and mine_number == their_number else 0.0)
            elif mine.key is not None and theirs.key is not None:
                row.append(0.0)
            elif mine.key is None and theirs.key is None:
                if plain_text(answers[i]) == plain_text(answers[j]):
                    row.append(1.0)
                else:
                    near = cosine.get((i, j))
                    row.append(None if near is None else min(1.0, max(0.0, 0.5 + (near - same) / (2 * (1 - same)))))
            else:
                row.append(0.0)
        table.append(row)
    return table


def groups(answers: Sequence[str], *, embed: Embed | None = None, same: float = SAME_PROSE) -> list[int | None]:
    """Return a group's number for each answer: answers that say the same share one. None for an empty answer.

    Examples
    --------
    >>> groups(["42", "The answer is 42.", "41", ""])
    [0, 0, 1, None]
    """
    table = agreement(answers, embed=embed, same=same)
    numbers: list[int | None] = []
    first: list[int] = []
    for i, answer in enumerate(answers):
        if not answer.strip():
            numbers.append(None)
            continue
        for number, leader in enumerate(first):
            if (table[leader][i] or 0.0) >= 0.5:
                numbers.append(number)
                break
        else:
            numbers.append(len(first))
            first.append(i)
    return numbers


def sigma(numbers: Sequence[int | None]) -> float:
    """Return how far N samples disagree: (distinct answers - 1) / (N - 1), as in ACAR; 0 all agree, 1 none do.

    An empty sample is an answer of its own.

    Examples
    --------
    >>> sigma([0, 0, 0]), sigma([0, 0, 1]), sigma([0, 1, 2])
    (0.0, 0.5, 1.0)
    """
    if len(numbers) < 2:
        return 0.0
    distinct = len({number for number in numbers if number is not None}) + sum(number is None for number in numbers)
    return (distinct - 1) / (len(numbers) - 1)


def vote(numbers: Sequence[int | None], quality: Sequence[float]) -> int | None:
    """Return the position of the answer that a weighted vote takes; None where all are empty.

    A vote weighs ln(q (k - 1) / (1 - q)), with q the predicted quality of who gave it, in [0.05, 0.95], and k = 5 the
    number of answers that wrong ones are taken to spread over; at least 0.05. Of the winning answers the one of best
    predicted quality is taken.

    Examples
    --------
    >>> vote([0, 1, 1], [0.9, 0.6, 0.6]), vote([0, 1, 1], [0.95, 0.3, 0.3])
    (1, 0)
    """
    weight: Counter[int] = Counter()
    totals: dict[int, float] = {}
    for number, q in zip(numbers, quality, strict=True):
        if number is not None:
            q_ = min(0.95, max(0.05, q))
            totals[number] = totals.get(number, 0.0) + max(0.05, math.log(q_ * 4.0 / (1.0 - q_)))
            weight[number] += 1
    if not totals:
        return None
    best = max(totals, key=lambda number: (round(totals[number], 9), weight[number], -number))
    members = [i for i, number in enumerate(numbers) if number == best]
    return max(members, key=lambda i: (quality[i], -i))


@dataclass(frozen=True, slots=True)
class AgreeCheck(BaseCheck):
    """Other answers agree: N samples of the same arm in all, or one answer of each of some other arms.

    The calls are made, reserved and paid by whoever runs a plan; without other answers it abstains.
    """

    n: int
    arms: tuple[str, ...]
    name: str = "agree"
    slow: bool = field(default=True, init=False)
    kind: str = field(default="agree", init=False)

    @classmethod
    def parse(cls, argument: str, name: str) -> AgreeCheck:
        """Read `agree` (3 samples), `agree:N` or `agree:ARM,ARM`."""
        if not argument:
            # Not "agree" alone: that is what plans call arms that agree.
            return cls(3, (), "agree:3" if name == "agree" else name)
        if argument.isdecimal():
            if not 2 <= int(argument) <= 9:
                raise UsageError(f"--check {name}: from 2 to 9 samples can be compared")
            return cls(int(argument), (), name)
        arms = tuple(arm.strip() for arm in argument.split(","))
        if not all(arms):
            raise UsageError(f"--check {name}: expected a number of samples, or names of arms")
        return cls(1 + len(arms), arms, name)

    def test(self, answer: str, given: Given = NOTHING) -> Verdict:
        """Return the verdict on an answer."""
        del answer, given
        return self.abstained("there are no other answers to compare it with")

    def compare(self, answers: Sequence[str], *, embed: Embed | None = None) -> Verdict:
        """Return the verdict on the first of some answers: it passes where more than half of the others agree."""
        if len(answers) < 2:
            return self.abstained("there are no other answers to compare it with")
        numbers = groups(answers, embed=embed)
        spread = sigma(numbers)
        agreeing = sum(number is not None and number == numbers[0] for number in numbers[1:])
        said = f"{agreeing} of {len(answers) - 1} other answers agree (sigma {spread:.2f})"
        if numbers[0] is not None and 2 * agreeing > len(answers) - 1:
            return self.passed(said, 1.0 - spread)
        return self.failed(said, 1.0 - spread)
