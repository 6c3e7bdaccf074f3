"""Two answers without names, and which of them is good: the screen of `learn audit` and of `duel`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from .result import Beside, Result, ask_line, emit, emit_stderr, say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrimp.routing.ledger.duels import Verdict

    from .result import Block

__all__ = ["Said", "ask_verdict", "show", "show_pair"]

_VERDICTS: Final[Mapping[str, Verdict]] = {
    "1": "left",
    "2": "right",
    "=": "tie",
    "both": "tie",
    "0": "neither",
    "none": "neither",
    "neither": "neither",
}
_ORDERS: Final[Mapping[str, Literal["skip", "undo", "stop"]]] = {
    "s": "skip",
    "skip": "skip",
    "u": "undo",
    "undo": "undo",
    "q": "stop",
    "quit": "stop",
}


@dataclass(frozen=True, slots=True)
class Said:
    """What was typed.

    Attributes
    ----------
    verdict
        Which answer is good; None where `order` says what to do in place of one.
    why
        What was said of it; None where nothing was.
    """

    verdict: Verdict | None = None
    order: Literal["skip", "undo", "stop"] | None = None
    why: str | None = None


def show(*blocks: Block, stderr: bool = False) -> None:
    """Print what belongs to the screen."""
    if stderr:
        emit_stderr(blocks)
    else:
        emit(Result(blocks=blocks))


def show_pair(prompt: str, texts: tuple[str, str], *, place: str = "", stderr: bool = False) -> None:
    """Show a prompt and two answers to it, without saying whose they are.

    Parameters
    ----------
    place
        Which of how many it is.
    """
    first, second = (text if text.strip() else "(empty)" for text in texts)
    title = "--- prompt" + (f" {place}" if place else "")
    show(f"\n{title}\n{prompt}\n", Beside(("answer 1", "answer 2"), (first, second)), stderr=stderr)


def ask_verdict(*, undo: bool = False, why: bool = False) -> Said:
    """Ask which answer is good until it is said; the end of the input stops.

    Parameters
    ----------
    undo
        Whether there is a verdict to take back.
    why
        Whether a reason may follow.
    """
    reason = " (and why, on the same line)" if why else ""
    orders = "s skip, " + ("u undo the last, " if undo else "") + "q stop"
    while True:
        line = ask_line(f"good: 1, 2, = both alike, 0 neither{reason}; {orders}: ")
        if line is None:
            return Said(order="stop")
        word, _, rest = line.partition(" ")
        word, rest = word.lower(), rest.strip()
        if word in _VERDICTS and (why or not rest):
            return Said(_VERDICTS[word], why=rest or None)
        order = "skip" if not word else _ORDERS.get(word)
        if order is not None and not rest and (undo or order != "undo"):
            return Said(order=order)
        say(f"not understood: {line}")
