"""Splitting: one arm answers for each piece of a text, and one answer is made of that, by an arm or by code.

The divide and conquer of LLM-based algorithms: a call a piece, and one that aggregates. Counts and lists are put
together by code, where the question asks for one in so many words and no arm is named to merge.
"""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final, Literal

from scrimp.profiles.rungs import bare_of
from scrimp.routing.checks.found import says_nothing
from scrimp.routing.plans.spends import piece_bytes
from scrimp.routing.prompts.pieces import NOTHING_HERE, piece_prompt, pieces_of
from scrimp.routing.text.fence import fenced

from .desk import Came
from .protocol import Role, Wanted
from .quoting import DATA, quoted, without_thoughts

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from scrimp.routing.prompts.prompt import Prompt
    from scrimp.routing.prompts.sources import Span

    from .desk import Desk, Held, Turn
    from .protocol import Got, Test

__all__ = ["asks_for", "how_to_answer", "list_of", "splitting", "sum_of"]

Asks = Literal["count", "list"]

_COUNT: Final = re.compile(
    r"\bhow (?:many times|often (?:is|are|was|were|do|does|did))\b"
    r"|\bcount (?:all|every|each|the|how)\b"
    r"|\bnumber of (?:times|occurrences|mentions)\b"
    r"|\bhow many\b[^.?!\n]{1,80}\b(?:are|is|were|was|get|gets) (?:there|mentioned|listed|named|recorded)\b"
    r"|\bwie oft\b|\bcombien de fois\b|\bcu[a\u00e1]ntas veces\b|\bquante volte\b|\bquantas vezes\b|\bhoe vaak\b",
    re.IGNORECASE,
)
_LIST: Final = re.compile(
    r"\b(?:list|name|find|give|extract|collect|enumerate)(?: me| us)? (?:all|every|each)\b|^\W*(?:list|enumerate) "
    r"|\bliste (?:alle|toutes|tous)\b|\bnenne alle\b|\blista (?:todos|todas|tutti|tutte)\b",
    re.IGNORECASE,
)
_OTHER: Final = re.compile(
    r"\b(?:and (?:explain|say why|summari[sz]e|compare|rank|sort|group)|why|which (?:one )?is the|most|least|top \d"
    r"|order of|sorted|ranked|grouped|table|json|csv)\b",
    re.IGNORECASE,
)
"""What a sum or a union would not do."""

_HOW: Final[dict[Asks, str]] = {
    "count": "Count in this piece alone, and end with one line that says COUNT: and the number.",
    "list": "Reply with a list of what this piece holds of it and nothing else: one item a line, each behind `- `.",
}
_STATED: Final = re.compile(r"\bCOUNT\W{0,6}(-?\d[\d,]*)", re.IGNORECASE)
_ALONE: Final = re.compile(r"\W*(-?\d[\d,]*)\W*")
_ITEM: Final = re.compile(r"^[ \t]*(?:[-*\u2022]|\d{1,4}[.)])[ \t]+(\S.*?)[ \t]*$", re.MULTILINE)
_NOTHING: Final = re.compile(rf"\W*{NOTHING_HERE}\W*", re.IGNORECASE)

_MERGE: Final = """\
{prompt}

---
This was asked of a text that was read in {n} pieces, each by itself. What was answered from them stands between lines \
of a marker, in the order of the text; {data}. {left_out}Where pieces contradict each other say so, unless one plainly \
rests on more of the text.

{parts}

Write the one answer to the prompt from these. Add up what was counted piece by piece, leave out what is there twice, \
and do not mention the pieces. Reply with the answer alone, in the form that the prompt asks for."""


def asks_for(question: str) -> Asks | None:
    """Return whether a question asks for a count or a list that can be put together from pieces; None for another.

    Examples
    --------
    >>> asks_for("How many times is Oslo named?"), asks_for("List every decision"), asks_for("How many work here?")
    ('count', 'list', None)
    """
    if _OTHER.search(question):
        return None
    return "count" if _COUNT.search(question) else "list" if _LIST.search(question) else None


def how_to_answer(question: str) -> str:
    """Return what whoever reads a piece is told of the form of its answer."""
    asks = asks_for(question)
    return "" if asks is None else _HOW[asks]


def sum_of(answers: Sequence[str]) -> str | None:
    r"""Return the sum of what answers count, one number each; None where one of them states none.

    Examples
    --------
    >>> sum_of(["Two here.\nCOUNT: 2", "**COUNT:** 1,000", "3"]), sum_of(["some"])
    ('1005', None)
    """
    total = Decimal(0)
    for answer in answers:
        stated = _STATED.findall(answer) or [*filter(None, [(_ALONE.fullmatch(answer) or ("", ""))[1]])]
        if not stated:
            return None
        try:
            total += Decimal(stated[-1].replace(",", ""))
        except InvalidOperation:
            return None
    return f"{total}"


def list_of(answers: Sequence[str]) -> str | None:
    r"""Return the items of several lists in order, each once whatever its case; None where an answer is no list.

    Examples
    --------
    >>> print(list_of(["- Oslo\n- Bergen", "* oslo.\n2) Narvik"]))
    - Oslo
    - Bergen
    - Narvik
    """
    items: dict[str, str] = {}
    for answer in answers:
        found = _ITEM.findall(answer)
        if not found:
            return None
        for item in found:
            items.setdefault(re.sub(r"\W+", " ", item).strip().casefold() or item, item)
    return "\n".join(f"- {item}" for item in items.values())


def splitting(desk: Desk, turn: Turn) -> Generator[Wanted | Test, Any, Came]:
    """Have the arm of a stage answer for each piece of the request's files, and one answer made of those."""
    stage, prompt = turn.stage, turn.prompt or desk.brief.prompt
    (arm,) = stage.arms
    spans = pieces_of(prompt.sources, stage.piece_tokens)
    how = "" if stage.by else how_to_answer(desk.brief.prompt.text)
    said: list[tuple[Span, Got]] = []
    empty: list[Got] = []
    why = turn.why
    for number, span in enumerate(spans, start=1):
        asked = piece_prompt(prompt, span, number, len(spans), how)
        why = why or (f"{bare_of(arm)} reads the text in {len(spans)} pieces" if number == 1 else None)
        got = yield from desk.call(Wanted(arm, Role.PIECE, turn.number, asked, why=why))
        why = None
        if got.text is None:
            if desk.out_of_money:
                break
        elif _empty(got.text):
            empty.append(got)
        else:
            said.append((span, replace(got, text=without_thoughts(got.text))))
    n_lost = len(spans) - len(empty) - len(said)
    if n_lost:
        desk.notes.append(f"of {len(spans)} pieces {n_lost} gave no answer: what stands there is not in this one")
    if not said and empty:
        return Came(_made(desk, turn, empty[-1], _none_said(desk.brief.prompt.text)), stage.gate is None)
    if not said:
        return Came(None)
    best = yield from _one_answer(desk, turn, prompt, said, len(spans))
    return Came(best, stage.gate is None)


def _one_answer(
    desk: Desk, turn: Turn, prompt: Prompt, said: Sequence[tuple[Span, Got]], n: int
) -> Generator[Wanted, Any, Held]:
    texts = [got.text or "" for _, got in said]
    last = said[-1][1]
    if not turn.stage.by:
        asks = asks_for(desk.brief.prompt.text)
        made = sum_of(texts) if asks == "count" else list_of(texts)
        if made is None:  # what came is not in the form that was asked for
            desk.notes.append(
                "the answers of the pieces could not be put together by code: they stand one after another"
            )
            made = "\n\n".join(texts)
        return _made(desk, turn, last, made)
    (arm,) = turn.stage.by
    titles = [f"PIECE {number}, {_where(prompt, span)}" for number, (span, _) in enumerate(said, start=1)]
    parts = [(title, quoted(text, piece_bytes(n))) for title, text in zip(titles, texts, strict=True)]
    left_out = "" if len(said) == n else f"In the other {n - len(said)} nothing was found. "
    bare = replace(prompt, sources=(), readings=None)
    asked = bare.saying(
        _MERGE.format(prompt=bare.text, n=n, data=DATA, left_out=left_out, parts=fenced(parts, bare.text))
    )
    got = yield from desk.call(Wanted(arm, Role.MERGE, turn.number, asked))
    if got.text is not None and got.text.strip():
        held = desk.hold(got, turn.number)
        held.reads = "whole"
        return held
    desk.notes.append(
        f"{bare_of(arm)}, which was to merge the answers of the pieces, gave none: they stand one after another"
    )
    return _made(desk, turn, last, "\n\n".join(texts))


def _made(desk: Desk, turn: Turn, last: Got, text: str) -> Held:
    """Hold an answer that code put together: it stands on record with the last call that went into it."""
    held = desk.hold(last, turn.number, text)
    held.part, held.reads = True, "whole"
    return held


def _empty(text: str) -> bool:
    """Tell whether an answer says that a piece holds nothing of what was asked for."""
    said = without_thoughts(text)
    return not said or _NOTHING.fullmatch(said) is not None or says_nothing(said)


def _none_said(question: str) -> str:
    return "0" if asks_for(question) == "count" else "The text holds nothing of what is asked for."


def _where(prompt: Prompt, span: Span) -> str:
    name = " ".join(prompt.sources[span.source].name.split())[:60]
    return f"characters {span.start:,} to {span.end:,} of {name}"
