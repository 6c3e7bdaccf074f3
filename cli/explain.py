"""A decision in words and numbers: one explanation for `ask -x`, `route` and the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrimp.profiles.money import format_usd, nano_from_usd
from scrimp.routing.text.compare import QUORUMS

from .result import Column, Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scrimp.routing.deciding.trace import Decision

__all__ = ["decision_blocks", "decision_line", "neighbour_table", "steps_table"]


def _usd(usd: float | None) -> str:
    if usd is None:
        return "-"
    return format_usd(nano_from_usd(usd)) if usd >= 0 else f"-{format_usd(nano_from_usd(-usd))}"


def decision_line(decision: Decision) -> str:
    """Return a decision in one line."""
    if decision.arm is None:
        return "no arm can take this prompt"
    if decision.plan is not None:
        expected = decision.plan["expected"]
        return (
            f"{decision.plan['text']}: predicted quality {expected['quality']:.0%}, "
            f"about {_usd(expected['cost_usd'])}, at most {_usd(expected['bound_usd'])}"
        )
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
    if choice.no_draw:
        lines.append(f"no propensity is logged: {choice.no_draw}")
    elif choice.explored:
        lines.append(f"explored: {choice.arm} was drawn, {choice.greedy} was the best")
    lines.append(
        f"router {decision.router_version}, distance from its training prompts: quantile {decision.ood:.2f}; "
        f"decision {decision.id}"
    )
    if decision.plan is None:
        return (table, "\n".join(lines))
    return (*_plan_blocks(decision.plan), table, "\n".join(lines))


def _plan_blocks(plan: Mapping[str, Any]) -> tuple[str | Table, ...]:
    """Return a plan drawn, what is known of its checks, and what it was weighed against."""
    drawing = ["plan" + (" (asked for)" if plan["asked_for"] else "") + ":"]
    for number, stage in enumerate(plan["stages"], start=1):
        calls = " and ".join(stage["arms"])
        how = {"vote": ", take a vote", "best": ", take the best by the checks"}.get(stage["how"], "")
        gate = stage["gate"]
        if gate is None:
            then = " -> that stands"
        elif gate in QUORUMS:
            then = f" -> if {'all answers' if gate == 'agree' else 'most answers'} say the same, that stands; else"
        else:
            then = f" -> if {'all checks pass' if gate == '*' else f'{gate} passes'}, that stands; else"
        given = " (given the failed answer)" if plan["repair"] and number > 1 else ""
        drawing.append(f"  {number}. ask {calls}{given}{how}{then}")
    drawing.append(
        f"  {plan['n_plans']} plans weighed"
        + (f", {plan['n_unpayable']} of which the caps could not pay to the end" if plan["n_unpayable"] else "")
    )
    blocks: list[str | Table] = ["\n".join(drawing)]
    if plan["checks"]:
        blocks.append(
            Table(
                (
                    Column("check"),
                    Column("passes right", "right"),
                    Column("passes wrong", "right"),
                    Column("known from"),
                ),
                [
                    (
                        name,
                        f"{power['passes_right']:.0%}",
                        f"{power['passes_wrong']:.0%}",
                        "a prior" if power["basis"] == "prior" else f"{power['n_right'] + power['n_wrong']} labels",
                    )
                    for name, power in plan["checks"].items()
                ],
            )
        )
    one = plan["one_arm"]
    rows = [("> ", plan["expected"])]
    if one is not None and one["plan"] != plan["text"]:
        rows.append(("  ", one))
    rows += [("  ", each) for each in plan["others"]]
    blocks.append(
        Table(
            (
                Column("  plan"), Column("quality", "right"), Column("cost", "right"), Column("at most", "right"),
                Column("calls", "right"), Column("utility", "right"), Column("why"),
            ),
            [
                (
                    mark + each["plan"],
                    f"{each['quality']:.2f}",
                    _usd(each["cost_usd"]),
                    _usd(each["bound_usd"]),
                    f"{each['calls']:.2f}",
                    f"{each['utility']:.5f}",
                    each["why"] or ("taken" if mark == "> " else "best of one arm" if each is one else "worth less"),
                )
                for mark, each in rows
            ],
        )
    )  # fmt: skip
    return tuple(blocks)


def steps_table(steps: Sequence[Mapping[str, Any]]) -> Table:
    """Return what happened at each step of a plan."""

    def verdicts(step: Mapping[str, Any]) -> str:
        said = [
            f"{each['check']}: {each['outcome']}" + (f" ({each['evidence']})" if each["evidence"] else "")
            for each in step["verdicts"]
        ]
        return "; ".join(said) or step["note"] or "-"

    return Table(
        (
            Column("step", "right"), Column("stage", "right"), Column("call"), Column("arm"), Column("outcome"),
            Column("charged", "right"), Column("verdicts"), Column("taken"),
        ),
        [
            (
                str(step["seq"]), str(step["stage"]), step["kind"], step["arm"], step["outcome"],
                _usd(step["charged_usd"] if "charged_usd" in step else step["charged_nano"] / 1e9),
                verdicts(step), "yes" if step["taken"] else "",
            )
            for step in steps
        ],
        title="steps",
    )  # fmt: skip


def neighbour_table(near: Sequence[Mapping[str, Any]]) -> Table:
    """Return the prompts of the log that are most like the one explained, and what came of them."""
    rows = []
    for each in near:
        text = "(not kept)" if each["prompt"] is None else " ".join(each["prompt"].split())
        labels = ", ".join(f"{arm} {reward:g}" for arm, reward in each["labels"].items()) or "-"
        short = text if len(text) <= 60 else text[:59] + "…"
        rows.append((each["id"], f"{each['similarity']:.2f}", each["arm"] or "-", labels, short))
    return Table(
        (Column("id"), Column("like", "right"), Column("arm"), Column("labels"), Column("prompt")),
        rows,
        title="nearest in the log",
    )
