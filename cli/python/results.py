"""What asking and deciding return: frozen views of what the engine knows, with units; None is unknown.

Amounts are `Decimal` in USD, exact to the nano-dollar, so that sums of them are too. `to_dict()` is what the command of
the same name prints with `--json`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrimp.profiles.errors import ScrimpError
    from scrimp.routing.asking.request import Checked
    from scrimp.routing.deciding.trace import Decision

__all__ = ["Answer", "CheckResult", "Passage", "ReadFile", "Route", "RoutedArm"]


@dataclass(frozen=True, slots=True)
class RoutedArm:
    """An arm as a decision weighed it.

    Attributes
    ----------
    name, model
        The arm, and its model as LiteLLM calls it.
    quality, quality_low, quality_high
        The predicted chance of a right answer and its 80% interval, in [0, 1].
    basis, rests_on
        What stands behind the quality: `calibrated`, `prior` or `uncalibrated`, and in words.
    input_tokens
        The prompt's length, as estimated.
    output_tokens_p50, output_tokens_p90
        The predicted length of the answer: its median and its 90th percentile.
    output_limit
        The most tokens that it may answer with.
    cost_usd, cost_usd_p90, bound_usd
        What it is predicted to cost, at the median and at the 90th percentile, and at most; None without a price.
    utility_usd
        wtp_usd * quality - cost_usd - all terms; None where it was not weighed.
    propensity
        The chance that the policy takes it, in [0, 1]; None where nothing was drawn.
    feasible
        Whether it can take the prompt.
    why
        Why it was taken, or was not.
    first_s, seconds, seconds_p90
        Predicted seconds to the first word, and to the end: the median and the 90th percentile; None: not known.
    terms
        What else is held against it, USD by name: what waiting costs, and the weights of the profile.
    """

    name: str
    model: str
    quality: float
    quality_low: float
    quality_high: float
    basis: str
    rests_on: str
    input_tokens: int
    output_tokens_p50: float
    output_tokens_p90: float
    output_limit: int
    cost_usd: Decimal | None
    cost_usd_p90: Decimal | None
    bound_usd: Decimal | None
    utility_usd: float | None
    propensity: float | None
    feasible: bool
    why: str
    first_s: float | None = None
    seconds: float | None = None
    seconds_p90: float | None = None
    terms: Mapping[str, float] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Route:
    """A decision: which arm takes a prompt, and why.

    Attributes
    ----------
    id
        The decision's; an answer has the same.
    profile
        Whose arms they are.
    arm
        The arm taken; None where none can take the prompt (each arm's `why` says it).
    arms
        Every arm of the profile, in its order.
    guard
        Why the router was not trusted, so that the profile's default arm was taken; None where it was.
    explored
        Whether the arm was drawn to learn something, and is not the best by these numbers.
    wtp_usd
        What a right answer was taken to be worth, USD.
    min_quality
        The quality asked for, in [0, 1].
    min_quality_missed
        Whether what was taken is not predicted to reach it.
    level
        How hard the prompt is taken to be, from 1 to 5; None where the router has no such judgement.
    against, price_share
        The next best arm, and how much of what sets the two apart is price, in [0, 1]; None where there is none.
    router_version
        Which router predicted.
    plan
        The plan taken, with its arms for this prompt; None where one arm is asked.
    """

    id: str
    profile: str
    arm: str | None
    arms: tuple[RoutedArm, ...]
    guard: str | None
    explored: bool
    wtp_usd: float
    min_quality: float
    min_quality_missed: bool
    level: float | None
    against: str | None
    price_share: float | None
    router_version: str
    plan: str | None
    _source: Decision = field(repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return what `scrimp route --json` prints."""
        return self._source.to_dict() | {"min_quality_missed": self.min_quality_missed}


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check made of an answer.

    Attributes
    ----------
    check
        The check, as it was asked for.
    outcome
        `pass`, `fail`, or `abstain` where it cannot tell.
    score
        In [0, 1], where the check has degrees.
    evidence
        Why, in words.
    cost_usd
        What it was charged: the calls of a judge, the other samples of an agreement.
    """

    check: str
    outcome: str
    score: float | None
    evidence: str
    cost_usd: Decimal


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a file that was sent.

    Attributes
    ----------
    file
        The file's name.
    start, end
        Its characters in the file.
    score
        How near it is to the question, by its words; higher is nearer.
    """

    file: str
    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True)
class ReadFile:
    """A file that went with a prompt.

    Attributes
    ----------
    name, path
        What it is called to the model, and where it was read; None where it was on no disk.
    sha256
        Of its text, in hexadecimal digits.
    n_chars, n_tokens
        Its length: characters, and tokens, about.
    """

    name: str
    path: str | None
    sha256: str
    n_chars: int
    n_tokens: int


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, with all that is known of it. As text (`str`, `print`, an f-string) it is `text`.

    Attributes
    ----------
    id
        The request's in the log: `Scrimp.rate` takes it, and `scrimp log show`.
    text
        The answer as it came: not made safe for a terminal.
    arm, requested_model, served_model
        Who answered: the arm, its model, and the model that the reply names.
    input_tokens, output_tokens, cached_tokens, reasoning_tokens
        Tokens of this one call, as the provider counted them; cached ones are part of the input, reasoning ones of the
        output.
    cost_usd
        What this one call cost.
    cost_status
        `settled`, `unverified` (the cost is not known: charged at its bound) or `unknown` (it could not be logged).
    charged_usd, total_charged_usd
        What the caps are charged: for this call, and for the request with all its calls.
    latency_s, ttft_s
        Seconds to the end of all calls, and to the first text where it was streamed.
    finish_reason
        Why the model stopped: `stop`, `length`, `content_filter`, `refusal`.
    predicted_quality, predicted_cost_usd
        What the decision expected of this arm.
    saved_usd, saved_against
        What the same tokens would have cost on the arm of highest predicted quality, less all that was charged, and
        that arm; None where that arm answered, and where a price or the usage is not known.
    reading, read_tokens, whole_tokens
        How much of the files was sent (`whole`, `passages` or `none`), and the tokens of that and of all, about; None
        where no files went with the prompt.
    passages
        What was sent of them, where that was passages.
    files
        The files, as they were read.
    whole_cost_usd
        What this one call would have cost with the files read whole, about; None where they were, or do not fit.
    n_attempts
        How many calls were made in all.
    breach
        Whether it cost more than its enforced bound, so that its arm is suspended.
    prompt_cut
        Whether the provider's count says that it read far less than it was sent.
    conversation_id
        The conversation that `ask(conversation=...)` goes on with.
    notes
        Remarks on the answer, one line each; they are in `--json` too.
    said
        What the command would have said on stderr meanwhile (a retry, an escalation, a cap that fills up).
    passed
        Whether the answer passed its checks; None where there were none.
    checks
        What each check said.
    decision
        How the arm was chosen.
    asked_as
        The words in which it was asked (`rephrase`); None where that was as it was put.
    complete
        Whether the answer is whole, as far as its form tells; None where it has no text.
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
    cost_usd: Decimal | None
    cost_status: str
    charged_usd: Decimal
    total_charged_usd: Decimal
    latency_s: float
    ttft_s: float | None
    finish_reason: str | None
    predicted_quality: float
    predicted_cost_usd: Decimal | None
    saved_usd: Decimal | None
    saved_against: str | None
    reading: str | None
    read_tokens: int | None
    whole_tokens: int | None
    passages: tuple[Passage, ...] | None
    files: tuple[ReadFile, ...]
    whole_cost_usd: Decimal | None
    n_attempts: int
    breach: bool
    prompt_cut: bool
    conversation_id: str | None
    notes: tuple[str, ...]
    said: tuple[str, ...]
    passed: bool | None
    checks: tuple[CheckResult, ...]
    decision: Route
    asked_as: str | None
    complete: bool | None
    _source: Checked = field(repr=False, compare=False)
    _was_checked: bool = field(repr=False, compare=False)

    def __str__(self) -> str:
        return self.text

    @property
    def error(self) -> ScrimpError | None:
        """What the command ends with after showing it (failed checks, an empty answer); None where it is good."""
        from scrimp.routing.asking.failure import failure

        return failure(self._source)

    def raise_for_error(self) -> Self:
        """Return this answer, or raise what is wrong with it (`error`).

        Raises
        ------
        CheckFailedError
            If it failed its checks.
        ProviderError
            If it is empty.
        """
        if (error := self.error) is not None:
            raise error
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return what `scrimp ask --json` prints."""
        return self._source.to_dict() if self._was_checked else self._source.answer.to_dict()
