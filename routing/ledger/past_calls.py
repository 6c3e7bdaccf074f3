"""What earlier calls of arms came to: how long their answers were and how long they took, beside what was expected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.rungs import READINGS, SPLIT, bare_of, with_reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .store import Ledger

__all__ = ["ASIDE", "PastCall", "past_calls"]

LAST: Final = 300
"""Calls of an arm that are looked at, the newest."""

_BYTES: Final = 4
"""Of a token, about."""

ASIDE: Final = ("sample", "judge", "feedback", "bid", "drop", "summary", "lead", "piece", "rephrase")
"""Kinds of calls whose length says nothing of an answer's."""


@dataclass(frozen=True, slots=True)
class PastCall:
    """One call that was answered, or waited for in vain, as the provider counted it; None is unknown.

    Attributes
    ----------
    arm, model
        The arm without a reading, and its model.
    answers
        Whether it answered a prompt: its length tells of answers; its time tells of the arm whatever it was for.
    input_tokens, cached_tokens, output_tokens, reasoning_tokens
        Cached tokens are part of the input, reasoning ones of the output.
    output_limit
        The limit that was sent; an answer of that length was cut.
    expected_output, expected_output_p90
        Median and 90th percentile that were predicted, in tokens.
    prompt_output
        What a middling model was predicted to write for that prompt, the median in tokens: nothing that is known of the
        arm is in it.
    instructions
        A digest of what the arm was told of its own then; None where it was told nothing.
    latency_s, first_s
        Seconds to its end, and to its first text where it was streamed.
    expected_s, expected_s_p90
        What was predicted of the seconds to its end.
    cut
        Whether its deadline broke it off: it would have taken longer than `latency_s`, and `answers` nothing.
    """

    arm: str
    model: str
    answers: bool
    input_tokens: int | None
    cached_tokens: int | None
    output_tokens: int
    reasoning_tokens: int | None
    output_limit: int | None
    expected_output: int | None
    expected_output_p90: int | None
    latency_s: float | None
    first_s: float | None
    expected_s: float | None
    expected_s_p90: float | None
    cut: bool = False
    prompt_output: float | None = None
    instructions: str | None = None


def past_calls(ledger: Ledger, arms: Iterable[str], *, last: int = LAST) -> dict[str, list[PastCall]]:
    """Return the latest calls of each arm, answered or broken off by a deadline, the newest first, whoever paid.

    Parameters
    ----------
    arms
        Names without readings.
    last
        How many calls of each are looked at.
    """
    found: dict[str, list[PastCall]] = {}
    for arm in dict.fromkeys(map(bare_of, arms)):
        rows = [row for which in _WHICH for row in _latest(ledger, arm, which, last)]
        rows.sort(key=lambda row: row["id"], reverse=True)
        found[arm] = [_past_call(arm, row) for row in rows[:last]]
    return found


_WHICH: Final = (
    "output_tokens IS NOT NULL AND error_kind IS NULL",
    "error_kind = 'timeout' AND latency_s IS NOT NULL",
)
"""Calls that were answered, and those that a deadline broke off. Each has an index of its own."""


_COLUMNS: Final = (
    "id, requested_model, kind, error_kind, input_tokens, input_bound, cached_tokens, output_tokens, reasoning_tokens, "
    "output_limit, expected_output, expected_output_p90, latency_s, ttft_s, expected_s, expected_s_p90, "
    "prompt_output, instructions"
)


def _latest(ledger: Ledger, arm: str, which: str, last: int) -> list[dict[str, Any]]:
    """Return the latest calls of an arm at any reading: of each reading by its index, from the newest on."""
    names = [with_reading(arm, reading) for reading in (None, *READINGS, SPLIT)]
    one = f"SELECT * FROM (SELECT {_COLUMNS} FROM attempts WHERE arm = ? AND {which} ORDER BY id DESC LIMIT {last:d})"  # noqa: S608 - constants
    return ledger.rows(" UNION ALL ".join([one] * len(names)), names)


def _past_call(arm: str, row: Mapping[str, Any]) -> PastCall:
    cut, read = row["error_kind"] is not None, row["input_tokens"]
    return PastCall(
        arm=arm,
        model=row["requested_model"],
        answers=row["kind"] not in ASIDE and not cut,
        # Of one that was broken off nothing was counted: the bound is in bytes.
        input_tokens=row["input_bound"] // _BYTES if cut and read is None and row["input_bound"] else read,
        cached_tokens=row["cached_tokens"],
        output_tokens=row["output_tokens"] or 0,
        reasoning_tokens=row["reasoning_tokens"],
        output_limit=row["output_limit"],
        expected_output=row["expected_output"],
        expected_output_p90=row["expected_output_p90"],
        latency_s=row["latency_s"],
        first_s=row["ttft_s"],
        expected_s=row["expected_s"],
        expected_s_p90=row["expected_s_p90"],
        cut=cut,
        prompt_output=row["prompt_output"],
        instructions=row["instructions"],
    )
