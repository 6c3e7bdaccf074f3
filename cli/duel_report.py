"""`report --duels`: which arm is the stronger by what was preferred, and how sure that is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrimp.profiles.money import format_usd, nano_from_usd

from .result import Column, Note, Result, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scrimp.routing.learn.measuring.duels import DuelReport, Strength

    from .result import Block

__all__ = ["duel_result"]


def duel_result(found: DuelReport) -> Result:
    """Return what `report --duels` prints."""
    blocks: list[Block] = []
    if found.side is not None:
        side = found.side
        pull = "for" if side.bias >= 0 else "against"
        sure = "" if side.low > 0 or side.high < 0 else ", which may be none"
        blocks += [
            f"{found.n:,} {'duel' if found.n == 1 else 'duels'} judged",
            _table(found.strengths, None),
            Note(
                f"side bias: {abs(side.bias):.2f} logits [{side.low:+.2f}, {side.high:+.2f}] {pull} the left{sure}; "
                f"equals tie in {side.p_tie:.0%}"
            ),
            Note(
                "strength: logits above the mean, with its 95% interval (Bradley-Terry with ties); it is taken out of "
                "the side bias"
            ),
        ]
        blocks += [
            _table(kind.strengths, f"{kind.n:,} duels on prompts such as: {_short(kind.example)}")
            for kind in found.kinds
            if len(found.kinds) > 1 or found.n_of_no_kind
        ]
    return Result(data=found.to_dict(), blocks=(*blocks, *(Note(note) for note in found.notes)))


def _table(strengths: Sequence[Strength], title: str | None) -> Table:
    several = {each.arm for each in strengths}
    twice = len(several) < len(strengths)
    return Table(
        (
            Column("arm"), *((Column("model", drop=3),) if twice else ()), Column("strength", "right"),
            Column("95%", narrow="whole"), Column("beats average", "right"), Column("above next", "right"),
            Column("won", "right"), Column("tied", "right"), Column("lost", "right"),
            Column("an answer", "right", drop=2), Column("in / out per Mtok", "right", drop=1),
        ),
        [
            (
                each.arm, *((_model(each),) if twice else ()), f"{each.strength:+.2f}",
                f"[{each.low:+.2f}, {each.high:+.2f}]", f"{each.beats_average:.0%}",
                "-" if each.above_next is None else f"{each.above_next:.0%}", f"{each.won:,}", f"{each.tied:,}",
                f"{each.lost:,}", "unknown" if each.usd_per_answer is None else _usd(each.usd_per_answer),
                "unknown" if each.input_usd_per_mtok is None
                else f"${each.input_usd_per_mtok:g} / ${each.output_usd_per_mtok:g}",
            )
            for each in strengths
        ],
        title=title,
    )  # fmt: skip


def _model(each: Strength) -> str:
    told = "" if each.instructions is None else f", told {each.instructions[:6]}"
    return f"{each.model or 'unknown'}{told}"


def _usd(value: float) -> str:
    return format_usd(nano_from_usd(round(value, 9)))


def _short(text: str | None, width: int = 60) -> str:
    if text is None:
        return "(not kept)"
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"
