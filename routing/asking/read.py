"""How much of the files that go with a prompt an arm may be sent: what each reading is, before anything is decided."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from scrimp.profiles.errors import UsageError
from scrimp.profiles.rungs import READ_TOKENS, READINGS, SPLIT, reading_of
from scrimp.routing.prompts.embedding import BUILTIN_ID
from scrimp.routing.prompts.sources import Evidence, Readings, read_none, read_passages, read_whole
from scrimp.routing.retrieval.passages import passages
from scrimp.routing.router.text_questions import asks_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from scrimp.routing.prompts.context import Context, TextEmbedder
    from scrimp.routing.prompts.prompt import Prompt

    from .request import Ask, Way

__all__ = ["AUTO", "WHOLE_FROM", "check_reading", "read_for", "readings_offered", "with_readings"]

AUTO: Final = ("whole", "passages")
"""What is weighed where the user does not say how much is to be read."""

WHOLE_FROM: Final = 0.3
"""P(the question asks of the text as a whole) from which passages are not weighed: below a half, since a summary of
passages passes for one of the text, and the whole only costs more."""


def readings_offered(wanted: str, named: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the readings that arms may be asked at, in the order of `READINGS`; parameters as `with_readings`.

    Where a text is split nothing of it need fit anywhere: what is made of the pieces is made of no text.

    Examples
    --------
    >>> readings_offered("auto"), readings_offered("whole", ["small/none"])
    (('whole', 'passages'), ('whole', 'none'))
    """
    kinds = {*(AUTO if wanted == "auto" else (wanted,)), *map(reading_of, named)}
    if SPLIT in kinds:
        kinds.add("none")
    return tuple(kind for kind in READINGS if kind in kinds)


def check_reading(wanted: str) -> None:
    """Refuse a reading that there is not.

    Raises
    ------
    UsageError
        If it is neither `auto` nor one of `READINGS`; `split` is a plan, and has become one before (`split_plan`).
    """
    if wanted not in ("auto", *READINGS):
        raise UsageError(f"--read: expected one of {', '.join(('auto', *READINGS, SPLIT))}, not {wanted!r}")


def read_for(ask: Ask, context: Context, embedder: TextEmbedder, *, way: Way | None, cache: Path | None) -> Ask:
    """Return a request with what each reading of its files sends, before it is decided.

    Parameters
    ----------
    context
        Of its question.
    way
        How it is to be answered: the arms that its plan names may name readings.
    cache
        The folder of the cache; None keeps nothing.
    """
    from .plan_choice import arms_in  # brings numpy, which a command has yet to keep to one thread

    prompt = with_readings(
        ask.prompt,
        context,
        embedder,
        wanted=ask.reading,
        budget=ask.read_tokens,
        named=(ask.wishes.arm or "", *arms_in(way)),
        cache=cache if ask.keep == "all" else None,  # it holds the words of what was read
    )
    return ask if prompt is ask.prompt else replace(ask, prompt=prompt)


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

    Where the readings of a prompt of the log are on record they stay (`asking.again`).

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
    if (known := prompt.readings) is not None:  # on record
        return replace(prompt, readings=known.offering((*known.offered, *filter(None, map(reading_of, named)))))
    n_whole = sum(source.n_tokens for source in sources)
    offered = set(readings_offered(wanted, named))
    by_name = {*map(reading_of, named)}
    if n_whole <= budget and "none" not in offered:
        return prompt  # the passages would be all of it
    asks = asks_of(prompt.text, context.embedding if embedder.id == BUILTIN_ID else None)
    if wanted == "auto" and (asks.whole >= WHOLE_FROM or n_whole <= budget) and "passages" not in by_name:
        offered.discard("passages")
    found = passages(sources, prompt.text, context.embedding, embedder, budget=budget, cache=cache)
    reads = {
        "whole": read_whole(sources, prompt.text),
        "passages": read_passages(sources, found.spans, prompt.text),
        "none": read_none(),
    }
    sent = reads["passages"].n_tokens
    evidence = Evidence(n_whole, sent, found.best, found.flat, asks.whole, {"comparison": asks.comparison})
    return replace(prompt, readings=Readings(reads, (), evidence).offering(offered))
