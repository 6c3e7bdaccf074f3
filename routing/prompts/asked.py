"""The part of a long prompt that asks: of a page of log with a question below it, the question is to be judged."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["ASKED_CHARS", "SEGMENT", "asked_part"]

ASKED_CHARS: Final = 800
"""A text of so many characters is taken whole; of a longer one, sentences up to about so many are kept."""

_SCANNED: Final = 16_000
"""Of a longer text head and tail are looked at, half of this each: a question in the middle of a book is not found."""

SEGMENT: Final = re.compile(r"(?<=[.?!])\s+|(?<=[。？！])|\n+")
"""Between sentences, and between lines."""

_WORD: Final = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
_RECORD: Final = re.compile(r"\s*(?:\d{4}-\d\d|\d+[.:]\d|[\[{<>|}\]]|(?:from|to|cc|date|sent):)", re.IGNORECASE)
_PERSONAL: Final = re.compile(
    r"\b(?:please|you|me|my|i need|i want|must|exactly|only|without|below|above|following)\b", re.IGNORECASE
)
_ASKING: Final = frozenset(
    {
        "add", "analyse", "analyze", "answer", "are", "calculate", "can", "classify", "compare", "compute", "convert",
        "correct", "could", "count", "create", "debug", "derive", "describe", "design", "determine", "do", "does",
        "draft", "estimate", "evaluate", "explain", "extract", "find", "fix", "format", "give", "help", "how", "i",
        "identify", "implement", "is", "keep", "label", "list", "make", "name", "output", "plan", "proofread", "prove",
        "put", "rank", "refactor", "remove", "reply", "respond", "return", "rewrite", "shorten", "should", "show",
        "solve", "sort", "suggest", "summarise", "summarize", "tag", "tell", "translate", "turn", "use", "what", "when",
        "where", "which", "who", "why", "would", "write"
    }
)  # fmt: skip


def asked_part(text: str) -> str:
    r"""Return the sentences of a prompt that most look like a request, in their order; all of a short one.

    A sentence counts for a question mark, an imperative or question word at its head, words such as "please" and
    "must", and for standing first or last; it counts less where it looks like a record (a date, a bracket, a mail's
    header).

    Examples
    --------
    >>> asked_part("Which line failed? " + "2026-01-02 worker ok. " * 100)[:39]
    'Which line failed?\n2026-01-02 worker ok'
    """
    if len(text) <= ASKED_CHARS:
        return text
    cut = len(text) > _SCANNED
    if cut:
        text = text[: _SCANNED // 2] + "\n" + text[-_SCANNED // 2 :]
    segments = [part for part in SEGMENT.split(text) if part and not part.isspace()]
    if len(segments) < 2 + cut:  # no sentence ends in head or tail: one of the two would be taken for all
        return text[: ASKED_CHARS // 2] + "\n" + text[-ASKED_CHARS // 2 :]
    if cut:
        segments = [_ends(part) for part in segments]
    last = len(segments) - 1
    scores = [_score(part) + _place(k, last) for k, part in enumerate(segments)]
    picked: list[int] = []
    n = 0
    for k in sorted(range(len(segments)), key=lambda k: (-scores[k], k)):
        size = min(len(segments[k]), ASKED_CHARS)
        if picked and n + size > ASKED_CHARS:
            continue
        picked.append(k)
        n += size
        if n > 0.9 * ASKED_CHARS:
            break
    return "\n".join(segments[k][:ASKED_CHARS] for k in sorted(picked))


def _ends(part: str) -> str:
    """Return a part, or both ends of a long one: beside the cut, what asks may stand at the end of what was pasted."""
    n = ASKED_CHARS // 4 - 1  # two such parts fit, with their line ends
    return part if len(part) <= ASKED_CHARS else part[:n] + "\n" + part[-n:]


def _score(part: str) -> int:
    first = _WORD.search(part)
    return (
        3 * part.rstrip().endswith(("?", "？"))
        + 2 * (first is not None and first.group().lower() in _ASKING)
        + (_PERSONAL.search(part) is not None)
        - 2 * (_RECORD.match(part) is not None)
    )


def _place(k: int, last: int) -> int:
    return 4 if k in (0, last) else 2 if k in (1, last - 1) else 0
