"""The page's parts about quality: of arms and checks, predicted against observed, and the front of quality and cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrimp.profiles.money import usd_from_nano
from scrimp.routing.reports.quality import wilson
from scrimp.routing.reports.survey import front

from .charts import Dot, Mark, Reliability, Scatter, Whiskers
from .document import Cell, empty, figure, keys, number, section, table
from .figures import count, share, share_interval, usd
from .markup import Markup, tag

if TYPE_CHECKING:
    from scrimp.routing.reports.survey import ArmPoint, Kind

    from .overview import Overview

__all__ = ["calibration", "fronts", "quality", "readings"]

_RATE = "scrimp rate last good"


def quality(of: Overview) -> Markup:
    """Return the section about arms and checks."""
    about = (
        "An answer's worth is what a rating, an import, a probe or an audit says of it, else what its checks said, of "
        "those that can tell right from wrong. Intervals are Wilson's, at 95%."
    )
    arms = [each for each in of.quality.arms if each.n_known]
    parts = []
    if arms:
        marks = [
            Mark(each.arm, each.n_right / each.n_known, *(wilson(each.n_right, each.n_known) or (None, None)),
                 f"{share(each.success)} {share_interval(wilson(each.n_right, each.n_known))} of {each.n_known:,}")
            for each in sorted(arms, key=lambda each: (-(each.success or 0.0), each.arm))
        ]  # fmt: skip
        chart = Whiskers(
            "Right answers by arm",
            "A point for each arm: the share of right answers among those whose worth is known, with its 95% interval.",
            marks,
            "right answers, %",
            lambda each: f"{each:.0%}",
            fixed=True,
        )
        numbers = table(
            ("arm", "answers", "worth known", "right", "95% interval", "tokens an answer", "TEP"),
            [
                (
                    each.arm, Cell(count(each.n), each.n), Cell(count(each.n_known), each.n_known),
                    number(each.success, share(each.success)), share_interval(wilson(each.n_right, each.n_known)) or "-",
                    number(each.tokens, f"{each.tokens or 0:,.0f}"), Cell("-" if each.tep is None else f"{each.tep:.2f}", each.tep),
                )
                for each in of.quality.arms
            ],
        )  # fmt: skip
        said = "Each arm answered the prompts that it was given: harder ones for a stronger arm, so these do not compare arms."
        parts.append(figure(chart, name="quality", about=said, numbers=numbers))
    else:
        n = of.quality.n
        missing = f"Of {n:,} answers none has a known worth." if n else "Nothing was answered yet."
        then = " says how good an answer was; `--check` does so by itself." if n else " asks something."
        parts.append(tag("div", tag("h3", "Right answers by arm"), empty(missing, _RATE if n else 'scrimp ask "a question"', then), class_="card"))  # fmt: skip
    parts.append(_checks(of))
    return section("quality", "Quality", about, tag("div", *parts, class_="cards"))


def _checks(of: Overview) -> Markup:
    title = "Checks held against ratings"
    if not of.quality.checks:
        missing = "No answer was checked yet."
        return tag("div", tag("h3", title), empty(missing, "scrimp ask --check number:42 ...", " checks one."), class_="card")  # fmt: skip

    def measured(value: float | None, bounds: tuple[float, float] | None) -> Cell:
        return number(value, f"{share(value)} {share_interval(bounds)}")

    rows = [
        (
            each.check, Cell(count(each.n_pass), each.n_pass), Cell(count(each.n_fail), each.n_fail),
            Cell(count(each.n_abstain), each.n_abstain), Cell(count(each.n_labelled), each.n_labelled),
            measured(each.precision, each.precision_interval), measured(each.recall, each.recall_interval),
        )
        for each in of.quality.checks
    ]  # fmt: skip
    about = "Precision: of what passed, how much was right. Recall: of what was right, how much passed."
    return tag(
        "div",
        tag("h3", title),
        tag("p", about, class_="about"),
        table(("check", "pass", "fail", "abstain", "labelled", "precision", "recall"), rows),
        class_="card",
    )


def calibration(of: Overview) -> Markup:
    """Return the section about what was predicted and what came."""
    about = "When a quality of 80% is predicted, 80% of such answers should be right. Points below the line promised too much."
    parts = []
    found = of.calibration
    if found is None:
        seen = "No answer of known worth has a decision in the log yet."
        parts.append(tag("div", tag("h3", "Predicted and observed quality"), empty(seen, _RATE, " makes one, where log.keep is not money."), class_="card"))  # fmt: skip
    else:
        bases = ", ".join(f"{n:,} {name or 'of unknown basis'}" for name, n in sorted(found.bases.items()))
        chart = Reliability(
            "Predicted and observed quality",
            f"Expected calibration error {found.ece:.3f} over {found.n:,} answers; a point on the diagonal was predicted right.",
            [(each.predicted, each.observed, each.low, each.high, each.n) for each in found.bins],
            "observed, % right",
            "predicted when it was asked, % right",
        )
        numbers = table(
            ("predicted", "observed", "95% interval", "answers"),
            [
                (
                    Cell(share(each.predicted), each.predicted), Cell(share(each.observed), each.observed),
                    share_interval((each.low, each.high)), Cell(count(each.n), each.n),
                )
                for each in found.bins
            ],
        )  # fmt: skip
        said = (
            f"Expected calibration error {found.ece:.3f}, Brier {found.brier:.3f}, over {found.n:,} answers ({bases})."
        )
        parts.append(figure(chart, name="calibration", about=said, numbers=numbers))
    parts.append(_expectations(of))
    return section("calibration", "Calibration", about, tag("div", *parts, class_="cards"))


def _expectations(of: Overview) -> Markup:
    title = "Lengths and times: did the 90th percentile hold?"
    if not of.expectations:
        missing = "No call has a predicted length or time on record."
        return tag("div", tag("h3", title), empty(missing, 'scrimp ask "a question"', " makes one."), class_="card")

    def held(k: int, n: int) -> Cell:
        return number(k / n if n else None, f"{share(k / n if n else None)} {share_interval(wilson(k, n))} of {n:,}")

    rows = [
        (each["arm"], held(each["n_within"], each["n_lengths"]), held(each["n_in_time"], each["n_times"]))
        for each in of.expectations
    ]
    about = "The share of calls that stayed within what was predicted for nine in ten; 90% is right. Cut answers are left out."
    return tag(
        "div",
        tag("h3", title),
        tag("p", about, class_="about"),
        table(("arm", "output tokens", "seconds"), rows),
        class_="card",
    )


def _place(each: ArmPoint) -> tuple[float | None, float | None, float | None, bool]:
    """Return quality, cost and seconds of an arm: as observed where all of it is, else as predicted."""
    if each.observed is not None and each.cost_usd is not None:
        return each.observed, each.cost_usd, each.seconds, False
    return each.predicted_quality, each.predicted_cost_usd, each.predicted_seconds, True


def fronts(of: Overview) -> Markup:
    """Return the section about quality and cost."""
    about = (
        "An arm is on the front when no other is at least as good, as cheap and (where both are known) as quick, and better "
        "in one of them. Observed and predicted numbers are never compared with each other."
    )
    if not of.survey.arms:
        return section(
            "front",
            "Quality and cost",
            about,
            empty("No decision is in the log yet.", 'scrimp ask "a question"', " makes one."),
        )
    observed, predicted = _front(of, observed=True), _front(of, observed=False)
    rows = [
        (
            each.arm, Cell(count(each.n), each.n),
            number(each.observed, f"{share(each.observed)} {share_interval(each.interval)}"),
            number(each.cost_usd, usd(each.cost_usd)), number(each.seconds, f"{each.seconds or 0:.2f} s"),
            Cell(count(each.n_weighed), each.n_weighed), number(each.predicted_quality, share(each.predicted_quality)),
            number(each.predicted_cost_usd, usd(each.predicted_cost_usd)),
            number(each.predicted_seconds, f"{each.predicted_seconds or 0:.2f} s"),
            ", ".join(word for word, names in (("observed", observed[1]), ("predicted", predicted[1])) if each.arm in names) or "-",
        )
        for each in of.survey.arms
    ]  # fmt: skip
    titles = (
        "arm",
        "answers",
        "right",
        "USD an answer",
        "median seconds",
        "weighed for",
        "predicted right",
        "predicted USD",
        "predicted seconds",
        "on the front",
    )
    numbers = tag(
        "div",
        tag("h3", "All arms"),
        tag("p", "Observed: prompts that an arm answered alone, in no plan. Predicted: every prompt that it was weighed for.", class_="about"),
        table(titles, rows),
        class_="card full",
    )  # fmt: skip
    return section("front", "Quality and cost", about, tag("div", observed[0], predicted[0], numbers, class_="cards"))


def _front(of: Overview, *, observed: bool) -> tuple[Markup, list[str]]:
    """Return the chart of what was observed, or predicted, and the names on its front."""
    title = (
        "Observed: quality and cost of an answer" if observed else "Predicted: quality and cost for the same prompts"
    )
    places = {
        each.arm: (each.observed, each.cost_usd, each.seconds)
        if observed
        else (each.predicted_quality, each.predicted_cost_usd, each.predicted_seconds)
        for each in of.survey.arms
    }
    known = {arm: values for arm, values in places.items() if values[0] is not None and values[1] is not None}
    if not known:
        word = (
            "No arm has both a price and answers of known worth."
            if observed
            else "No arm was weighed with a known price."
        )
        command = _RATE if observed else 'scrimp route "a question"'
        then = (
            " says how good an answer was." if observed else " weighs all arms of the profile; `scrimp ask` keeps it."
        )
        return tag("div", tag("h3", title), empty(word, command, then), class_="card"), []
    best = front(known.items())
    intervals = {each.arm: each.interval for each in of.survey.arms}
    dots = []
    for arm, (right, cost, seconds) in known.items():
        low, high = (intervals[arm] or (None, None)) if observed else (None, None)
        quick = "" if seconds is None else f", {seconds:.2f} s"
        says = f"{arm}: {share(right)} right, {usd(cost)} an answer{quick}"
        dots.append(Dot(arm, cost or 0.0, right or 0.0, low, high, not observed, arm in best, says))
    about = f"Cost in USD against the share of right answers, for {len(dots)} arms; on the front: {', '.join(best)}."
    chart = Scatter(title, about, dots, "right answers, %", "USD an answer, mean")
    said = (
        "Each arm on the prompts that it was given, with its 95% interval."
        if observed
        else "Means over the prompts that each arm was weighed for: of one profile the same prompts for all."
    )
    legend = keys(((("dot" if observed else "hollow"), "arm"), ("f3", f"front: {', '.join(best)}")))
    return figure(chart, name="observed" if observed else "predicted", about=said, legend=legend), best


def readings(of: Overview) -> Markup | None:
    """Return the section about files and conversations; None where nothing was asked of any."""
    found = of.survey
    if not found.readings and not found.memory:
        return None
    parts = []

    def row(each: Kind) -> tuple[str | Cell, ...]:
        bounds = wilson(each.n_right, each.n_known)
        right = each.n_right / each.n_known if each.n_known else None
        mean = usd_from_nano(each.charged_nano) / each.n
        return (
            each.name,
            Cell(count(each.n), each.n),
            number(right, f"{share(right)} {share_interval(bounds)}"),
            Cell(usd(mean), mean),
        )

    if found.readings:
        parts.append(
            tag("div", tag("h3", "Files: how much was read"), table(("reading", "answers", "right", "USD an answer"), [row(each) for each in found.readings]), class_="card")
        )  # fmt: skip
    if found.memory:
        rows = [
            (
                *row(each),
                Cell(f"{each.n_tokens:,} of {each.n_all:,}", each.n_tokens / each.n_all if each.n_all else None),
            )
            for each in found.memory
        ]
        parts.append(
            tag("div", tag("h3", "Conversations: how much went along"), table(("memory", "answers", "right", "USD an answer", "tokens sent"), rows), class_="card")
        )  # fmt: skip
    return section(
        "readings",
        "Files and conversations",
        "How much of files and of earlier turns was sent, and what came of it.",
        tag("div", *parts, class_="cards"),
    )
