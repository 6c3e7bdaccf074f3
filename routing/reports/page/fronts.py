"""The page's part about quality and cost: every arm, and which of them no other beats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrimp.routing.reports.survey import front
from scrimp.routing.text.in_words import counted

from .document import RATE, Cell, card, cards, empty, figure, keys, number, section, table
from .figures import count, share, share_interval, usd
from .planes import Dot, Scatter

if TYPE_CHECKING:
    from .markup import Markup
    from .overview import Overview

__all__ = ["fronts"]


def fronts(of: Overview) -> Markup:
    """Return the section about quality and cost."""
    about = (
        "An arm is on the front when no other is at least as good, as cheap and (where both are known) as quick, and "
        "better in one of them. Observed and predicted numbers are never compared with each other."
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
            each.arm,
            Cell(count(each.n), each.n),
            number(each.observed, f"{share(each.observed)} {share_interval(each.interval)}"),
            number(each.cost_usd, usd(each.cost_usd)),
            number(each.seconds, f"{each.seconds or 0:.2f} s"),
            Cell(count(each.n_weighed), each.n_weighed),
            number(each.predicted_quality, share(each.predicted_quality)),
            number(each.predicted_cost_usd, usd(each.predicted_cost_usd)),
            number(each.predicted_seconds, f"{each.predicted_seconds or 0:.2f} s"),
            ", ".join(
                word for word, names in (("observed", observed[1]), ("predicted", predicted[1])) if each.arm in names
            )
            or "-",
        )
        for each in of.survey.arms
    ]
    titles = (
        "arm", "answers", "right", "USD", "seconds", "weighed for", "predicted right", "USD", "seconds", "front",
    )  # fmt: skip
    numbers = card(
        "All arms",
        table(titles, rows),
        about="Observed: prompts that an arm answered alone, in no plan. Predicted: all that it was weighed for.",
        full=True,
    )
    return section("front", "Quality and cost", about, cards(observed[0], predicted[0], numbers))


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
        command = RATE if observed else 'scrimp route "a question"'
        then = (
            " says how good an answer was." if observed else " weighs all arms of the profile; `scrimp ask` keeps it."
        )
        return card(title, empty(word, command, then)), []
    best = front(known.items())
    intervals = {each.arm: each.interval for each in of.survey.arms}
    dots = []
    for arm, (right, cost, seconds) in known.items():
        low, high = (intervals[arm] or (None, None)) if observed else (None, None)
        quick = "" if seconds is None else f", {seconds:.2f} s"
        says = f"{arm}: {share(right)} right, {usd(cost)} an answer{quick}"
        dots.append(Dot(arm, cost or 0.0, right or 0.0, low, high, not observed, arm in best, says))
    about = (
        f"Cost in USD against the share of right answers, for {counted(len(dots), 'arm')}; on the front: "
        f"{', '.join(best)}."
    )
    chart = Scatter(title, about, dots, "right answers, %", "USD an answer, mean")
    said = (
        "Each arm on the prompts that it was given, with its 95% interval."
        if observed
        else "Means over the prompts that each arm was weighed for: of one profile the same prompts for all."
    )
    legend = keys(((("dot" if observed else "hollow"), "arm"), ("f3", f"front: {', '.join(best)}")))
    return figure(chart, name="observed" if observed else "predicted", about=said, legend=legend), best
