"""Checks of an answer: what they have in common, and how several are run.

A check takes an answer and what it answers, and returns a verdict: pass, fail or abstain, a score, evidence, and what
reaching it cost. It never raises because of an answer: an answer that breaks a check has failed it, and a check that
cannot tell abstains. `names` makes a check from a flag's text. Checks that look at the text are in `text`, `form` and
`instructions`, those that run something in `code`. Agreement and the judge (`agree`, `judge`) need calls of their own,
which the plan makes and pays.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol

from scrimp.profiles.keys import known_secrets
from scrimp.routing.text.sanitize import scrub

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


__all__ = [
    "FORM_ONLY",
    "MAX_EVIDENCE",
    "MAX_LINES",
    "NOTHING",
    "SHOWN",
    "BaseCheck",
    "Check",
    "Given",
    "Outcome",
    "Verdict",
    "evidence_of",
    "problem_of",
    "run_checks",
    "worst",
]

Outcome = Literal["pass", "fail", "abstain"]

SHOWN: Final = 200
"""How many characters of one thing are quoted: a message, a pattern, a line that a command printed."""

MAX_EVIDENCE: Final = 2 * SHOWN
"""How many characters of evidence are kept."""

MAX_LINES: Final = 5
"""How many lines of evidence are kept."""


FORM_ONLY: Final = frozenset({
    "schema", "json", "pattern", "python", "instructions", "wording", "count", "form", "language", "refusal",
    "complete", "found", "quoted",
})  # fmt: skip
"""Kinds of checks that look at an answer's form: many a wrong answer passes, so that a pass says that the answer can be
used, not that it is right. Every other kind can tell right from wrong, some better than others (plans/power)."""


@dataclass(frozen=True, slots=True)
class Given:
    """What a check may know beside the answer.

    Attributes
    ----------
    prompt
        The text of the prompt; empty where it is not known.
    finish_reason
        Why the model stopped, as the provider says; None where it does not.
    sent
        Returns all that was sent to whoever answered, the prompt among it; None where no more than that is known.
    """

    prompt: str = ""
    finish_reason: str | None = None
    sent: Callable[[], str] | None = None

    @property
    def material(self) -> str:
        """What the answer may go by."""
        return self.prompt if self.sent is None else self.sent()


NOTHING: Final = Given()
EMPTY: Final = "the answer is empty"
"""What every check says of an answer with nothing in it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check made of an answer.

    Attributes
    ----------
    score
        In [0, 1], where the check has degrees; None where it has none, or abstained.
    evidence
        Why, in words: shown to the user, and to the next arm of a cascade that repairs. Whoever makes a verdict, what
        stands here is without secrets, and short (`evidence_of`).
    cost_nano
        What reaching it was charged, nano-USD: the judge's calls, the other samples of an agreement.
    """

    check: str
    outcome: Outcome
    evidence: str = ""
    score: float | None = None
    cost_nano: int = 0

    def __post_init__(self) -> None:
        """Leave out of the evidence what must not go on: it may quote what a command printed, or a model said."""
        object.__setattr__(self, "evidence", evidence_of(self.evidence))

    @property
    def failed(self) -> bool:
        """Whether the answer failed."""
        return self.outcome == "fail"


def evidence_of(text: str) -> str:
    """Return what may be shown of a text that a check quotes: no key, nothing that looks like one, its first lines."""
    if not text:
        return text
    lines = scrub(text, known_secrets()).strip("\n").split("\n", MAX_LINES)[:MAX_LINES]
    return "\n".join(lines)[:MAX_EVIDENCE]


class Check(Protocol):
    """A test of an answer."""

    @property
    def name(self) -> str:
        """What messages and labels call it."""
        ...

    @property
    def kind(self) -> str:
        """What sort of check it is: by this its power is guessed before anything is learned."""
        ...

    @property
    def slow(self) -> bool:
        """Whether it takes time (a command, a call), so that the answer should be safely on disk before it is run."""
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
        return Verdict(self.name, "pass", evidence, score)

    def failed(self, evidence: str, score: float | None = None) -> Verdict:
        """Return a fail."""
        return Verdict(self.name, "fail", evidence, score)

    def abstained(self, evidence: str) -> Verdict:
        """Return that the check cannot tell."""
        return Verdict(self.name, "abstain", evidence)


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
