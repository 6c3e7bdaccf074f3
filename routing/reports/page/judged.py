"""The page's parts about quality: of arms and checks, predicted against observed, and the front of quality and cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from scrimp.profiles.money import usd_from_nano
from scrimp.routing.reports.quality import wilson
from scrimp.routing.text.in_words import counted

from .bars import Mark, Whiskers
from .document import RATE, Cell, card, cards, empty, figure, number, section, table
from .figures import count, share, share_interval, usd
from .markup import NOTHING, tag
from .planes import Reliability

if TYPE_CHECKING:
    from scrimp.routing.reports.quality import CheckReport
    from scrimp.routing.reports.survey import Kind

    from .markup import Markup
    from .overview import Overview

__all__ = ["calibration", "quality", "readings"]

_CHECKS: Final = 8
"""Checks that are shown at once: those that most is known of."""


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
            Mark(
                each.arm,
                each.n_right / each.n_known,
                *_ends(wilson(each.n_right, each.n_known)),
                f"{share(each.success)} {share_interval(wilson(each.n_right, each.n_known))} of {each.n_known:,}",
            )
            for each in sorted(arms, key=lambda each: (-(each.success or 0.0), each.arm))
        ]
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
                    each.arm,
                    Cell(count(each.n), each.n),
                    Cell(count(each.n_known), each.n_known),
                    number(each.success, share(each.success)),
                    share_interval(wilson(each.n_right, each.n_known)) or "-",
                    number(each.tokens, f"{each.tokens or 0:,.0f}"),
                    Cell("-" if each.tep is None else f"{each.tep:.2f}", each.tep),
                )
                for each in of.quality.arms
            ],
        )
        said = "Each arm on the prompts that it was given, harder ones for a stronger arm: this does not compare arms."
        parts.append(figure(chart, name="quality", about=said, numbers=numbers))
    else:
        n = of.quality.n
        missing = f"Of {n:,} answers none has a known worth." if n else "Nothing was answered yet."
        then = " says how good an answer was; `--check` does so by itself." if n else " asks something."
        parts.append(card("Right answers by arm", empty(missing, RATE if n else 'scrimp ask "a question"', then)))
    parts.append(_checks(of))
    return section("quality", "Quality", about, cards(*parts))


def _ends(bounds: tuple[float, float] | None) -> tuple[float | None, float | None]:
    return (None, None) if bounds is None else bounds


def _checks(of: Overview) -> Markup:
    title = "Checks held against ratings"
    if not of.quality.checks:
        missing = "No answer was checked yet."
        return card(title, empty(missing, "scrimp ask --check number:42 ...", " checks one."))

    def measured(value: float | None, bounds: tuple[float, float] | None) -> Cell:
        return number(value, f"{share(value)} {share_interval(bounds)}")

    def row(each: CheckReport) -> tuple[str | Cell, ...]:
        return (
            each.check,
            Cell(f"{each.n_pass:,} · {each.n_fail:,} · {each.n_abstain:,}", each.n_pass + each.n_fail),
            Cell(count(each.n_labelled), each.n_labelled),
            measured(each.precision, each.precision_interval),
            measured(each.recall, each.recall_interval),
        )

    most = sorted(of.quality.checks, key=lambda each: (-each.n_labelled, -(each.n_pass + each.n_fail), each.check))
    titles = ("check", "verdicts", "labelled", "precision", "recall")
    shown = table(titles, [row(each) for each in most[:_CHECKS]])
    rest = NOTHING
    if len(most) > _CHECKS:
        more = table(titles, [row(each) for each in most[_CHECKS:]])
        rest = tag("details", tag("summary", f"{len(most) - _CHECKS:,} more"), more)
    about = (
        "Verdicts: pass · fail · abstain. Precision: of what passed, how much was right; recall: of what was right, "
        "how much passed."
    )
    return card(title, shown, rest, about=about)


def calibration(of: Overview) -> Markup:
    """Return the section about what was predicted and what came."""
    about = "Where a quality of 80% is predicted, 80% should be right; a point below the line promised too much."
    parts = []
    found = of.calibration
    if found is None:
        seen = "No answer of known worth has a decision in the log yet."
        parts.append(
            card("Predicted and observed quality", empty(seen, RATE, " makes one, where log.keep is not money."))
        )
    else:
        bases = ", ".join(f"{n:,} {name or 'of unknown basis'}" for name, n in sorted(found.bases.items()))
        chart = Reliability(
            "Predicted and observed quality",
            f"Expected calibration error {found.ece:.3f} over {counted(found.n, 'answer')}; the diagonal is "
            "where they agree.",
            [(each.predicted, each.observed, each.low, each.high, each.n) for each in found.bins],
            "observed, % right",
            "predicted when it was asked, % right",
        )
        numbers = table(
            ("predicted", "observed", "95% interval", "answers"),
            [
                (
                    Cell(share(each.predicted), each.predicted),
                    Cell(share(each.observed), each.observed),
                    share_interval((each.low, each.high)),
                    Cell(count(each.n), each.n),
                )
                for each in found.bins
            ],
        )
        said = (
            f"Expected calibration error {found.ece:.3f}, Brier {found.brier:.3f}, over "
            f"{counted(found.n, 'answer')} ({bases})."
        )
        parts.append(figure(chart, name="calibration", about=said, numbers=numbers))
    parts.append(_expectations(of))
    return section("calibration", "Calibration", about, cards(*parts))


def _expectations(of: Overview) -> Markup:
    title = "Lengths and times: did the 90th percentile hold?"
    if not of.expectations:
        missing = "No call has a predicted length or time on record."
        return card(title, empty(missing, 'scrimp ask "a question"', " makes one."))

    def held(k: int, n: int) -> Cell:
        return number(k / n if n else None, f"{share(k / n if n else None)} {share_interval(wilson(k, n))} of {n:,}")

    rows = [
        (each["arm"], held(each["n_within"], each["n_lengths"]), held(each["n_in_time"], each["n_times"]))
        for each in of.expectations
    ]
    about = "Calls that stayed within what was predicted for nine in ten: 90% is right. Cut answers are left out."
    return card(title, table(("arm", "output tokens", "seconds"), rows), about=about)


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
            card(
                "Files: how much was read",
                table(("reading", "answers", "right", "USD an answer"), [row(each) for each in found.readings]),
            )
        )
    if found.memory:
        rows = [
            (
                *row(each),
                Cell(f"{each.n_tokens:,} of {each.n_all:,}", each.n_tokens / each.n_all if each.n_all else None),
            )
            for each in found.memory
        ]
        parts.append(
            card(
                "Conversations: how much went along",
                table(("memory", "answers", "right", "USD an answer", "tokens sent"), rows),
            )
        )
    return section(
        "readings",
        "Files and conversations",
        "How much of files and of earlier turns was sent, and what came of it.",
        cards(*parts),
    )
