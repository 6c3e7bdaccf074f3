"""Checks of an answer: one protocol, and the names by which flags and profiles ask for one.

A check takes an answer and what it answers, and returns a verdict: pass, fail or abstain, a score, evidence, and what
reaching it cost. It never raises because of an answer: an answer that breaks a check has failed it, and a check that
cannot tell abstains. Checks that look at the text are in `check_text`, those that run something in `check_process`;
agreement and the judge need calls of their own, which the plan of a cascade makes and pays (`agreement`, `judge`).
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from scrimp.profiles.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from scrimp.profiles.schema import Check as NamedCheck

__all__ = [
    "NOTHING",
    "SHOWN",
    "BaseCheck",
    "Check",
    "Given",
    "Outcome",
    "Verdict",
    "make_check",
    "problem_of",
    "run_checks",
    "worst",
]

Outcome = Literal["pass", "fail", "abstain"]

SHOWN: Final = 200
"""How many characters of evidence are kept."""


@dataclass(frozen=True, slots=True)
class Given:
    """What an answer is an answer to.

    Attributes
    ----------
    prompt
        The text of the prompt; empty where it is not known.
    finish_reason
        Why the model stopped, as the provider says; None where it does not.
    """

    prompt: str = ""
    finish_reason: str | None = None


NOTHING: Final = Given()
EMPTY: Final = "the answer is empty"
"""What every check says of an answer with nothing in it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check made of an answer.

    Attributes
    ----------
    score
        In [0, 1], where the check has degrees; None where it has not, or abstained.
    evidence
        Why, in words: shown to the user, and to the next arm of a cascade that repairs.
    cost_nano
        What reaching it was charged, nano-USD: the judge's calls, the other samples of an agreement.
    """

    check: str
    outcome: Outcome
    evidence: str = ""
    score: float | None = None
    cost_nano: int = 0

    @property
    def failed(self) -> bool:
        """Whether the answer failed."""
        return self.outcome == "fail"


class Check(Protocol):
    """A test of an answer."""

    @property
    def name(self) -> str:
        """What messages and labels call it."""
        ...

    @property
    def kind(self) -> str:
        """What sort of check it is: the key of its predicted power before anything was learned."""
        ...

    @property
    def slow(self) -> bool:
        """Whether it takes time (a command), so that an answer should be safe on disk before."""
        ...

    def test(self, answer: str, given: Given = NOTHING) -> Verdict:
        """Return the verdict on an answer."""
        ...


class BaseCheck(ABC):
    """What checks have in common: `test` from one method that says what is wrong."""

    name: str = ""
    kind: str = ""
    slow: bool = False

    @abstractmethod
    def test(self, answer: str, given: Given = NOTHING) -> Verdict:
        """Return the verdict on an answer."""

    def passed(self, evidence: str = "", score: float | None = None) -> Verdict:
        """Return a pass."""
        return Verdict(self.name, "pass", evidence[: 2 * SHOWN], score)

    def failed(self, evidence: str, score: float | None = None) -> Verdict:
        """Return a fail."""
        return Verdict(self.name, "fail", evidence[: 2 * SHOWN], score)

    def abstained(self, evidence: str) -> Verdict:
        """Return that the check cannot tell."""
        return Verdict(self.name, "abstain", evidence[: 2 * SHOWN])


def run_checks(checks: Sequence[Check], answer: str, given: Given = NOTHING) -> tuple[Verdict, ...]:
    """Return every check's verdict, the quick ones first; after a fail, what is slow is not run any more.

    An empty answer fails every check.
    """
    verdicts: list[Verdict] = []
    for check in sorted(checks, key=lambda each: each.slow):
        if not answer.strip():
            verdicts.append(Verdict(check.name, "fail", EMPTY))
            continue
        if check.slow and any(verdict.failed for verdict in verdicts):
            break
        try:
            verdicts.append(check.test(answer, given))
        except (OSError, RecursionError, MemoryError, ValueError, ArithmeticError, LookupError) as error:
            verdicts.append(Verdict(check.name, "abstain", f"the check itself failed: {type(error).__name__}"))
    return tuple(verdicts)


def problem_of(verdicts: Sequence[Verdict]) -> str | None:
    """Return what the first failed check found wrong, or None where none failed."""
    for verdict in verdicts:
        if verdict.failed:
            return verdict.evidence or f"the answer fails {verdict.check}"
    return None


def worst(verdicts: Sequence[Verdict]) -> Outcome:
    """Return fail where any check failed, else pass where any passed, else abstain."""
    outcomes = {verdict.outcome for verdict in verdicts}
    return "fail" if "fail" in outcomes else "pass" if "pass" in outcomes else "abstain"


def make_check(text: str, named: Mapping[str, NamedCheck], *, calls: bool = False) -> Check:
    """Return the check that a flag names.

    Parameters
    ----------
    text
        The name of one of the profile's checks, or KIND:ARGUMENT as docs/checks.md lists them.
    named
        The profile's checks.
    calls
        Whether checks that ask models (`judge:`, `agree:`) may be used here.

    Raises
    ------
    UsageError
        If it is none of these, or its argument is wrong.
    """
    if text in named:
        if text in _TAKEN:
            raise UsageError(
                f"a check may not be called {text!r}: plans use that word", hint="Rename it in the profile."
            )
        own = named[text]
        if own.cmd is not None:
            from .check_process import CommandCheck

            return CommandCheck(tuple(own.cmd), text, timeout_s=own.timeout_s).found()
        return _from_spec(own.spec or "", name=text, timeout_s=own.timeout_s, calls=calls, named=named)
    return _from_spec(text, name=text, timeout_s=None, calls=calls, named=named)


def _from_spec(spec: str, *, name: str, timeout_s: float | None, calls: bool, named: Mapping[str, NamedCheck]) -> Check:
    kind, colon, argument = spec.partition(":")
    builders = _builders()
    if kind not in builders or (not colon and kind not in _BARE):
        from scrimp.profiles.schema import did_you_mean

        raise UsageError(
            f"no check {spec!r} in this profile{did_you_mean(kind, [*named, *builders])}",
            hint=f"Give a check's name ({', '.join(named) or 'the profile has none'}), or one such as re:PATTERN, "
            "cmd:COMMAND, schema:FILE, json, has:TEXT, words:10..200, python, refusal (docs/checks.md has all).",
        )
    if kind in _CALLING and not calls:
        raise UsageError(f"--check {name}: {kind} asks a model, which is not done here")
    check: Check = builders[kind](argument, name)
    if timeout_s is not None and hasattr(check, "timeout_s"):
        timed: Any = check
        limited: Check = replace(timed, timeout_s=timeout_s)
        return limited
    return check


_TAKEN: Final = frozenset({"*", "agree", "checks"})
_CALLING: Final = frozenset({"agree", "judge"})
_BARE: Final = frozenset(
    {"json", "python", "refusal", "complete", "upper", "lower", "title", "no-commas", "instructions", "agree", "code"}
)
"""Kinds that stand without an argument."""


def _builders() -> dict[str, Callable[[str, str], Any]]:
    """Return what makes a check of each kind out of its argument and its name."""
    from . import check_process as runs
    from . import check_text as looks
    from .agreement import AgreeCheck
    from .judge import JudgeCheck

    return {
        "schema": looks.SchemaCheck.parse,
        "json": looks.JsonCheck.parse,
        "re": looks.PatternCheck.parse,
        "is": looks.ExactCheck.parse,
        "number": looks.NumberCheck.parse,
        "words": looks.CountCheck.parse_words,
        "chars": looks.CountCheck.parse_chars,
        "lines": looks.CountCheck.parse_lines,
        "sentences": looks.CountCheck.parse_sentences,
        "paragraphs": looks.CountCheck.parse_paragraphs,
        "bullets": looks.CountCheck.parse_bullets,
        "language": looks.LanguageCheck.parse,
        "refusal": looks.RefusalCheck.parse,
        "complete": looks.CompleteCheck.parse,
        "has": looks.WordingCheck.parse_has,
        "lacks": looks.WordingCheck.parse_lacks,
        "starts": looks.WordingCheck.parse_starts,
        "ends": looks.WordingCheck.parse_ends,
        "upper": looks.FormCheck.parse_upper,
        "lower": looks.FormCheck.parse_lower,
        "title": looks.FormCheck.parse_title,
        "no-commas": looks.FormCheck.parse_no_commas,
        "instructions": looks.InstructionsCheck.parse,
        "cmd": runs.CommandCheck.parse,
        "sh": runs.CommandCheck.parse_shell,
        "python": runs.PythonCheck.parse,
        "tests": runs.PythonCheck.parse_tests,
        "agree": AgreeCheck.parse,
        "judge": JudgeCheck.parse,
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
