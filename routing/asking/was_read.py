"""What a call read of the files that went with its prompt, and what it would have cost to read all of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from scrimp.profiles.rungs import READINGS, bare_of, reading_of
from scrimp.routing.deciding.staying import files_cached

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrimp.routing.prices.price import ArmPrice
    from scrimp.routing.prices.usage import Usage
    from scrimp.routing.prompts.prompt import Prompt

__all__ = ["NOTHING_READ", "passages_of", "was_read", "whole_cost"]

NOTHING_READ: Mapping[str, Any] = {
    "reading": None, "read_tokens": None, "whole_tokens": None, "passages": None, "files": [],
}  # fmt: skip
"""What `ask --json` says where no files went with a prompt."""


def was_read(prompt: Prompt, arm: str) -> dict[str, Any]:
    """Return what an arm, at the reading in its name, was sent of a prompt's files.

    Returns
    -------
    reading (one of `profiles.rungs.READINGS`, or what a plan makes of the files), read_tokens and whole_tokens (about),
    passages (file, start, end and score of each; None where no passages were sent), and files (as `Source.to_dict`).
    Without files all are None.
    """
    if not prompt.sources:
        return dict(NOTHING_READ)
    n_whole = sum(each.n_tokens for each in prompt.sources)
    kind = reading_of(arm) or "whole"
    read = None if prompt.readings is None else prompt.readings.reads.get(kind)
    names = [each.name for each in prompt.sources]
    spans = None if read is None or kind != "passages" else [(s.source, s.start, s.end, s.score) for s in read.spans]
    return {
        "reading": kind if read is not None or kind not in READINGS else "whole",
        "read_tokens": n_whole if read is None else read.n_tokens,
        "whole_tokens": n_whole,
        "passages": None if spans is None else passages_of(names, spans),
        "files": [each.to_dict() for each in prompt.sources],
    }


def passages_of(names: list[str], spans: Any) -> list[dict[str, Any]]:
    """Return passages, of each the file's number, offsets and score, as `--json` prints them."""
    return [
        {"file": names[number], "start": start, "end": end, "score": round(score, 4)}
        for number, start, end, score in spans
    ]


def whole_cost(prompt: Prompt, arm: str, price: ArmPrice, usage: Usage, window: int | None) -> int | None:
    """Return what the same answer had cost from the same arm, had it read the files whole, in nano-USD.

    What it would have been sent more of is priced by the estimate of its tokens, as new input where prompt caches are
    not expected to hold it; the rest is as the provider counted it. None where it read them whole, and where they do
    not fit the arm's window.
    """
    kind = reading_of(arm)
    reads = {} if prompt.readings is None else prompt.readings.reads
    if kind in (None, "whole") or kind not in reads or "whole" not in reads:
        return None
    more = reads["whole"].n_tokens - reads[kind].n_tokens
    n_input = usage.input_tokens + more
    if more <= 0 or (window is not None and n_input + usage.output_tokens > window):
        return None
    held = None if prompt.kept is None else files_cached(prompt.kept, bare_of(arm), price, reads["whole"].n_tokens)
    cached = usage.cached_tokens if held is None else (usage.cached_tokens or 0) + min(held, more)
    return price.cost_nano(replace(usage, input_tokens=n_input, cached_tokens=cached, cache_write_1h_tokens=None))
