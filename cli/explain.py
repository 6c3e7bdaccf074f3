"""A decision in words and numbers: one explanation for `ask -x`, `route` and the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrimp.profiles.money import format_usd, nano_from_usd

from .result import Column, Table

if TYPE_CHECKING:
    from scrimp.routing.decide import Decision

__all__ = ["decision_blocks", "decision_line"]


def _usd(usd: float | None) -> str:
    if usd is None:
        return "-"
    return format_usd(nano_from_usd(usd)) if usd >= 0 else f"-{format_usd(nano_from_usd(-usd))}"


def decision_line(decision: Decision) -> str:
    """Return a decision in one line."""
    if decision.arm is None:
        return "no arm can take this prompt"
    taken = decision.choice.taken
    return (
        f"{taken.arm} ({taken.model}): predicted quality {taken.quality:.0%} ({taken.basis}), about "
        f"{format_usd(taken.cost_nano)}, at most {format_usd(taken.bound_nano)}"
    )


def decision_blocks(decision: Decision) -> tuple[str | Table, ...]:
    """Return a decision in full: every arm with its numbers, why, and where the choice would flip."""
    choice = decision.choice
    rows = []
    for weighed in choice.weighed:
        option = weighed.option
        flips = []
        if weighed.flip_cost_usd is not None:
            flips.append(f"{'above' if option.arm == choice.arm else 'below'} {_usd(weighed.flip_cost_usd)}")
        if weighed.flip_wtp_usd is not None:
            flips.append(f"wtp {_usd(weighed.flip_wtp_usd)}")
        rows.append(
            (
                ("> " if option.arm == choice.arm else "  ") + option.arm,
                f"{option.quality:.2f} [{option.quality_low:.2f}, {option.quality_high:.2f}] {option.basis}",
                f"{option.input_tokens:,}",
                f"{option.output_tokens_p50:,} / {option.output_tokens_p90:,}",
                format_usd(option.cost_nano) if option.cost_nano is not None else "unknown",
                format_usd(option.bound_nano) if option.bound_nano is not None else "unknown",
                "-" if weighed.utility_usd is None else f"{weighed.utility_usd:.5f}",
                "-" if choice.propensity is None else f"{weighed.probability:.3f}",
                weighed.why,
                ", ".join(flips) or "-",
            )
        )
    table = Table(
        columns=(
            Column("  arm"),
            Column("quality"),
            Column("tokens in", "right"),
            Column("out p50 / p90", "right"),
            Column("cost", "right"),
            Column("at most", "right"),
            Column("utility", "right"),
            Column("chance", "right"),
            Column("why"),
            Column("flips at"),
        ),
        rows=rows,
    )
    lines = [
        f"a right answer is worth {_usd(decision.wtp_usd)}; utility = that x quality - cost"
        + (
            f"; the cheapest arm of quality {decision.min_quality:g} or more is taken"
            if decision.min_quality > 0
            else ""
        )
    ]
    if decision.pace is not None:
        pace = decision.pace
        lines.append(
            f"pace: {pace.used:.0%} of the {pace.scope} cap is spent and {pace.gone:.0%} of the month gone"
            + (f"; what an answer is worth is lowered to {pace.factor:.0%}" if pace.factor < 1.0 else ", as it should")
        )
    if choice.guard:
        lines.append(f"guard: {choice.guard}; the default arm is taken")
    if choice.propensity_note:
        lines.append(f"no propensity is logged: {choice.propensity_note}")
    elif choice.explored:
        lines.append(f"explored: {choice.arm} was drawn, {choice.greedy} was the best")
    lines.append(
        f"router {decision.router_version}, distance from its training prompts: quantile {decision.ood:.2f}; "
        f"decision {decision.id}"
    )
    return (table, "\n".join(lines))
