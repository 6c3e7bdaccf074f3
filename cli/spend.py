"""`scrimp spend`: what it has cost, and what the caps leave."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scrimp.profiles.errors import UsageError
from scrimp.profiles.money import format_usd
from scrimp.profiles.paths import paths
from scrimp.routing.text.in_words import counted
from scrimp.routing.text.moments import local_time, local_time_and_zone, with_zone

from . import session
from .caps import cap_table
from .complete import among, complete_own_arms
from .options import JsonOption, ProfileOption
from .parser import new_app
from .progress import on_summed
from .reconcile import reconcile
from .result import Column, Result, Table, emit, write_out

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scrimp.profiles.load import Loaded
    from scrimp.routing.ledger.store import Ledger
    from scrimp.routing.reports.versus import Estimate

__all__ = ["app"]

app = new_app(
    epilog="""\b
Examples:
  scrimp spend                    by day, and what the caps leave
  scrimp spend --today
  scrimp spend --by arm --days 30
  scrimp spend --vs large         what the same prompts would have cost on one arm
  scrimp spend --short            one line for a shell prompt: PS1='$(scrimp spend --short) $ '
  scrimp spend --open             calls whose true cost is not known
  scrimp spend reconcile 17 0.0031    say what one of them truly cost
  scrimp spend reconcile --all-unknown-as usage.csv    all of them, by a provider's export
""",
)

BAR = 24


@app.callback(invoke_without_command=True)
def spend(
    ctx: typer.Context,
    by: Annotated[
        str,
        typer.Option(
            "--by",
            metavar="WHAT",
            help="day, week, month, arm, profile, source or tag.",
            autocompletion=among("day", "week", "month", "arm", "profile", "source", "tag"),
        ),
    ] = "day",
    days: Annotated[int | None, typer.Option("--days", min=1, help="Only the last N days.")] = None,
    today: Annotated[bool, typer.Option("--today", help="Only today: --days 1.")] = False,
    profile: ProfileOption = None,
    show_open: Annotated[bool, typer.Option("--open", help="List the calls whose true cost is not known.")] = False,
    vs: Annotated[
        str | None,
        typer.Option(
            "--vs", metavar="ARM", help="Compare with sending everything to one arm.", autocompletion=complete_own_arms
        ),
    ] = None,
    short: Annotated[
        bool, typer.Option("--short", help="One line for a shell prompt; caps as they were at the last call.")
    ] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    json: JsonOption = False,
) -> int:
    """Show what was spent, and what the caps leave. Calls of unknown cost count at their upper bound."""
    if ctx.invoked_subcommand is not None:
        return 0
    from scrimp.routing.reports.spending import GROUPS, spending_report

    from .report import quality_line

    if by not in GROUPS:
        raise UsageError(f"--by: expected one of {', '.join(GROUPS)}, not {by!r}")
    if today:
        if days is not None:
            raise UsageError("--today and --days say the same thing twice", hint="Give one of them.")
        days = 1
    loaded = session.load(profile, quiet=True)
    now = time.time()
    if short:
        from scrimp.routing.reports.status_line import short_line

        write_out(short_line(paths().ledger, loaded.profile.name, now=now) + "\n")
        return 0
    ledger = session.ledger_to_read()
    if vs is not None:
        return _versus(loaded, ledger, vs, days=days, now=now, as_json=json)
    only = loaded.profile.name if profile else None
    found = spending_report(ledger, loaded.profile, by=by, days=days, only=only, now=now, tell=on_summed)
    groups, unsettled = found.rows, found.open
    if csv:
        return _csv([each.to_dict() for each in groups])
    blocks: list[str | Table] = []
    if show_open:
        blocks.append(
            Table(
                (
                    Column("call", "right"),
                    Column(with_zone("when", (row["at"] for row in unsettled))),
                    Column("arm"),
                    Column("status"),
                    Column("charged", "right"),
                    Column("why", narrow="below"),
                ),
                [
                    (
                        str(row["id"]),
                        local_time(row["at"]),
                        f"{row['profile']}/{row['arm']}",
                        row["status"],
                        format_usd(row["charged_nano"]),
                        _why_open(row),
                    )
                    for row in unsettled
                ],
            )
        )
    else:
        top = max((each.charged_nano for each in groups), default=0)
        blocks.append(
            Table(
                (
                    Column(by),
                    Column("calls", "right"),
                    Column("charged", "right"),
                    Column("of that unsure", "right"),
                    Column("", drop=1),
                ),
                [
                    (
                        each.name,
                        f"{each.n_calls:,}",
                        format_usd(each.charged_nano),
                        format_usd(each.unverified_nano + each.reserved_nano + each.unknown_nano),
                        "█" * (round(BAR * each.charged_nano / top) if top else 0),
                    )
                    for each in groups
                ],
            )
        )
        # Days are those of the zone that the ledger was made in, wherever this machine is today.
        zone = f" (days of {found.zone})" if found.zone else ""
        blocks.append(cap_table(found.caps, title=f"caps of profile {loaded.profile.name}{zone}"))
        if found.quality.n:
            blocks.append(quality_line(found.quality))
    messages: tuple[str, ...] = ()
    if ledger is None:
        messages = ("nothing has been spent yet",)
    elif unsettled and not show_open:
        messages = tuple(_of_unknown_cost(unsettled))
    return emit(Result(data=found.to_dict(), blocks=tuple(blocks), messages=messages), as_json=json)


def _why_open(row: dict[str, Any]) -> str:
    """Return why the true cost of a call is not known."""
    if row["held_by"] is not None:
        return (
            f"held by a process on {row['held_by']} since {local_time_and_zone(row['at'])}: when you know that it "
            f"is dead, `scrimp spend reconcile {row['id']} USD --yes`"
        )
    return row["note"] or "in flight"


def _of_unknown_cost(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Yield what is to be said about calls that count at their upper bound."""
    nano = sum(row["charged_nano"] for row in rows)
    yield (
        f"{counted(len(rows), 'call')} of unknown true cost "
        f"{'counts at its' if len(rows) == 1 else 'count at their'} upper bound, "
        f"{format_usd(nano)} in all: `scrimp spend --open` lists them"
    )
    if any(row["status"] == "unknown" for row in rows):
        yield "`scrimp spend reconcile --all-unknown-as bound|0|FILE.csv` settles those whose process died"


def _versus(loaded: Loaded, ledger: Ledger | None, arm: str, *, days: int | None, now: float, as_json: bool) -> int:
    """Compare what was routed with one arm alone."""
    from scrimp.profiles.schema import did_you_mean
    from scrimp.routing.reports.versus import versus

    names = [each.name for each in loaded.profile.arms]
    if arm not in names:
        raise UsageError(f"profile {loaded.profile.name} has no arm {arm!r}{did_you_mean(arm, names)}")
    price = session.price_table().price(loaded.profile.arm(arm))
    if price is None:
        raise UsageError(f"{arm} has no price, so nothing can be said about what it would have cost")
    if ledger is None:
        raise UsageError("nothing has been spent yet")
    since = None if days is None else ledger.windows(now - (days - 1) * 86_400)[0]
    found = versus(ledger, arm, price, since_day=since, profile=loaded.profile.name)
    data = {"schema_version": 1, "profile": loaded.profile.name, **found.to_dict()}
    if found.saved_usd is None or found.quality_gained is None:
        message = f"no logged answer can be compared with {arm} ({found.n_left_out} left out)"
        return emit(Result(data=data, messages=(message,)), as_json=as_json)
    saved, gained = found.saved_usd, found.quality_gained
    word = "saved" if saved.estimate >= 0 else "spent more by"
    share = f" ({abs(saved.estimate) / found.arm_cost_usd:.0%})" if found.arm_cost_usd else ""
    won = "gained" if gained.estimate >= 0 else "given up"
    quality = f"predicted quality {found.quality:.3f} against {found.arm_quality:.3f}: {won} {abs(gained.estimate):.3f}"
    lines = [
        f"{counted(found.n, 'answer')} cost {_usd(found.cost_usd)}; on {arm} alone about {_usd(found.arm_cost_usd)}",
        f"{word} {_usd(abs(saved.estimate))}{share}{_between(saved, money=True)}",
        quality + _between(gained),
        f"quality of {arm}: {found.basis}; intervals (95%) are over prompts, and leave out how far predictions err",
    ]
    if found.n_left_out:
        lines.append(
            f"{counted(found.n_left_out, 'answer')} left out: trace or usage is not known, or {arm} was not weighed"
        )
    return emit(Result(data=data, blocks=tuple(lines)), as_json=as_json)


def _usd(usd: float | None) -> str:
    return format_usd(None if usd is None else round(usd * 1e9))


def _between(found: Estimate, *, money: bool = False) -> str:
    """Return an interval in words, signed as the estimate is."""
    if found.low is None or found.high is None:
        return ""
    low, high = (_usd(each) if money else f"{each:.3f}" for each in (found.low, found.high))
    return f", between {low} and {high}"


def _csv(rows: list[dict[str, object]]) -> int:
    from scrimp.routing.text.spreadsheet import table_line

    if rows:
        lines = [table_line(rows[0])]
        lines += [table_line("" if value is None else str(value) for value in row.values()) for row in rows]
        write_out("".join(lines))
    return 0


app.command()(reconcile)
