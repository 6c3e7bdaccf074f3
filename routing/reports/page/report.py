"""The report as one page: its head, the figures that matter most, and its sections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrimp.profiles.rungs import reading_of
from scrimp.routing.reports.quality import wilson

from .document import card, cards, document, empty, section
from .figures import UNKNOWN, count, money, share, share_interval, together, usd
from .fronts import fronts
from .judged import calibration, quality, readings
from .learnt import duels, guards, plans, refits
from .markup import Markup, tag
from .spent import spent, total

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scrimp.routing.reports.survey import Request

    from .overview import Overview

__all__ = ["report_html"]

_EXCERPT = 280
"""Characters of a text that are shown."""


def report_html(of: Overview) -> str:
    """Return the report as one file of HTML."""
    parts = [spent(of), quality(of), calibration(of), fronts(of), plans(of), duels(of), refits(of), guards(of)]
    if (more := readings(of)) is not None:
        parts.append(more)
    parts.append(_requests(of))
    links = (
        ("spent", "Spending"),
        ("quality", "Quality"),
        ("calibration", "Calibration"),
        ("front", "Quality and cost"),
        ("plans", "Plans"),
        ("duels", "Duels"),
        ("refits", "Refits"),
        ("guards", "Guards"),
        ("requests", "Requests"),
    )
    whose = "all profiles" if of.profile is None else f"profile {of.profile}"
    when = "everything in the log" if of.days is None else f"the last {of.days:g} days"
    header = tag(
        "header",
        tag(
            "div",
            tag(
                "div",
                tag("h1", "scrimp report"),
                tag(
                    "p",
                    f"{whose[:1].upper()}{whose[1:]}, {when}. Made {of.made_at}{f' ({of.zone})' if of.zone else ''}.",
                    class_="about",
                ),
            ),
            tag("button", "Dark or light", id="theme", class_="tool", type="button", hidden=""),
            class_="top",
        ),
        tag("nav", *(tag("a", name, href=f"#{anchor}") for anchor, name in links), aria_label="sections"),
    )
    footer = tag(
        "footer",
        tag(
            "p",
            "What is not known is called unknown, and is never 0. How each number is computed: ",
            tag("code", "docs/report.md"),
            ". The same in a terminal: ",
            tag("code", "scrimp report"),
            ".",
        ),
    )
    return document(
        "report", f"scrimp report, {whose}, {of.made_at}", (header, tag("main", _facts(of), *parts), footer)
    )


def _facts(of: Overview) -> Markup:
    found = of.quality
    price = found.cost_per_success_nano
    bounds = wilson(found.n_right, found.n_known)
    right = found.n_right / found.n_known if found.n_known else None

    def seconds(value: float | None) -> str:
        return UNKNOWN if value is None else f"{value:.2f} s"

    facts = [
        _fact(
            "Charged",
            total(of),
            f"{count(sum(row[3] for row in of.daily))} calls"
            + (f", {money(of.open_nano)} of it unsure" if of.n_open else ""),
        ),
        _fact("Answered", count(found.n), f"of {count(of.survey.n)} requests"),
        _fact("Right", share(right), together([share_interval(bounds), f"{count(found.n_known)} of known worth"])),
        _fact("A right answer cost", money(price), "wrong ones paid for as well"),
        _fact(
            "Seconds to an answer", seconds(found.latency_p50_s), f"median; 95% within {seconds(found.latency_p95_s)}"
        ),
        _against(of),
    ]
    return tag("dl", *facts, class_="facts")


def _fact(name: str, value: str, small: str) -> Markup:
    return tag("div", tag("dt", name), tag("dd", value, tag("small", small)), class_="fact")


def _against(of: Overview) -> Markup:
    found = of.versus
    if found is None or found.saved_usd is None:
        why = "nothing to compare" if found is not None else of.versus_problem or "needs a profile and a price"
        return _fact("Saved by routing", UNKNOWN, why)
    saved = found.saved_usd
    low, high = saved.low, saved.high
    bounds = "" if low is None or high is None else f"[{_signed(low)}, {_signed(high)}]"
    gained = found.quality_gained
    quality_ = (
        ""
        if gained is None
        else f"predicted quality {100 * gained.estimate:+.1f} points".replace("-", "\N{MINUS SIGN}")
    )
    return _fact(f"Saved against {found.arm} alone", _signed(saved.estimate), together([bounds, quality_]))


def _signed(value: float) -> str:
    return usd(value) if value >= 0 else "\N{MINUS SIGN}" + usd(-value)


def _requests(of: Overview) -> Markup:
    about = "Texts are shown where the log keeps them (log.keep = all)" + (
        "; they were left out here (--no-text)." if of.texts is None else "."
    )
    if not of.survey.n:
        return section(
            "requests",
            "Requests",
            about,
            empty("Nothing was asked yet.", 'scrimp ask "a question"', " asks something."),
        )
    biggest = (
        _list(of, of.survey.biggest)
        if of.survey.biggest
        else [empty("Nothing was charged.", "scrimp log", " lists all requests.")]
    )
    worst = (
        _list(of, of.survey.worst)
        if of.survey.worst
        else [empty("No answer is known to be wrong.", "scrimp rate ID bad", " says so of one.")]
    )
    return section(
        "requests",
        "Requests",
        about,
        cards(
            card("Biggest", *biggest, about="The dearest requests, all of their calls together."),
            card("Worst", *worst, about="Answers that were wrong, the worst first, then the dearest."),
        ),
    )


def _list(of: Overview, requests: Sequence[Request]) -> list[Markup]:
    return [_request(of, each) for each in requests]


def _request(of: Overview, each: Request) -> Markup:
    worth = None if each.worth is None else f"worth {each.worth:g}"
    predicted = None if each.predicted is None else f"predicted {share(each.predicted)}"
    reading = reading_of(each.arm or "")
    line = [
        tag("b", money(each.charged_nano)),
        tag("span", each.arm or "no arm"),
        None if reading is None else tag("span", f"read {reading}"),
        tag("span", f"{count(each.tokens)} tokens"),
        None if each.latency_s is None else tag("span", f"{each.latency_s:.1f} s"),
        None if worth is None else tag("span", worth),
        None if predicted is None else tag("span", predicted),
        tag("span", f"{each.at[:16].replace('T', ' ')} UTC", class_="quiet"),
        tag("code", each.id, class_="quiet"),
    ]
    parts = [tag("div", *line, class_="line")]
    if of.texts is not None:
        kept = of.texts.get(each.id, {})
        parts += [
            _excerpt("Asked: ", kept.get("prompt"), kept.get("n_prompt")),
            _excerpt("Answered: ", kept.get("answer"), kept.get("n_answer")),
        ]
        if kept.get("error"):
            parts.append(_excerpt("Error: ", kept["error"], None))
    return tag("div", *parts, class_="ask")


def _excerpt(name: str, text: str | None, n_chars: int | None) -> Markup:
    if text is None:
        return tag("p", tag("span", name, class_="quiet"), tag("span", "not kept", class_="quiet"))
    line = " ".join(text.split())
    short = line if len(line) <= _EXCERPT else line[: _EXCERPT - 1] + "…"
    more = f" ({n_chars:,} characters)" if n_chars is not None and n_chars > _EXCERPT else ""
    return tag("p", tag("span", name, class_="quiet"), tag("bdi", short, dir="auto"), tag("span", more, class_="quiet"))
