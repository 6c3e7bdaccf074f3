"""How much of the files that go with a prompt an arm may be sent: what each reading is, before anything is decided."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from scrimp.profiles.rungs import READINGS, reading_of
from scrimp.routing.prompts.context import approx_tokens
from scrimp.routing.prompts.embedding import BUILTIN_ID
from scrimp.routing.prompts.sources import Evidence, Read, Readings, block_of, read_none, read_whole
from scrimp.routing.retrieval.passages import passages
from scrimp.routing.router.text_questions import asks_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from scrimp.routing.prompts.context import Context, TextEmbedder
    from scrimp.routing.prompts.prompt import Prompt

__all__ = ["AUTO", "READ_TOKENS", "WHOLE_FROM", "with_readings"]

READ_TOKENS: Final = 3_200
"""Tokens of passages that are sent unless the user says otherwise: eight pieces of 400."""

AUTO: Final = ("whole", "passages")
"""What is weighed where the user does not say how much is to be read."""

WHOLE_FROM: Final = 0.3
"""P(the question asks of the text as a whole) from which passages are not weighed: below a half, since a summary of
passages passes for one of the text, and the whole only costs more."""


def with_readings(
    prompt: Prompt,
    context: Context,
    embedder: TextEmbedder,
    *,
    wanted: str = "auto",
    budget: int = READ_TOKENS,
    named: Iterable[str] = (),
    cache: Path | None = None,
) -> Prompt:
    """Return a prompt with what each reading of its sources sends; as it is where there is nothing to choose.

    Parameters
    ----------
    context
        Of the question.
    wanted
        `auto`, or one of `READINGS`.
    budget
        The most tokens of passages.
    named
        Arms that a plan names, some perhaps with a reading.
    """
    sources = prompt.sources
    if not sources:
        return prompt
    n_whole = sum(source.n_tokens for source in sources)
    by_name = {reading_of(name) for name in named}
    offered = {*(AUTO if wanted == "auto" else (wanted,)), *(kind for kind in READINGS if kind in by_name)}
    if n_whole <= budget and "none" not in offered:
        return prompt  # the passages would be all of it
    found = passages(sources, prompt.text, context.embedding, embedder, budget=budget, cache=cache)
    text = block_of(sources, found.spans, prompt.text)
    reads = {
        "whole": read_whole(sources, prompt.text),
        "passages": Read("passages", text, approx_tokens(text), found.spans),
        "none": read_none(),
    }
    asks = asks_of(prompt.text, context.embedding if embedder.id == BUILTIN_ID else None)
    evidence = Evidence(
        n_whole, reads["passages"].n_tokens, found.best, found.flat, asks.whole, {"comparison": asks.comparison}
    )
    if wanted == "auto" and asks.whole >= WHOLE_FROM and "passages" not in by_name:
        offered.discard("passages")
    return replace(prompt, readings=Readings(reads, (), evidence).offering(offered))
