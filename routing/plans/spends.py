"""What a stage may make of calls at most: by it a plan is paid to its end before it is begun."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .plan import Stage

__all__ = [
    "BID_BYTES",
    "BID_LIMIT",
    "DROP_LIMIT",
    "FEEDBACK_LIMIT",
    "PIECE_BYTES",
    "QUESTIONS",
    "QUOTED_BYTES",
    "QUOTE_BYTES",
    "SCORES_LIMIT",
    "Spend",
    "piece_bytes",
    "spends_of",
]

QUOTE_BYTES: Final = 12_000
"""How many bytes of an answer, in UTF-8, are handed on to another arm; what is longer is cut at a whole character."""

QUOTED_BYTES: Final = QUOTE_BYTES + 2_000
"""More bytes than such a quotation with its marks and its share of the text around them can have."""

QUESTIONS: Final = 4
"""How many questions a planner may ask of other arms before it has to answer."""

BID_LIMIT: Final = 300
"""Output tokens of a bid: a plan of 120 words at most."""

BID_BYTES: Final = 2_000
"""How many bytes of a bid are handed on: more than 120 words have."""

SCORES_LIMIT: Final = 200
"""Output tokens of an arm's scores for all bids."""

FEEDBACK_LIMIT: Final = 700
"""Output tokens of what is wrong with an answer."""

DROP_LIMIT: Final = 60
"""Output tokens of the choice of the worst answer."""


PIECE_BYTES: Final = 3_000
"""How many bytes of what came of a piece are handed on, at most."""

_ALL_PIECES_BYTES: Final = 60_000
"""How many bytes of what came of all pieces are handed on together."""


def piece_bytes(n: int) -> int:
    """Return how many bytes of what came of each of n pieces are handed on.

    Examples
    --------
    >>> piece_bytes(10), piece_bytes(200)
    (3000, 300)
    """
    return min(PIECE_BYTES, _ALL_PIECES_BYTES // max(1, n))


@dataclass(frozen=True, slots=True)
class Spend:
    """Calls of one sort.

    Attributes
    ----------
    arms
        Whom they may go to: for each call one of these, whichever it turns out to be.
    n
        How many of them there are at most.
    quotes
        How many pieces of text of up to `QUOTED_BYTES` each carries besides the request's prompt, at most.
    limit
        The most output tokens of each, where that is less than the arm's own (reasoning arms keep theirs).
    """

    arms: tuple[str, ...]
    n: int = 1
    quotes: int = 0
    limit: int | None = None


def spends_of(stage: Stage, *, repairs: bool = False) -> tuple[Spend, ...]:
    """Return the calls that a stage may make at most, those of checks aside.

    Parameters
    ----------
    repairs
        Whether its arms are given a failed answer and what was wrong with it.

    Examples
    --------
    >>> from scrimp.routing.plans.plan import Stage
    >>> [(each.arms, each.n, each.quotes) for each in spends_of(Stage(("a", "b"), how="merge", by=("c",)))]
    [(('a',), 1, 0), (('b',), 1, 0), (('c',), 1, 2)]
    """
    carried = 1 if repairs else 0
    asks = tuple(Spend((arm,), quotes=carried) for arm in stage.arms)
    n = len(stage.arms)
    if stage.how == "merge":
        merges: list[Spend] = []
        for nth, arm in enumerate(stage.by):
            n_before = n if nth == 0 else 1
            if n_before == 1:  # of one answer it is first said what is wrong with it, and that is quoted too
                merges.append(Spend((arm,), quotes=1, limit=FEEDBACK_LIMIT))
            merges.append(Spend((arm,), quotes=max(2, n_before)))
        return (*asks, *merges)
    if stage.how == "split":
        # What is said around a piece is part of what its arm is weighed by; a title stands above each answer.
        merges = [
            Spend((arm,), quotes=1 + -(-stage.pieces * (piece_bytes(stage.pieces) + 400) // QUOTED_BYTES))
            for arm in stage.by
        ]
        return (*(Spend((arm,), stage.pieces) for arm in stage.arms), *merges)
    if stage.how == "lead":
        # Each round knows one reply more; the menu has room where another would have, and the last has none.
        rounds = (Spend(stage.by, 1, min(n_asked + 1, QUESTIONS) + carried) for n_asked in range(QUESTIONS + 1))
        return *rounds, Spend(stage.arms, QUESTIONS, 1)
    if stage.how == "bid":
        # A bid is quoted by `BID_BYTES` at most: five of them have room where one answer has.
        bids = tuple(Spend((arm,), 2, 1, BID_LIMIT) for arm in stage.arms)
        scores = tuple(Spend((arm,), 2, -(-n // 5), SCORES_LIMIT) for arm in stage.arms)
        return (*bids, *scores, Spend(stage.arms, 1, 1 + carried))
    if stage.how == "knockout":
        return (*asks, Spend(stage.by, max(1, n - 1), n, DROP_LIMIT))
    return asks
