"""Agreement of answers: how far they say the same once each is brought to its normal form; votes."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Final, Literal

from .normal import final_number, normalise, plain_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    Embed = Callable[[Sequence[str]], NDArray[np.float32]]

__all__ = ["QUORUMS", "SAME_PROSE", "Quorum", "agreement", "groups", "n_needed", "sigma", "vote"]

Quorum = Literal["agree", "most"]
"""How many answers have to say the same: all of them, or more than half."""

QUORUMS: Final[tuple[Quorum, ...]] = ("agree", "most")

SAME_PROSE: Final = 0.85
"""Cosine of two texts' embeddings from which they say the same, as far as an embedding can tell."""


def n_needed(how: Quorum, n: int) -> int:
    """Return how many of n answers have to say the same.

    Examples
    --------
    >>> n_needed("agree", 4), n_needed("most", 4), n_needed("most", 3), n_needed("most", 2)
    (4, 3, 2, 2)
    """
    return n if how == "agree" else n // 2 + 1


def agreement(
    answers: Sequence[str], *, embed: Embed | None = None, same: float = SAME_PROSE
) -> list[list[float | None]]:
    """Return how far each pair of answers agrees, in [0, 1]; None where that cannot be told.

    Answers with a key agree wholly or not at all; prose by the cosine of its embeddings. An empty answer agrees with
    nothing.

    Parameters
    ----------
    embed
        Embeds prose, `(n, dim)` of unit length; without it two different texts of prose cannot be compared.
    same
        The cosine from which two texts count as the same: agreement is scaled so that it stands at one half.
    """
    normals = [normalise(answer) for answer in answers]
    prose = [i for i, normal in enumerate(normals) if normal is not None and normal.key is None]
    cosine: dict[tuple[int, int], float] = {}
    if embed is not None and len(prose) > 1:
        vectors = embed([answers[i] for i in prose])
        products = vectors @ vectors.T
        cosine = {(i, j): float(products[a, b]) for a, i in enumerate(prose) for b, j in enumerate(prose)}
    table: list[list[float | None]] = []
    for i, mine in enumerate(normals):
        row: list[float | None] = []
        for j, theirs in enumerate(normals):
            if mine is None or theirs is None:
                row.append(0.0)
            elif i == j or (mine.key is not None and (mine.kind, mine.key) == (theirs.kind, theirs.key)):
                row.append(1.0)
            elif "number" in (mine.kind, theirs.kind) and mine.kind != theirs.kind:
                # A bare number beside a sentence that comes to one.
                mine_number, their_number = final_number(answers[i]), final_number(answers[j])
                row.append(1.0 if mine_number is not None and mine_number == their_number else 0.0)
            elif mine.key is not None and theirs.key is not None:
                row.append(0.0)
            elif mine.key is None and theirs.key is None:
                if plain_text(answers[i]) == plain_text(answers[j]):
                    row.append(1.0)
                else:
                    near = cosine.get((i, j))
                    row.append(None if near is None else min(1.0, max(0.0, 0.5 + (near - same) / (2 * (1 - same)))))
            else:
                row.append(0.0)
        table.append(row)
    return table


def groups(answers: Sequence[str], *, embed: Embed | None = None, same: float = SAME_PROSE) -> list[int | None]:
    """Return a group's number for each answer: answers that say the same share one. None for an empty answer.

    Examples
    --------
    >>> groups(["42", "The answer is 42.", "41", ""])
    [0, 0, 1, None]
    """
    table = agreement(answers, embed=embed, same=same)
    found: dict[int, int] = {}  # the leader of each answer's group
    # Bare numbers first: they bind sentences that come to them, which nothing else may say are the same.
    for i in sorted(range(len(answers)), key=lambda i: not _is_number(answers[i])):
        if answers[i].strip():
            leaders = dict.fromkeys(found.values())
            found[i] = next((leader for leader in leaders if (table[leader][i] or 0.0) >= 0.5), i)
    numbers: dict[int, int] = {}
    return [numbers.setdefault(found[i], len(numbers)) if i in found else None for i in range(len(answers))]


def _is_number(answer: str) -> bool:
    normal = normalise(answer)
    return normal is not None and normal.kind == "number"


def sigma(numbers: Sequence[int | None]) -> float:
    """Return how far N samples disagree: (distinct answers - 1) / (N - 1), as in ACAR; 0 all agree, 1 none do.

    An empty sample is an answer of its own.

    Examples
    --------
    >>> sigma([0, 0, 0]), sigma([0, 0, 1]), sigma([0, 1, 2])
    (0.0, 0.5, 1.0)
    """
    if len(numbers) < 2:
        return 0.0
    distinct = len({number for number in numbers if number is not None}) + sum(number is None for number in numbers)
    return (distinct - 1) / (len(numbers) - 1)


def vote(numbers: Sequence[int | None], quality: Sequence[float]) -> int | None:
    """Return the position of the answer that a weighted vote takes; None where all are empty.

    A vote weighs ln(q (k - 1) / (1 - q)), with q the predicted quality of who gave it, in [0.05, 0.95], and k = 5 the
    number of answers that wrong ones are taken to spread over; at least 0.05. Of the winning answers the one of best
    predicted quality is taken.

    Examples
    --------
    >>> vote([0, 1, 1], [0.9, 0.6, 0.6]), vote([0, 1, 1], [0.95, 0.3, 0.3])
    (1, 0)
    """
    weight: Counter[int] = Counter()
    totals: dict[int, float] = {}
    for number, q in zip(numbers, quality, strict=True):
        if number is not None:
            q_ = min(0.95, max(0.05, q))
            totals[number] = totals.get(number, 0.0) + max(0.05, math.log(q_ * 4.0 / (1.0 - q_)))
            weight[number] += 1
    if not totals:
        return None
    best = max(totals, key=lambda number: (round(totals[number], 9), weight[number], -number))
    members = [i for i, number in enumerate(numbers) if number == best]
    return max(members, key=lambda i: (quality[i], -i))
