"""A request, its progress and its answer, as values."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.money import usd_from_nano
from scrimp.profiles.rungs import READ_TOKENS
from scrimp.routing.calls.call import other_model
from scrimp.routing.calls.tool_calls import as_text
from scrimp.routing.checks.agree import AgreeCheck
from scrimp.routing.checks.base import worst
from scrimp.routing.deciding.usage_at import usage_at
from scrimp.routing.prices.price import saved_nano
from scrimp.routing.prompts.brief import BRIEF_TOKENS
from scrimp.routing.strategies.protocol import Role, verdict_dict

from .was_read import NOTHING_READ

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from scrimp.routing.calls.call import Reply, ToolCall
    from scrimp.routing.checks.base import Check, Verdict
    from scrimp.routing.deciding.decide import Decider, Wishes
    from scrimp.routing.deciding.policy import Option
    from scrimp.routing.deciding.trace import Decision
    from scrimp.routing.guard.private import Vault
    from scrimp.routing.ledger.conversations import Conversation
    from scrimp.routing.plans.plan import Plan
    from scrimp.routing.prices.usage import Usage
    from scrimp.routing.prompts.chat_log import After
    from scrimp.routing.prompts.prompt import Prompt
    from scrimp.routing.strategies.protocol import Step

    from .hinting import Drawn, Hinter
    from .memory import Recalled
    from .phrasings import Phrased
    from .rephrasing import Rephrasing
    from .summing import Summing

__all__ = [
    "TOTAL_DEADLINE_S",
    "Answer",
    "Ask",
    "Checked",
    "NamedPlan",
    "Way",
    "reply_notes",
    "saved_against",
    "why_cut",
]


TOTAL_DEADLINE_S: Final = 600.0
"""How long retries and fallbacks may go on."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One request.

    Attributes
    ----------
    prompt
        What to ask.
    wishes
        What the user wants of the arm and of the cost (an arm by name, a limit).
    command
        The command that asks, as the log names it: ask, redo, batch, serve, probe, audit, duel.
    conversation_id
        The conversation that it goes on with; None begins one.
    redo_of
        The id of the request whose prompt is asked again; None where it is new.
    tag
        A word of the user's by which log and spending find it, or None.
    keep
        What the log keeps: `all`, `features` (no text) or `money` (neither).
    cap_override_nano
        The most that this one request may cost, nano-USD, retries and fallbacks included, whatever the caps say; logged
        as such. None keeps to the caps.
    deadline_s
        How long it may take with all its retries and fallbacks, seconds.
    run_id
        The run whose cap it counts against; None makes it a run of its own.
    params, response_format, output_limit
        What comes with the prompt itself (`-o`, a row of OpenAI's Batch shape), before what the arm says: parameters of
        the call, the form of the answer, and the most output tokens; None where it brings none.
    takes_back
        Whether an answer that broke off may be followed by another arm's where a part of it was shown already: a
        terminal shows that on a line of its own, a program has taken it for the beginning of the answer.
    after
        Of a chat: what of it is on record with the request that it goes on from; None keeps it whole.
    hint
        What the log keeps of the hint that is, or might have been, in front of the prompt; None where none was looked
        for.
    reading, read_tokens
        How much of the prompt's files is to be read: `auto`, or one of `profiles.rungs.READINGS`; and the most tokens
        of passages.
    past
        The conversation that it goes on with, as the log has it; None where it begins one.
    memory
        How much of that goes along, one of `memory.TIERS`.
    recalled
        What of it goes along; None until that is chosen (`Workspace.read`).
    summing
        The summary of what is older that is bought first; None where none is needed.
    rephrase
        How many phrasings of the question are bought before it is asked; None asks it as it is.
    rephrasing
        Who makes them, and what they can cost; None until that is settled (`Workspace.read`), and where none are made.
    confirmed
        Whether the user has said that it is to be sent even where the profile would ask first (`guard.risky`).
    vault
        What placeholders in the prompt stand for, so that they are values again in the answer; None where nothing was
        replaced. It is never written down.
    """

    prompt: Prompt
    wishes: Wishes
    command: str = "ask"
    conversation_id: str | None = None
    redo_of: str | None = None
    tag: str | None = None
    keep: str = "all"
    cap_override_nano: int | None = None
    deadline_s: float = TOTAL_DEADLINE_S
    run_id: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    response_format: Mapping[str, Any] | None = None
    output_limit: int | None = None
    takes_back: bool = True
    after: After | None = None
    hint: Drawn | None = None
    reading: str = "auto"
    read_tokens: int = READ_TOKENS
    past: Conversation | None = None
    memory: str = "auto"
    recalled: Recalled | None = None
    summing: Summing | None = None
    rephrase: int | None = None
    rephrasing: Rephrasing | None = None
    confirmed: bool = False
    vault: Vault | None = None

    @property
    def held_nano(self) -> int:
        """What other calls may cost that are made before it is answered, nano-USD: a summary, phrasings."""
        summing, rephrasing = self.summing, self.rephrasing
        return (0 if summing is None else summing.bound_nano) + (0 if rephrasing is None else rephrasing.held_nano)

    def with_hint(self, hinter: Hinter | None, embedding: NDArray[np.float32] | None = None) -> Ask:
        """Return it with the hint that is put in front of its prompt (`Hinter.put`), and what is logged of that."""
        if hinter is None:
            return self
        prompt, drawn = hinter.put(self.prompt, embedding)
        return replace(self, prompt=prompt, hint=drawn)


@dataclass(frozen=True, slots=True)
class NamedPlan:
    """A plan of a profile.

    Attributes
    ----------
    name, text
        What it is called, and how it is spelled.
    checks
        The checks that it stops at: an answer that it gives is put to them as to those of `--check`.
    """

    name: str
    text: str
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True, slots=True)
class Way:
    """By which plan and checks a request is answered.

    Attributes
    ----------
    checks
        What every answer has to pass.
    cascade
        Whether a plan of several calls may be chosen in place of one arm.
    plan
        A plan as the user spelled it; None where none was spelled.
    repair
        Whether the next arm is given the failed answer and what was wrong with it.
    name
        What the profile calls the plan; None where it was spelled.
    named
        The profile's plans that may be chosen in place of one arm.
    """

    checks: tuple[Check, ...] = ()
    cascade: bool = False
    plan: str | None = None
    repair: bool = False
    name: str | None = None
    named: tuple[NamedPlan, ...] = ()

    def records_steps(self, decision: Decision) -> bool:
        """Whether a request's calls are rows of `steps`: where there are checks, or a plan."""
        return bool(self.checks) or self.cascade or decision.plan is not None

    @property
    def may_take_another(self) -> bool:
        """Whether a later answer may replace the first, even of one arm: then nothing may be shown while it streams."""
        return any(isinstance(check, AgreeCheck) and check.how == "most" for check in self.checks)

    @property
    def several(self) -> bool:
        """Whether more than one call may be made for one answer."""
        return self.cascade or self.plan is not None or bool(self.named)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with all that is known of it; None is unknown.

    Attributes
    ----------
    id
        The request's, in the log.
    text
        The answer as it came: not sanitised for a terminal.
    arm, requested_model, served_model
        Who answered: the arm, its model, and the model that the reply names.
    input_tokens, output_tokens, cached_tokens, reasoning_tokens
        Tokens of this one call, as the provider counted them; cached ones are part of the input, reasoning ones of the
        output.
    cost_nano
        What this one call cost, nano-USD.
    cost_status
        `settled`, `unverified` (the cost is not known: charged at its bound) or `unknown` (it could not be logged).
    charged_nano, total_charged_nano
        What the caps are charged: for this call, and for the request with all its calls, nano-USD.
    latency_s, ttft_s
        Seconds to the end (of all calls, for a plan of several), and to the first text where it was streamed.
    finish_reason
        Why the model stopped, as in `calls.call.Reply`.
    decision
        How the arm was chosen.
    n_attempts
        How many calls were made for the request in all.
    price_source
        Where the price comes from: `profile`, or the table's version.
    saved_nano, saved_against
        What the same tokens would have cost on the arm of highest predicted quality, less all that was charged,
        nano-USD, and that arm's name; None where that arm answered, for a plan of several calls, and where a price or
        the usage is not known.
    breach
        Whether it cost more than its enforced bound, so that its arm is suspended.
    prompt_cut
        A remark where the provider's count says that it read far less than it was sent; None where it does not.
    notes
        Remarks for the user, shown beside the answer.
    conversation_id
        The conversation that `ask -c` goes on with.
    tool_calls
        What the model asks to be run, in order.
    read
        What was sent of the prompt's files, as `was_read.was_read` returns it.
    whole_cost_nano
        What this one call would have cost with the files read whole, nano-USD (`was_read.whole_cost`); None where they
        were, where they do not fit, and where a price or the usage is not known.
    """

    id: str
    text: str
    arm: str
    requested_model: str
    served_model: str | None
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    cost_nano: int | None
    cost_status: str
    charged_nano: int
    total_charged_nano: int
    latency_s: float
    ttft_s: float | None
    finish_reason: str | None
    decision: Decision
    n_attempts: int
    price_source: str | None
    saved_nano: int | None
    saved_against: str | None
    breach: bool
    prompt_cut: str | None = None
    notes: tuple[str, ...] = ()
    conversation_id: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    read: Mapping[str, Any] = field(default_factory=lambda: NOTHING_READ)
    whole_cost_nano: int | None = None

    @property
    def said(self) -> str:
        """The answer as the log keeps it: its text, or where it has none its tool calls as JSON."""
        return self.text or as_text(self.tool_calls)

    @property
    def complete(self) -> bool | None:
        """Whether the answer is whole, as far as its form tells (the check `complete`); None where it has no text."""
        from scrimp.routing.checks.form import completeness

        return None if (verdict := completeness(self.text, self.finish_reason)) is None else not verdict.failed

    def facts(self) -> dict[str, Any]:
        """Return what is known of the call itself, as plain data: all but what it says, its decision and its prompt."""
        names = (each.name for each in fields(self))
        apart = ("text", "decision", "conversation_id", "tool_calls", "read")
        return {n: getattr(self, n) for n in names if n not in apart}

    def to_dict(self) -> dict[str, Any]:
        """Return what `ask --json` prints."""
        taken = self.decision.choice.option(self.arm)
        return {
            "schema_version": 1,
            "id": self.id,
            "answer": self.text,
            "arm": self.arm,
            "requested_model": self.requested_model,
            "served_model": self.served_model,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cached_tokens": self.cached_tokens,
            "reasoning_tokens": self.reasoning_tokens,
            "cost_usd": None if self.cost_nano is None else usd_from_nano(self.cost_nano),
            "cost_status": self.cost_status,
            "charged_usd": usd_from_nano(self.charged_nano),
            "total_charged_usd": usd_from_nano(self.total_charged_nano),
            "latency_s": round(self.latency_s, 6),
            "ttft_s": None if self.ttft_s is None else round(self.ttft_s, 6),
            "finish_reason": self.finish_reason,
            "complete": self.complete,
            "predicted_quality": taken.quality,
            "predicted_quality_basis": taken.basis,
            "predicted_cost_usd": None if taken.cost_nano is None else usd_from_nano(taken.cost_nano),
            "saved_usd": None if self.saved_nano is None else usd_from_nano(self.saved_nano),
            "saved_against": self.saved_against,
            "attempts": self.n_attempts,
            "breach": self.breach,
            "prompt_cut": self.prompt_cut is not None,
            "conversation_id": self.conversation_id,
            "price_source": self.price_source,
            **self.read,
            "whole_cost_usd": None if self.whole_cost_nano is None else usd_from_nano(self.whole_cost_nano),
            "notes": list(self.notes),
            "decision": self.decision.to_dict(),
        }


@dataclass(frozen=True, slots=True)
class Checked:
    """An answer, its verdicts, and the calls that led to it.

    Attributes
    ----------
    answer
        The answer that stands.
    verdicts
        What the checks said of it.
    steps
        Every call of the plan.
    plan
        The plan that was followed.
    cost_nano
        What all calls cost together, nano-USD; None where a part of it is not known.
    phrased
        In which words it was asked; None where nothing but the question as it was put was weighed.
    """

    answer: Answer
    verdicts: tuple[Verdict, ...]
    steps: tuple[Step, ...]
    plan: Plan
    cost_nano: int | None
    phrased: Phrased | None = None

    @property
    def failed(self) -> tuple[Verdict, ...]:
        """The checks that the answer failed."""
        return tuple(verdict for verdict in self.verdicts if verdict.failed)

    @property
    def several(self) -> bool:
        """Whether more was paid for than one arm's answer: a plan of several calls, or a check that asks a model."""
        return not self.plan.single or any(step.role is not Role.ASK for step in self.steps)

    def to_dict(self) -> dict[str, Any]:
        """Return what `ask --json` prints of an answer that was checked or came of a plan."""
        return self.answer.to_dict() | {
            "passed": None if not self.verdicts else worst(self.verdicts) != "fail",
            "checks": [verdict_dict(verdict) for verdict in self.verdicts],
            "plan": self.plan.to_dict(),
            "steps": [step.to_dict() for step in self.steps],
            "rephrased": None if self.phrased is None else self.phrased.to_dict(),
        }


def why_cut(
    finish_reason: str | None, output_limit: int, *, brief: bool = False, asked: int | None = None
) -> str | None:
    """Return why an answer is not all that the model had to say; None where it is.

    Parameters
    ----------
    brief
        A short answer was asked for.
    asked
        The limit that came with the prompt; None where none did.
    """
    by = "--brief" if brief and output_limit == BRIEF_TOKENS else "max_output_tokens"
    by = "--max-tokens" if output_limit == asked else by
    return {
        "length": f"the answer was cut at its limit of {output_limit:,} tokens ({by})",
        "content_filter": "the provider's filter ended the answer",
        "refusal": "the model refused to answer",
    }.get(finish_reason or "")


def reply_notes(
    option: Option, reply: Reply, usage_status: str, *, brief: bool = False, asked: int | None = None
) -> list[str]:
    """Return remarks on a reply for the user; `brief` and `asked` as for `why_cut`."""
    from scrimp.routing.checks.form import completeness

    notes = []
    other = other_model(reply, option.model)
    if other:
        notes.append(other)
    if usage_status == "missing":
        notes.append("the provider reported no usage: the whole reservation is charged")
    elif usage_status == "implausible":
        notes.append("the provider reported an impossible usage: the whole reservation is charged")
    cut = why_cut(reply.finish_reason, option.output_limit, brief=brief, asked=asked)
    if cut is not None:
        notes.append(cut)
    elif (verdict := completeness(reply.text, reply.finish_reason)) is not None and verdict.failed:
        notes.append(f"the answer may not be whole: {verdict.evidence}")
    if not (reply.text.strip() or reply.tool_calls):
        notes.append("the answer is empty")
    return notes


def saved_against(
    decider: Decider, decision: Decision, option: Option, usage: Usage | None, charged_nano: int
) -> tuple[int | None, str | None]:
    """Return what was saved against the arm of highest predicted quality (`saved_nano`), and its name.

    Where it would have read more or less of the prompt's files, its input is taken to be so much longer or shorter.
    """
    priced = [weighed.option for weighed in decision.choice.weighed if weighed.option.cost_nano is not None]
    best = max(priced, key=lambda each: (each.quality, each.cost_nano or 0), default=None)
    if best is None or best.arm == option.arm or usage is None:
        return None, None
    price = decider.price(best.arm)
    if price is None:
        return None, None
    return saved_nano(price, usage_at(usage, option, best), charged_nano), best.arm
