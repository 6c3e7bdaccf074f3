"""Checks of what an answer says: JSON, a JSON Schema, a pattern, a text or a number."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import UsageError
from scrimp.profiles.reading import read_text
from scrimp.routing.text.normal import bare_json, final_number, normalise, plain_text
from scrimp.routing.text.patterns import QUICK_CHARS, searched_quickly

from .base import NOTHING, SHOWN, BaseCheck, Given, Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "ExactCheck",
    "JsonCheck",
    "NumberCheck",
    "PatternCheck",
    "SchemaCheck",
    "schema_verdict",
]


PATTERN_TIMEOUT_S: Final = 5.0
"""A pattern that searches an answer for longer than this has failed."""


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

        from scrimp.routing.prompts.prompt import load_schema

        raw, what = argument, f"--check {name}"
        if not argument.lstrip().startswith("{"):
            what = f"schema {argument}"
            try:
                raw = read_text(Path(argument))
            except (OSError, UnicodeDecodeError) as error:
                why = getattr(error, "strerror", None) or "it is not UTF-8"
                raise UsageError(f"cannot read {what}: {why}") from None
        return cls(load_schema(raw, what=what), name)

    @cached_property
    def _risky(self) -> bool:
        """Whether the schema holds a pattern that could backtrack for ever."""
        return any(not searched_quickly(pattern) for pattern in _patterns(self.schema))

    def test(self, answer: str, given: Given = NOTHING) -> Verdict:
        """Return the verdict on an answer."""
        del given
        if self._risky or (len(answer) > QUICK_CHARS and any(True for _ in _patterns(self.schema))):
            from .sandbox import validate_apart

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
    """Return whether an answer satisfies a JSON Schema, and why not; what the schema refers to is never fetched."""
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

    def test(self, answer: str, given: Given = NOTHING) -> Verdict:
        """Return the verdict on an answer."""
        del given
        try:
            json.loads(bare_json(answer))
        except (ValueError, RecursionError):
            return self.failed("the answer is not JSON")
        return self.passed()


@dataclass(frozen=True, slots=True)
class PatternCheck(BaseCheck):
    """A regular expression is found in the answer.

    A pattern can backtrack practically for ever. Unless it is simple and the answer short, it is searched for in a
    process of its own, which has 5 seconds.
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
        if self.quick and len(answer) <= QUICK_CHARS:
            found = self.pattern.search(answer) is not None
        else:
            from .sandbox import search_apart

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
    """The answer is a given text; case, surplus space and punctuation at the ends do not matter."""

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
