"""The page's part about money: by day, by arm, and what the caps leave."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

from scrimp.profiles.money import NANO
from scrimp.routing.text.in_words import counted

from .bars import Bars, Part, Row
from .chart import N_COLOURS
from .columns import Columns
from .document import Cell, card, cards, empty, figure, keys, section, table
from .figures import count, money, short_usd, usd
from .markup import Markup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .overview import Overview

__all__ = ["spent"]

_DAYS: Final = 62
"""Days that are shown one by one; more of them are put together by weeks, and still more by months."""

_WEEKS: Final = 80


def spent(of: Overview) -> Markup:
    """Return the section."""
    about = "What was charged against the caps: settled calls at their cost, all others at their upper bound."
    if not of.daily:
        nothing = empty("Nothing was paid yet.", 'scrimp ask "a question"', " pays for something.")
        return section("spent", "Spending", about, cards(card("Spending by day and arm", nothing), _caps(of)))
    return section("spent", "Spending", about, cards(_by_day(of), _by_arm(of), _caps(of)))


def _span(of: Overview) -> tuple[str, dict[str, str]]:
    """Return what columns are, and the column of each day from the first to the last: its name."""
    first, last = (date.fromisoformat(day) for day in (of.daily[0][0], of.daily[-1][0]))
    days = [first + timedelta(days=i) for i in range((last - first).days + 1)]
    year = "" if first.year == last.year else "%y-"
    if len(days) <= _DAYS:
        return "day", {str(day): day.strftime(f"{year}%m-%d") for day in days}
    if len(days) <= 7 * _WEEKS:
        return "week from", {str(day): (day - timedelta(days=day.weekday())).strftime(f"{year}%m-%d") for day in days}
    return "month", {str(day): day.strftime("%Y-%m") for day in days}


def _colours(of: Overview) -> dict[str, str]:
    """Return the colour of each arm: the dearest have their own."""
    sums: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    for _, arm, nano, n in of.daily:
        sums[arm][0] += nano
        sums[arm][1] += n
    order = sorted(sums, key=lambda arm: (-sums[arm][0], -sums[arm][1], arm))
    most = N_COLOURS if len(order) <= N_COLOURS else N_COLOURS - 1
    return {arm: f"f{i + 1}" if i < most else "rest" for i, arm in enumerate(order)}


def _by_day(of: Overview) -> Markup:
    kind, names = _span(of)
    colours = _colours(of)
    free = not any(nano for _, _, nano, _ in of.daily)
    found: dict[str, defaultdict[str, list[int]]] = {name: defaultdict(lambda: [0, 0]) for name in names.values()}
    for day, arm, nano, n in of.daily:
        found[names[day]][arm][0] += nano
        found[names[day]][arm][1] += n

    def parts(sums: dict[str, list[int]]) -> Sequence[Part]:
        by_colour: defaultdict[str, float] = defaultdict(float)
        for arm, (nano, n) in sums.items():
            by_colour[colours[arm]] += n if free else nano / NANO
        order = [*dict.fromkeys(colours.values())]
        return [Part(by_colour[colour], colour) for colour in order if by_colour[colour]]

    def says(name: str, sums: dict[str, list[int]]) -> str:
        nano, n = sum(each[0] for each in sums.values()), sum(each[1] for each in sums.values())
        most = sorted(sums, key=lambda arm: (-sums[arm][0], arm))[:8]
        return f"{name}: {money(nano)}, {counted(n, 'call')}\n" + "\n".join(
            f"{arm} {money(sums[arm][0])}" for arm in most
        )

    chart = Columns(
        title=f"Calls by {kind.split()[0]} and arm" if free else f"Spending by {kind.split()[0]} and arm",
        about=f"A column for each {kind.split()[0]}, from {next(iter(found))} to {[*found][-1]}, in parts by arm; "
        + (
            "nothing was charged, so calls are counted."
            if free
            else f"{money(sum(row[2] for row in of.daily))} in all."
        ),
        columns=[(name, parts(sums), says(name, sums)) for name, sums in found.items()],
        axis="calls" if free else "USD charged",
        along=f"{kind} ({of.zone})",
        tick=(lambda n: f"{n:,.0f}" if n == int(n) else f"{n:g}") if free else short_usd,
    )
    numbers = table(
        (kind, "charged", "calls", "most by"),
        [
            (
                name,
                Cell(money(nano := sum(each[0] for each in sums.values())), float(nano)),
                Cell(count(n := sum(each[1] for each in sums.values())), float(n)),
                max(sums, key=lambda arm: sums[arm][0], default="-") if nano else "-",
            )
            for name, sums in found.items()
        ],
    )
    own = [(colour, arm) for arm, colour in colours.items() if colour != "rest"]
    rest = len(colours) - len(own)
    legend = keys([*own, *([("rest", f"{rest} more")] if rest else [])])
    return figure(chart, name="day", numbers=numbers, full=True, legend=legend)


def _by_arm(of: Overview) -> Markup:
    sums = of.by_arm
    free = not any(each.charged_nano for each in sums)
    unsure = of.open_nano
    rows = [
        Row(
            each.name,
            f"{counted(each.n_calls, 'call')}"
            if free
            else f"{money(each.charged_nano)} · {counted(each.n_calls, 'call')}",
            [
                Part(each.n_calls if free else each.settled_nano / NANO, "f1", f"settled: {money(each.settled_nano)}"),
                Part(
                    0 if free else (each.charged_nano - each.settled_nano) / NANO,
                    "note",
                    f"at upper bounds: {money(each.charged_nano - each.settled_nano)}",
                ),
            ],
        )
        for each in sums[:12]
    ]
    chart = Bars(
        "Spending by arm",
        "A bar for each arm, the dearest first: what it was charged.",
        rows,
        "calls" if free else "USD charged",
    )
    numbers = table(
        ("arm", "charged", "of that unsure", "calls", "input tokens", "output tokens", "over the bound"),
        [
            (
                each.name,
                Cell(money(each.charged_nano), float(each.charged_nano)),
                Cell(money(each.charged_nano - each.settled_nano), float(each.charged_nano - each.settled_nano)),
                Cell(count(each.n_calls), each.n_calls),
                Cell(count(each.input_tokens), each.input_tokens),
                Cell(count(each.output_tokens), each.output_tokens),
                Cell(count(each.n_breaches), each.n_breaches),
            )
            for each in sums
        ],
    )
    about = "All calls, those that failed included."
    if of.n_open:
        about += f" {of.n_open:,} of unknown true cost count as {money(unsure)}: `scrimp spend --open` lists them."
    legend = (
        keys((("f1", "settled"), ("note", "at upper bounds")))
        if any(each.charged_nano > each.settled_nano for each in sums)
        else None
    )
    return figure(chart, name="arm", about=about, numbers=numbers, legend=legend or Markup())


def _caps(of: Overview) -> Markup:
    if not of.caps:
        if of.caps_of is None:
            if of.caps_problem is None:
                nothing = empty("There is no ledger yet, so nothing is used.", 'scrimp ask "a question"', " makes one.")
                return card("Caps", nothing)
            why = f"What caps leave is not known: {of.caps_problem}."
            return card("Caps", empty(why, "scrimp profile list", " names profiles."))
        missing = f"Profile {of.caps_of} has no caps."
        return card("Caps", empty(missing, "scrimp profile edit", " sets some."))
    rows = [
        Row(
            each.cap.scope,
            f"{money(each.left_nano)} left of {money(each.cap.limit_nano)}",
            [
                Part(each.settled_nano / NANO, "f1", f"settled: {money(each.settled_nano)}"),
                Part(each.reserved_nano / NANO, "f2", f"in flight: {money(each.reserved_nano)}"),
                Part(each.unknown_nano / NANO, "bad", f"of unknown cost: {money(each.unknown_nano)}"),
            ],
            whole=each.cap.limit_nano / NANO,
        )
        for each in of.caps
    ]
    chart = Bars(
        "What the caps leave",
        f"A bar for each cap of profile {of.caps_of}: how much of it is used in its window now.",
        rows,
        "share of the cap that is used",
    )
    numbers = table(
        ("cap", "limit", "settled", "in flight", "unknown", "left", "resets at"),
        [
            (
                each.cap.scope,
                *(
                    Cell(money(nano), float(nano))
                    for nano in (
                        each.cap.limit_nano,
                        each.settled_nano,
                        each.reserved_nano,
                        each.unknown_nano,
                        each.left_nano,
                    )
                ),
                each.resets_at or "-",
            )
            for each in of.caps
        ],
    )
    return figure(
        chart,
        name="caps",
        about=f"Profile {of.caps_of}, each cap in its own window now, whatever days this page is about.",
        numbers=numbers,
        legend=keys(
            [
                ("f1", "settled"),
                *([("f2", "in flight")] if any(each.reserved_nano for each in of.caps) else []),
                *([("bad", "of unknown cost")] if any(each.unknown_nano for each in of.caps) else []),
            ]
        ),
    )


def total(of: Overview) -> str:
    """Return all that was charged."""
    return usd(sum(row[2] for row in of.daily) / NANO) if of.daily else "$0"
