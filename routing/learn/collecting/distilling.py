"""What an arm is asked that is to write down how a kind of prompt is answered well, and how its reply is read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from scrimp.routing.strategies.quoting import DATA, quoted, without_thoughts
from scrimp.routing.text.fence import fenced

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["read_reply", "verbatim", "what_is_asked"]

_VERBATIM: Final = 8
"""So many words in a row that also stand in what was quoted are no abstract step."""

_ASK: Final = """\
Below stand {n} prompts of one kind, each with an answer to it that was rated well, between lines of a marker; \
{data}.

{quotes}

Write down what made these answers good, as steps for somebody who answers another prompt of this kind. Abstract steps \
only: no names, figures, addresses, code or other details of these prompts or answers, since others will read it.

Reply in this form and with nothing else:
ABOUT: what prompts of this kind ask for, in at most 12 words
STEPS:
1. the first of at most 8 steps, one line each
EXAMPLE (only where it helps): a prompt that you make up, and its solution in a few lines"""


def what_is_asked(pairs: Sequence[tuple[str, str]], n_bytes: int) -> str:
    """Return what an arm is asked: prompts and answers cut to so many bytes each, between marks that stand in none."""
    parts = [
        (f"{title} {n}", quoted(text, n_bytes).strip())
        for n, pair in enumerate(pairs, 1)
        for title, text in zip(("PROMPT", "ANSWER"), pair, strict=True)
    ]
    return _ASK.format(n=len(pairs), data=DATA, quotes=fenced(parts))


def read_reply(reply: str) -> tuple[str, str] | None:
    r"""Return what a reply says the kind is about, and its steps; None where there are none.

    Examples
    --------
    >>> read_reply("ABOUT: sums\nSTEPS:\n1. Add.\n2. Check it.")
    ('sums', '1. Add.\n2. Check it.')
    >>> read_reply("I cannot do that.") is None
    True
    """
    reply = without_thoughts(reply)
    found = re.search(r"^[\s*#]*ABOUT[\s*]*:[\s*]*(\S[^\n]*)", reply, re.MULTILINE | re.IGNORECASE)
    about = " ".join(found[1].strip("*_ ").split())[:160] if found else ""
    after = reply[found.end() :] if found else reply
    steps = re.search(r"^[\s*#]*STEPS[\s*]*:?[ \t*]*\n?", after, re.MULTILINE | re.IGNORECASE)
    body = (after[steps.end() :] if steps else after).strip()
    listed = re.findall(r"^\s*(?:\d{1,2}[.)]|[-*])\s+(\S[^\n]*)", body, re.MULTILINE)
    if not listed or 2 * len(set(listed)) < len(listed):  # a model that goes round in a circle wrote nothing down
        return None
    if not about:  # a small model forgets the form before it forgets the steps
        first = next(line for line in body.splitlines() if line.strip())
        about = " ".join(re.sub(r"^\s*(?:\d{1,2}[.)]|[-*])\s+", "", first).split())[:160]
    return about.replace("\0", ""), body.replace("\0", "")


def verbatim(text: str, sources: Sequence[str]) -> str | None:
    """Return the first eight words in a row of a text that also stand in one of these; None where there are none."""
    quoted = {run for source in sources for run in _runs(source)}
    return next((run for run in _runs(text) if run in quoted), None)


def _runs(text: str) -> list[str]:
    words = re.findall(r"\w+", text.lower())
    return [" ".join(words[n : n + _VERBATIM]) for n in range(len(words) - _VERBATIM + 1)]
