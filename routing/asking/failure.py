"""Why an answer that came, and was paid for, is none: the error that a request then ends with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrimp.profiles.errors import CheckFailedError, ProviderError, ScrimpError
from scrimp.profiles.money import format_usd
from scrimp.routing.text.in_words import counted

if TYPE_CHECKING:
    from .request import Checked

__all__ = ["failure"]


def failure(checked: Checked) -> ScrimpError | None:
    """Return what is wrong with an answer: it failed its checks (exit 7), or nothing is in it (exit 5); else None."""
    answer = checked.answer
    if checked.failed:
        return _check_failure(checked)
    if not answer.text.strip() and not answer.tool_calls:
        return ProviderError(
            f"arm {answer.arm}: the answer is empty; it cost {format_usd(answer.total_charged_nano)}",
            hint="Raise max_output_tokens of the arm (reasoning counts too), or take another with `-m`."
            if answer.finish_reason == "length"
            else "Reword the prompt, or take another arm with `-m`.",
        )
    return None


def _check_failure(checked: Checked) -> CheckFailedError:
    """Say what failed, and what was tried and paid."""
    failed = checked.failed
    tried = "; ".join(
        f"{step.arm} {step.outcome} for {format_usd(round(step.charged_nano))}"
        for step in checked.steps
        if step.role == "ask"
    )
    return CheckFailedError(
        f"the answer failed {len(failed)} of {counted(len(checked.verdicts), 'check')}: "
        + "; ".join(verdict.evidence or verdict.check for verdict in failed),
        hint=f"Tried: {tried}; {format_usd(checked.answer.total_charged_nano)} in all. The answer is above, and in "
        "`scrimp log show last`.",
    )
