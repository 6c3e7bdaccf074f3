"""Stages that take one of the answers given: the first, that of those who agree, a vote's, or the best by a check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrimp.routing.checks.agree import compare
from scrimp.routing.plans.plan import ALL

from .desk import Came, rank

if TYPE_CHECKING:
    from collections.abc import Generator

    from scrimp.routing.checks.base import Verdict

    from .desk import Desk, Held, Turn
    from .protocol import Test, Wanted

__all__ = ["best", "one", "voting"]


def one(desk: Desk, turn: Turn) -> Generator[Wanted | Test, Any, Came]:
    """Take the one answer, or where all or most have to say the same, one of theirs."""
    stage = turn.stage
    held = yield from desk.gather(turn)
    if not held:
        return Came(None)
    if stage.quorum is None:
        return Came(held[0], stage.gate is None)
    quality = [desk.brief.quality(each.arm) for each in held]
    texts: list[str | None] = [each.compared for each in held] + [None] * (len(stage.arms) - len(held))
    if len(stage.arms) == 1:  # compared with all that were given before it
        texts += [text for _, text in desk.asked[:-1]]
    quality += [0.0] * (len(texts) - len(held))
    found = compare(texts, stage.quorum, quality=quality, embed=desk.brief.embed)
    for each, verdict in zip(held, found.verdicts, strict=False):
        desk.judged(each, verdict)
    taken = held[found.best if found.best < len(held) else 0]
    return Came(taken, not taken.verdicts[-1].failed)


def voting(desk: Desk, turn: Turn) -> Generator[Wanted | Test, Any, Came]:
    """Take the answer of those that say the same and together have the greatest weight."""
    held = yield from desk.gather(turn)
    if not held:
        return Came(None)
    numbers = desk.numbered(held)
    said = ", ".join(f"{each.arm}: {number}" for each, number in zip(held, numbers, strict=True))
    desk.notes.append(f"a vote of {said}")
    return Came(desk.voted(held, numbers))


def best(desk: Desk, turn: Turn) -> Generator[Wanted | Test, Any, Came]:
    """Take the answer that does best in the checks; the first that passes all of them ends the asking."""

    def enough(mine: Held) -> Generator[Wanted | Test, Any, bool]:
        yield from desk.check(mine, ALL, final=False)
        return not mine.failed and not any(_graded(each) for each in mine.verdicts)

    held = yield from desk.gather(turn, enough)
    return Came(max(held, key=lambda each: (rank(each.verdicts), -held.index(each))) if held else None)


def _graded(verdict: Verdict) -> bool:
    return verdict.score is not None and verdict.score < 1.0
