"""What a strategy is: a generator that wants calls made and answers tested, and says which answer stands.

A strategy knows nothing of money, the log or the network: whoever runs it (`asking.plan_run`) reserves, sends, settles
and records each call, so that a new kind of plan is a new module here and nothing else.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from scrimp.profiles.money import usd_from_nano

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrimp.profiles.errors import ScrimpError
    from scrimp.routing.checks.base import Check, Verdict
    from scrimp.routing.prompts.prompt import Prompt

__all__ = ["Answered", "Got", "Outcome", "Role", "Run", "Step", "Strategy", "Test", "Wanted", "verdict_dict"]


class Role(StrEnum):
    """What a call is for."""

    ASK = "ask"
    """Its answer may be the one that stands."""

    SAMPLE = "sample"
    """A further answer, to compare others with."""

    JUDGE = "judge"
    """A score for an answer, or for several."""

    MERGE = "merge"
    """One answer made of others."""

    FEEDBACK = "feedback"
    """What is wrong with an answer, before it is written anew."""

    LEAD = "lead"
    """What a planner wants to know next, or its answer."""

    WORK = "work"
    """An answer to a planner's question."""

    BID = "bid"
    """A short plan of how an arm would answer."""

    DROP = "drop"
    """Which of several answers is the worst."""

    PIECE = "piece"
    """An answer from one piece of a text."""

    SUMMARY = "summary"
    """A conversation in few words."""

    REPHRASE = "rephrase"
    """The question in other words."""

    @property
    def answers(self) -> bool:
        """Whether it is a question that is answered: the arm's instructions go with it."""
        return self in (Role.ASK, Role.SAMPLE, Role.MERGE, Role.WORK, Role.PIECE)


class Outcome(StrEnum):
    """What came of a call."""

    ANSWERED = "answered"
    FAILED = "failed"
    REFUSED = "refused"
    """A cap, or a suspended arm, did not let it go."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A call that a strategy wants made.

    Attributes
    ----------
    arm
        The arm to ask.
    role
        What the call is for.
    stage
        The stage of the plan, from 1.
    prompt
        What to ask; None is the request's own prompt.
    limit
        The most output tokens that are of use, where that is less than the arm's own limit (reasoning arms keep
        theirs).
    vary
        Whether to ask at temperature 1 (unless the arm sets its own), so that a second answer of the same arm is
        another sample.
    streams
        Whether its text may be shown as it comes: nothing can make another answer stand.
    fallback
        Whether it is asked because the arm before it failed.
    why
        A line for the user before it is sent; None says nothing.
    """

    arm: str
    role: Role = Role.ASK
    stage: int = 1
    prompt: Prompt | None = None
    limit: int | None = None
    vary: bool = False
    streams: bool = False
    fallback: bool = False
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Got:
    """What came of a call that a strategy wanted.

    Attributes
    ----------
    seq
        Its place among the calls of the request, from 1.
    arm
        The arm that was asked.
    text
        The answer, tool calls as the log keeps them where there is nothing else; None where there is none.
    finish_reason
        Why the model stopped, as in `calls.call.Reply`; None where there is no answer.
    charged_nano
        What the caps are charged for it, retries included, nano-USD.
    refusal
        Why it was not sent, where a cap or a suspension stood in the way.
    calls
        The tools that it calls, and with what (`calls.tool_calls.what_is_called`); "" where it calls none.
    final
        Whether it failed after a part of its answer was shown to somebody who can take nothing back: no other is asked.
    """

    seq: int
    arm: str
    text: str | None = None
    finish_reason: str | None = None
    charged_nano: int = 0
    refusal: ScrimpError | None = None
    calls: str = ""
    final: bool = False


@dataclass(frozen=True, slots=True)
class Test:
    """An answer to be put to checks that call no model; the runner sends back their verdicts.

    Attributes
    ----------
    checks
        The checks to run.
    text, finish_reason
        The answer, and why the model stopped.
    reading
        How much of the request's files it goes by; None where there was nothing to choose.
    """

    checks: tuple[Check, ...]
    text: str
    finish_reason: str | None
    reading: str | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """How a strategy ended.

    Attributes
    ----------
    taken
        The call whose answer stands, by its `seq`; None where there is no answer.
    verdicts
        What the checks said of each answer, by its `seq`.
    notes
        Remarks for the user, shown beside the answer.
    refusal
        The refusal that cut the plan short, or None.
    text
        The part of that call's reply that is the answer; None where all of it is.
    """

    taken: int | None
    verdicts: Mapping[int, tuple[Verdict, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    refusal: ScrimpError | None = None
    text: str | None = None


Run = Generator["Wanted | Test", Any, Answered]
"""A strategy at work: it yields what it wants, and is sent a `Got` for each `Wanted`, verdicts for each `Test`."""


class Strategy(Protocol):
    """A way of getting an answer."""

    def run(self) -> Run:
        """Begin. The same replies have to lead to the same calls, so that a run that was killed can be replayed."""
        ...


@dataclass(frozen=True, slots=True)
class Step:
    """One call of a plan and what came of it.

    Attributes
    ----------
    seq, stage
        Its place among the calls of the request and the stage of the plan, both from 1.
    role
        What the call was for.
    arm, outcome
        The arm that was asked, and what came of it.
    charged_nano
        What the caps are charged for it, retries included, nano-USD.
    text, finish_reason
        The answer, and why it ended; None where there is none.
    latency_s
        Seconds from sending to the end; None where nothing came.
    verdicts
        What the checks said of the answer.
    taken
        Whether it is the answer that stands.
    note
        Why there is no answer.
    asked, asked_sha256
        The text of a prompt of its own, where text is kept, and its SHA-256; None where it was asked the request's.
    """

    seq: int
    stage: int
    role: Role
    arm: str
    outcome: Outcome
    charged_nano: int
    text: str | None = None
    latency_s: float | None = None
    finish_reason: str | None = None
    verdicts: tuple[Verdict, ...] = ()
    taken: bool = False
    note: str | None = None
    asked: str | None = None
    asked_sha256: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data, without the answer's text."""
        return {
            "seq": self.seq,
            "stage": self.stage,
            "kind": str(self.role),
            "arm": self.arm,
            "outcome": str(self.outcome),
            "charged_usd": usd_from_nano(self.charged_nano),
            "latency_s": None if self.latency_s is None else round(self.latency_s, 6),
            "verdicts": [verdict_dict(verdict) for verdict in self.verdicts],
            "taken": self.taken,
            "note": self.note,
        }


def verdict_dict(verdict: Verdict, *, evidence: bool = True) -> dict[str, Any]:
    """Return a verdict as plain data; without `evidence` it quotes nothing."""
    told = verdict if evidence else replace(verdict, evidence="")
    return {
        "check": told.check,
        "outcome": told.outcome,
        "score": told.score,
        "evidence": told.evidence,
        "cost_usd": usd_from_nano(told.cost_nano),
    }
