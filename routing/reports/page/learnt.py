"""The page's parts about plans, duels, refits and guards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from scrimp.routing.text.in_words import counted

from .bars import Bars, Mark, Part, Row, Whiskers
from .document import Cell, card, cards, empty, figure, keys, number, section, table
from .figures import clip, count, money, share, short_usd, signed, usd
from .markup import NOTHING, Markup, tag

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrimp.routing.reports.refits import Refitted

    from .overview import Overview

__all__ = ["duels", "guards", "plans", "refits"]

_STAGES: Final = ("f1", "f2", "f3", "f4", "f5", "f6")

_OUTCOMES: Final = {"passed": "even", "warned": "note", "changed": "f1", "refused": "bad"}

_VERDICTS: Final = {"promoted": "good", "refused": "bad", "no-change": "even"}

_REFITS: Final = 20
"""Refits that are drawn, the latest."""


def plans(of: Overview) -> Markup:
    """Return the section about plans of several stages."""
    about = (
        "How often the answer of each stage was the one given. Saved: what the stages after it would have cost, by "
        "their mean in runs of the same plan that reached them."
    )
    if not of.plans:
        missing = "No plan of several stages ran."
        return section(
            "plans", "Plans", about, empty(missing, "scrimp ask --cascade ...", " chooses one where it pays.")
        )
    rows = []
    for each in of.plans:
        saved = "saved: unknown" if each.saved_nano is None else f"saved {money(each.saved_nano)}"
        stopped = [Part(n, _STAGES[(stage - 1) % 6], f"stage {stage}: {n:,}") for stage, n in each.stopped.items()]
        failed = Part(each.n_failed, "even", f"no answer: {each.n_failed:,}")
        rows.append(
            Row(each.name or each.text, f"{counted(each.n, 'run')} · {saved}", [*stopped, failed], whole=float(each.n))
        )
    last = max(stage for each in of.plans for stage in (*each.stopped, 1))
    chart = Bars(
        "Where plans stopped",
        "A bar for each plan, in parts by the stage whose answer was given.",
        rows,
        "share of runs, by the stage that they stopped at",
    )
    numbers = table(
        ("plan", "spelled", "runs", "no answer", "stopped at", "charged", "saved", "not compared"),
        [
            (
                each.name or "-",
                each.text,
                Cell(count(each.n), each.n),
                Cell(count(each.n_failed), each.n_failed),
                ", ".join(f"{stage}: {n:,}" for stage, n in each.stopped.items()) or "-",
                Cell(money(each.charged_nano), float(each.charged_nano)),
                number(None if each.saved_nano is None else float(each.saved_nano), money(each.saved_nano)),
                Cell(count(each.n_unknown), each.n_unknown),
            )
            for each in of.plans
        ],
        long=(1,),
    )
    legend = keys([*((_STAGES[i % 6], f"stage {i + 1}") for i in range(last)), ("even", "no answer")])
    drawn = figure(chart, name="plans", numbers=numbers, full=True, legend=legend)
    return section("plans", "Plans", about, cards(drawn))


def duels(of: Overview) -> Markup:
    """Return the section about duels."""
    about = (
        "Which arm's answer was preferred when two stood unnamed side by side: strengths of the Bradley-Terry model "
        "with ties, freed from which side they stood on, with 95% intervals."
    )
    found = of.duels
    if not found.get("n"):
        return section(
            "duels", "Duels", about, empty("No duel was judged yet.", 'scrimp duel "a question"', " asks two arms.")
        )
    strengths: list[Mapping[str, Any]] = list(found["strengths"])
    names = [each["arm"] for each in strengths]
    marks = [
        Mark(
            each["arm"] if names.count(each["arm"]) == 1 else f"{each['arm']} ({each['model'] or 'model unknown'})",
            each["strength"],
            each["low"],
            each["high"],
            f"{signed(each['strength'])} · {each['won']:,} won, {each['tied']:,} tied, {each['lost']:,} lost",
        )
        for each in strengths
    ]
    chart = Whiskers(
        "Strength by preference",
        f"A point for each arm from {found['n']:,} duels: strength in logits above the mean, with its 95% interval.",
        marks,
        "logits above the mean of all arms",
        lambda each: signed(each, 1) if each else "0",
        low=-0.5,
        high=0.5,
        line=0.0,
    )
    numbers = table(
        (
            "arm",
            "model",
            "strength",
            "low",
            "high",
            "beats average",
            "above next",
            "won",
            "tied",
            "lost",
            "USD an answer",
        ),
        [
            (
                each["arm"],
                each["model"] or "unknown",
                *(Cell(signed(each[key]), each[key]) for key in ("strength", "low", "high")),
                Cell(share(each["beats_average"]), each["beats_average"]),
                Cell("-" if each["above_next"] is None else share(each["above_next"]), each["above_next"]),
                *(Cell(count(each[key]), each[key]) for key in ("won", "tied", "lost")),
                number(each["usd_per_answer"], usd(each["usd_per_answer"])),
            )
            for each in strengths
        ],
    )
    side = found.get("side")
    notes = [f"{note[:1].upper()}{note[1:]}." for note in found.get("notes", ())]
    if side:
        sure = "" if side["low"] > 0 or side["high"] < 0 else ", which may be none"
        bounds = f"[{signed(side['low'])}, {signed(side['high'])}]"
        notes.insert(
            0,
            f"Side bias {signed(side['bias'])} logits {bounds} for the left{sure}.",
        )
    drawn = figure(chart, name="duels", about=" ".join(notes), numbers=numbers, full=True)
    return section("duels", "Duels", about, cards(drawn))


def refits(of: Overview) -> Markup:
    """Return the section about refits."""
    about = (
        "Each refit is a test: what the new router would have gained in utility over the one in force, on outcomes "
        "that it had not seen, with the interval of that test. It is promoted only if the whole interval lies above 0."
    )
    force = tag("p", "In force: ", tag("code", of.router), ".")
    if not of.refits:
        return section(
            "refits",
            "Refits",
            about,
            force,
            empty("No refit is on record.", "scrimp refit", " makes one, once there are labels."),
        )
    drawn = [each for each in of.refits if each.gain is not None][-_REFITS:]
    parts = []
    if drawn:
        marks = [
            Mark(
                f"{each.at[:10]} {each.version or ''} {each.verdict}{' (forced)' if each.forced else ''}".replace(
                    "  ", " "
                ),
                1000.0 * (each.gain or 0.0),
                _thousand(each.low),
                _thousand(each.high),
                _gain(each),
                _VERDICTS.get(each.verdict, "even"),
            )
            for each in drawn
        ]
        chart = Whiskers(
            "Gain of each refit",
            "A point for each refit: utility gained over the router in force, USD for 1,000 prompts, and its interval.",
            marks,
            "USD of utility gained for 1,000 prompts",
            short_usd,
            low=0.0,
            high=0.0,
            line=0.0,
        )
        legend = keys((("good", "promoted"), ("bad", "refused"), ("even", "no change")))
        parts.append(figure(chart, name="refits", full=True, legend=legend))
    numbers = table(
        ("when (UTC)", "profile", "verdict", "version", "gain, USD for 1,000 prompts", "labels", "judged on", "why"),
        [
            (
                each.at[:16].replace("T", " "),
                each.profile,
                each.verdict + (" (forced)" if each.forced else ""),
                each.version or "-",
                number(each.gain, _gain(each)),
                number(each.n_labels, count(each.n_labels)),
                number(each.n_judged, count(each.n_judged)),
                "; ".join(each.reasons[:2]) or "-",
            )
            for each in reversed(of.refits)
        ],
        long=(7,),
    )
    parts.append(card("All refits", numbers, full=True))
    return section("refits", "Refits", about, force, cards(*parts))


def _thousand(value: float | None) -> float | None:
    return None if value is None else 1000.0 * value


def _gain(each: Refitted) -> str:
    if each.gain is None:
        return "unknown"
    told = _dollars(each.gain)
    return told if each.low is None or each.high is None else f"{told} [{_dollars(each.low)}, {_dollars(each.high)}]"


def _dollars(value: float) -> str:
    thousand = 1000.0 * value
    return f"{'+' if thousand >= 0 else chr(0x2212)}${abs(thousand):.2f}"


def guards(of: Overview) -> Markup:
    """Return the section about guards."""
    about = (
        "What looks at a prompt before it leaves: how often each guard let it pass, warned, changed how or where it "
        "went, or refused it."
    )
    found = of.survey.guards
    if not found:
        return section(
            "guards",
            "Guards",
            about,
            empty(
                "No guard is on record in these decisions.",
                "scrimp ask --private warn ...",
                " has one look; `[guard]` in a profile keeps them on.",
            ),
        )
    names = [*dict.fromkeys(guard for guard, _ in found)]
    rows = []
    for guard in names:
        mine = {outcome: n for (each, outcome), n in found.items() if each == guard}
        told = ", ".join(f"{n:,} {outcome}" for outcome, n in mine.items())
        parts = [Part(n, _OUTCOMES.get(outcome, "rest"), f"{outcome}: {n:,}") for outcome, n in mine.items()]
        rows.append(Row(guard, told, parts, whole=float(sum(mine.values()))))
    chart = Bars(
        "What guards did",
        "A bar for each guard, in parts by what became of the prompts.",
        rows,
        "share of the prompts that it looked at",
    )
    numbers = table(
        ("guard", "outcome", "prompts"), [(guard, outcome, Cell(count(n), n)) for (guard, outcome), n in found.items()]
    )
    drawn = figure(
        chart,
        name="guards",
        numbers=numbers,
        full=True,
        legend=keys([(colour, name) for name, colour in _OUTCOMES.items()]),
    )
    events = NOTHING
    if of.survey.events:
        rows_ = [
            (
                each.at[:16].replace("T", " "),
                each.guard,
                each.outcome,
                clip(each.why, 2000.0),
                tag("code", each.request_id),
            )
            for each in of.survey.events
        ]
        events = card(
            "The latest that were not let pass",
            table(("when (UTC)", "guard", "outcome", "why", "request"), rows_, long=(3,)),
            full=True,
        )
    return section("guards", "Guards", about, cards(drawn, events))
