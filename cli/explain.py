"""A decision in words and numbers: one explanation for `ask -x`, `route` and the log."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from scrimp.profiles.money import format_usd, nano_from_usd
from scrimp.profiles.rungs import bare_of, reading_of
from scrimp.routing.text.compare import QUORUMS
from scrimp.routing.text.in_words import counted, distance_in_words, level_in_words, percent, seconds_in_words

from .result import Column, Note, Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from scrimp.routing.deciding.policy import Weighed
    from scrimp.routing.deciding.trace import Decision

    from .result import Block

__all__ = ["asked_as", "decision_blocks", "decision_line", "hint_line", "neighbour_table", "split_line", "steps_table"]


def _usd(usd: float | None) -> str:
    if usd is None:
        return "-"
    return format_usd(nano_from_usd(usd)) if usd >= 0 else f"-{format_usd(nano_from_usd(-usd))}"


def decision_line(decision: Decision) -> str:
    """Return a decision in one line."""
    if decision.arm is None:
        held = next((each.why for each in decision.guards if each.outcome == "refused"), None)
        return "no arm can take this prompt" if held is None else held
    if decision.plan is not None:
        expected = decision.plan["expected"]
        return (
            f"{decision.plan['text']}: predicted quality {percent(expected['quality'])}, "
            f"about {_usd(expected['cost_usd'])}, at most {_usd(expected['bound_usd'])}"
        )
    taken = decision.choice.taken
    return (
        f"{taken.arm} ({taken.model}): predicted quality {percent(taken.quality)} ({100 * taken.quality_low:.0f} to "
        f"{taken.quality_high:.0%}, {taken.rests_on or taken.basis}), about {format_usd(taken.cost_nano)}, at most "
        f"{format_usd(taken.bound_nano)}"
    )


def split_line(decision: Decision) -> str | None:
    """Return in words what is forecast of a text that is read piece by piece; None where none is."""
    split = None if decision.plan is None else decision.plan.get("split")
    if split is None:
        return None
    merged = "by code" if split["merge"] == "code" else f"by {split['merge']}"
    return (
        f"{split['pieces']} pieces of at most about {split['piece_tokens']:,} tokens, merged {merged}; "
        f"{percent(split['wrong'])} of them likely answered wrongly; "
        + ("how long that takes is not known yet" if split["seconds"] is None else f"about {split['seconds']:.0f} s")
    )


def hint_line(row: Mapping[str, Any]) -> str:
    """Return in words which hint stood in front of a prompt, from the columns of `requests`."""
    near = "" if row["hint_similarity"] is None else f", similarity {row['hint_similarity']:.2f}"
    if row["hinted"] is None:
        return f"no hint in front: the nearest, {row['hint']}, is too far{near}"
    if row["hint_propensity"] is None:
        return f"hint in front: {row['hint']}, asked for by name"
    drawn = f"{near}, by a draw of chance {row['hint_propensity']:g}"
    return f"hint {'in front' if row['hinted'] else 'kept back'}: {row['hint']}{drawn}"


def decision_blocks(decision: Decision, *, explain: bool = False) -> tuple[Block, ...]:
    """Return a decision: every arm with its numbers, and in words what the choice turned on.

    Parameters
    ----------
    explain
        Show all numbers on a terminal too narrow for them, in further tables; else those that fit beside the rest.
    """
    plan = () if decision.plan is None else _plan_blocks(decision.plan, explain=explain)
    weighed = (_weighed_plans(decision),) if decision.plans else ()
    return (*plan, _arm_table(decision, explain=explain), *weighed, *_notes(decision, explain=explain))


def _weighed_plans(decision: Decision) -> Table:
    """Return the profile's plans that were weighed against the arm."""
    taken = None if decision.plan is None else decision.plan["name"]
    return Table(
        (
            Column("  plan"), Column("quality", "right"), Column("cost", "right"), Column("at most", "right"),
            Column("why", narrow="below"), Column("for this prompt", narrow="below"),
        ),
        [
            (
                ("> " if each["name"] == taken else "  ") + each["name"],
                percent(each["quality"]),
                _usd(each["cost_usd"]),
                _usd(each["bound_usd"]),
                each["why"] or ("taken" if each["name"] == taken else "worth less"),
                each["plan"],
            )
            for each in decision.plans
        ],
    )  # fmt: skip


def _arm_table(decision: Decision, *, explain: bool) -> Table:
    choice = decision.choice
    weighed = choice.weighed
    options = [each.option for each in weighed]
    more = partial(Column, narrow="apart") if explain else partial(Column, drop=1)
    read = any(reading_of(option.arm) for option in options)
    timed = any(option.seconds is not None or option.first_s is not None for option in options)
    in_tokens = (
        Column("tokens in", "right") if read else more("tokens in", "right"),
        [f"{option.input_tokens:,}" for option in options],
    )
    table: list[tuple[Column, list[str]]] = [
        (Column("  arm"), [("> " if option.arm == choice.arm else "  ") + option.arm for option in options]),
        *([in_tokens] if read else []),  # how much each reading sends stands beside what it costs
        (
            Column("quality", narrow="whole"),
            [f"{percent(o.quality)} {100 * o.quality_low:.0f}-{100 * o.quality_high:.0f}" for o in options],
        ),
        (
            more("rests on") if read else Column("rests on", narrow="once"),
            [option.rests_on or "-" for option in options],
        ),
        (Column("cost", "right"), [format_usd(option.cost_nano) for option in options]),
        (Column("at most", "right"), [format_usd(option.bound_nano) for option in options]),
    ]
    if timed:
        table.append((Column("1st word", "right"), [seconds_in_words(option.first_s) for option in options]))
        table.append((Column("all", "right"), [seconds_in_words(option.seconds) for option in options]))
    table.append(
        (
            Column("why", narrow="below"),
            [f"{each.why}; {each.option.near}" if each.option.near else each.why for each in weighed],
        )
    )
    table += [] if read else [in_tokens]
    lengths = [f"{option.output_tokens_p50:,} / {option.output_tokens_p90:,}" for option in options]
    table.append((more("out p50 / p90", "right"), lengths))
    if timed:
        longest = [seconds_in_words(option.seconds_p90) for option in options]
        table.append((more("all p90", "right"), longest))
    if any(option.terms for option in options):
        terms = [", ".join(f"{name} {_usd(usd)}" for name, usd in option.terms.items()) or "-" for option in options]
        table.append((more("held against it"), terms))
    table += [
        (
            more("utility", "right"),
            ["-" if each.utility_usd is None else f"{each.utility_usd:.5f}" for each in weighed],
        ),
        (
            more("chance", "right"),
            ["-" if choice.propensity is None else f"{each.probability:.3f}" for each in weighed],
        ),
        (more("flips at"), [_flips(each, taken=each.option.arm == choice.arm) for each in weighed]),
        # What it rests on says as much, but to a pipe.
        (Column("basis", narrow="pipe"), [option.basis for option in options]),
    ]
    columns, cells = zip(*table, strict=True)
    return Table(columns, list(zip(*cells, strict=True)))


def _flips(weighed: Weighed, *, taken: bool) -> str:
    flips = []
    if weighed.flip_cost_usd is not None:
        flips.append(f"{'above' if taken else 'below'} {_usd(weighed.flip_cost_usd)}")
    if weighed.flip_wtp_usd is not None:
        flips.append(f"wtp {_usd(weighed.flip_wtp_usd)}")
    return ", ".join(flips) or "-"


def _notes(decision: Decision, *, explain: bool) -> Iterator[Note]:
    """Yield what a decision turned on, a sentence each."""
    choice, worth = decision.choice, _usd(decision.wtp_usd)
    if decision.level is not None:
        yield Note(f"difficulty: {level_in_words(decision.level)}")
    if explain:
        yield Note("quality: the chance of a right answer, and the range it lies in 4 times in 5")
        if decision.similarity is not None:
            yield Note(
                f"how far that holds: similarity {decision.similarity:.2f} to the nearest training prompt, distance "
                f"quantile {decision.ood:.2f} (1: farther than all prompts that were kept apart)"
            )
        seen: dict[str, str] = {}
        for option in (each.option for each in choice.weighed):
            seen.setdefault(bare_of(option.arm), option.length_by)
        if own := [f"{arm} {words}" for arm, words in seen.items() if words]:
            rest = "; all others on the router's prediction" if len(own) < len(seen) else ""
            yield Note(f"output lengths rest on: {'; '.join(own)}{rest}")
        else:
            yield Note("output lengths rest on the router's prediction: no arm has calls on record that tell")
    if decision.min_quality > 0:
        least = f"{100 * decision.min_quality:g}%"
        yield Note(f"a right answer is worth {worth}; best is the cheapest arm of quality {least} or more")
    else:
        less = "".join(f" - {name}" for name in {name: 0 for each in choice.weighed for name in each.option.terms})
        yield Note(f"a right answer is worth {worth}; best is the greatest {worth} x quality - cost{less}")
    if decision.against is not None:
        yield Note(f"against {decision.against.arm}: {_parts(decision)}")
    if decision.brief:
        yield Note("brief: a line of system text asks for a short answer (docs/front.md)")
    for arm, missing in decision.assumed.items() if explain else ():
        said = " and ".join({"size": "size", "recency": "release"}.get(each, each) for each in missing)
        yield Note(f"{arm} does not say its {said}: it is taken to be like the worst that does")
    if decision.turned is not None and not decision.turned["in_tool_loop"]:
        weight, cached = decision.turned["weight"], decision.turned["n_cached"]
        kept = f"; {decision.turned['arm']} has {cached:,} tokens of it cached" if cached else ""
        counts = "" if weight == 1.0 else f": this turn counts {weight:.0%}, what went before the rest"
        yield Note(f"a conversation goes on{counts}{kept}")
    if decision.turned is None:
        for option in (each.option for each in choice.weighed):
            if option.cached_tokens:
                yield Note(
                    f"{option.arm} is expected to read {option.cached_tokens:,} tokens from its provider's cache"
                )
    if decision.pace is not None:
        pace = decision.pace
        yield Note(
            f"pace: {pace.used:.0%} of the {pace.scope} cap is spent and {pace.gone:.0%} of the month gone"
            + (f"; what an answer is worth is lowered to {pace.factor:.0%}" if pace.factor < 1.0 else ", as it should")
        )
    for found in decision.guards:
        passed = " (passed)" if found.outcome == "passed" else ""
        yield Note(f"{found.guard}: {found.why}{passed}")
    if (other := decision.rephrase) is not None:
        cost = "bought before" if other["bought_before"] else f"at most {_usd(other['bound_usd'])}"
        yield Note(f"first {other['arm']} puts it into other words, {other['n']} ways, {cost}")
    if choice.guard:
        yield Note(f"guard: {choice.guard}; the default arm is taken")
    if choice.no_draw:
        yield Note(f"no propensity (the chance of this choice) is logged: {choice.no_draw}")
    elif choice.explored:
        yield Note(f"explored: {choice.arm} was drawn by chance, to learn from; {choice.greedy} was the best")
    trained = any(weighed.option.basis != "uncalibrated" for weighed in choice.weighed)
    like = f": this prompt is {distance_in_words(decision.ood)}" if trained else ", which has no training prompts"
    yield Note(f"router {decision.router_version}{like}")
    yield Note(f"decision {decision.id}")


def _parts(decision: Decision) -> str:
    """Return what sets the arm taken and the next best apart, in whole percent that add up to 100."""
    shares = decision.shares
    if shares is None:
        return "the same price, the same quality"
    ends = [round(100 * sum(list(shares.values())[: n + 1])) for n in range(len(shares))]
    parts = zip(shares, ends, [0, *ends], strict=False)
    return ", ".join(f"{end - before}% {name}" for name, end, before in parts)


def _plan_blocks(plan: Mapping[str, Any], *, explain: bool) -> tuple[Block, ...]:
    """Return a plan drawn, what is known of its checks, and what it was weighed against."""
    name = plan.get("name")
    drawing = ["plan" + (f" {name}" if name else "") + (" (asked for)" if plan["asked_for"] else "") + ":"]
    drawing += [f"  {pick} is {', '.join(arms)}" for pick, arms in plan.get("recruited", {}).items()]
    for number, stage in enumerate(plan["stages"], start=1):
        gate = stage["gate"]
        if gate is None:
            then = " -> that stands"
        elif gate in QUORUMS:
            then = f" -> if {'all answers' if gate == 'agree' else 'most answers'} say the same, that stands; else"
        else:
            then = f" -> if {'all checks pass' if gate == '*' else f'{gate} passes'}, that stands; else"
        given = " (given the failed answer)" if plan["repair"] and number > 1 else ""
        drawing.append(f"  {number}. {_stage_in_words(stage)}{given}{then}")
    drawing.append(
        f"  {counted(plan['n_plans'], 'plan')} weighed"
        + (f", {plan['n_unpayable']} of which the caps could not pay to the end" if plan["n_unpayable"] else "")
    )
    if (bids := plan.get("bids")) is not None:
        drawing.append(f"  what arms give one another's plans counts {percent(bids['trust'])} beside predicted quality")
    blocks: list[Block] = [Note(line) for line in drawing]
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
                        "a prior"
                        if power["basis"] == "prior"
                        else f"{counted(power['n_right'] + power['n_wrong'], 'label')}",
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
    more = partial(Column, narrow="apart") if explain else partial(Column, drop=1)
    blocks.append(
        Table(
            (
                Column("  plan"), Column("quality", "right"), Column("cost", "right"), Column("at most", "right"),
                Column("why", narrow="below"), more("calls", "right"), more("utility", "right"),
            ),
            [
                (
                    mark + each["plan"],
                    percent(each["quality"]),
                    _usd(each["cost_usd"]),
                    _usd(each["bound_usd"]),
                    each["why"] or ("taken" if mark == "> " else "best arm" if each is one else "worth less"),
                    f"{each['calls']:.2f}",
                    f"{each['utility']:.5f}",
                )
                for mark, each in rows
            ],
        )
    )  # fmt: skip
    return tuple(blocks)


def _stage_in_words(stage: Mapping[str, Any]) -> str:
    """Return what a stage asks, and what becomes of the answers."""
    arms, by = " and ".join(stage["arms"]), stage.get("by", ())
    if stage["how"] == "lead":
        return f"{by[0]} answers, and may first ask {arms} what it likes"
    then = {
        "vote": ", take a vote",
        "best": ", take the best by the checks",
        "merge": ", have " + ", then ".join(by) + " write one answer from that",
        "bid": " for a short plan each, have the best one for its price carried out",
        "split": f", piece by piece ({counted(stage.get('pieces', 0), 'piece')})"
        + (f", have {''.join(by)} write one answer from that" if by else ", put together by code"),
        "knockout": ", have " + "".join(by) + " drop the worst until one is left",
    }
    return f"ask {arms}{then.get(stage['how'], '')}"


def asked_as(decision: Decision | None, steps: Sequence[Mapping[str, Any]]) -> str | None:
    """Return in which words a question was asked, from the steps of the log; None where as it was put, or not kept."""
    if decision is None or decision.rephrase is None:
        return None
    return next((step["asked"] for step in steps if step["kind"] == "ask"), None)


def steps_table(steps: Sequence[Mapping[str, Any]]) -> Table:
    """Return what happened at each step of a plan."""

    def verdicts(step: Mapping[str, Any]) -> str:
        said = [
            f"{each['check']}: {each['evidence']}"
            if step["kind"] in ("bid", "rephrase") and each["evidence"]
            else f"{each['check']}: {each['outcome']}" + (f" ({each['evidence']})" if each["evidence"] else "")
            for each in step["verdicts"]
        ]
        return "; ".join(said) or step["note"] or "-"

    return Table(
        (
            Column("step", "right"), Column("stage", "right"), Column("call"), Column("arm"), Column("outcome"),
            Column("charged", "right"), Column("verdicts", narrow="below"), Column("taken"),
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
        (Column("id"), Column("like", "right"), Column("arm"), Column("labels"), Column("prompt", narrow="below")),
        rows,
        title="nearest in the log",
    )
