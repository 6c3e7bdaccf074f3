"""`scrimp spend`: what it has cost, and what the caps leave."""

from __future__ import annotations

import csv as csvlib
import io
import time
from typing import Annotated

import typer

from scrimp.profiles.errors import UsageError
from scrimp.profiles.money import format_usd

from . import session
from .options import JsonOption, ProfileOption
from .parser import new_app
from .result import Column, Result, Table, emit, say, write_out

__all__ = ["app"]

app = new_app(
    epilog="""\b
Examples:
  scrimp spend                    by day, and what the caps leave
  scrimp spend --by arm --days 30
  scrimp spend --open             calls whose true cost is not known
  scrimp spend reconcile 17 0.0031    say what one of them truly cost
""",
)

BAR = 24


@app.callback(invoke_without_command=True)
def spend(
    ctx: typer.Context,
    by: Annotated[
        str, typer.Option("--by", metavar="WHAT", help="day, week, month, arm, profile, source or tag.")
    ] = "day",
    days: Annotated[int | None, typer.Option("--days", min=1, help="Only the last so many days.")] = None,
    profile: ProfileOption = None,
    show_open: Annotated[bool, typer.Option("--open", help="List the calls whose true cost is not known.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    json: JsonOption = False,
) -> int:
    """Show what was spent, and what the caps leave. Calls of unknown cost count at their upper bound."""
    if ctx.invoked_subcommand is not None:
        return 0
    from scrimp.routing import budget
    from scrimp.routing.spending import GROUPS, cap_dict, open_calls, sums

    if by not in GROUPS:
        raise UsageError(f"--by: expected one of {', '.join(GROUPS)}, not {by!r}")
    loaded = session.load(profile, quiet=True)
    now = time.time()
    ledger = session.ledger_to_read()
    if ledger is None:
        states, groups, unsettled = [], [], []
    else:
        budget.reap(ledger, now=now)
        states = budget.cap_states(ledger, budget.applicable_caps(ledger, loaded.profile, None, now=now), now=now)
        since = None if days is None else ledger.windows(now - (days - 1) * 86_400)[0]
        groups = sums(ledger, by, since_day=since, profile=loaded.profile.name if profile else None)
        unsettled = open_calls(ledger)
    if csv:
        return _csv([each.to_dict() for each in groups])
    data = {
        "schema_version": 1,
        "profile": loaded.profile.name,
        "zone": None if ledger is None else ledger.zone_name,
        "by": by,
        "caps": [cap_dict(state) for state in states],
        "rows": [each.to_dict() for each in groups],
        "open": unsettled,
    }
    blocks: list[str | Table] = []
    if show_open:
        blocks.append(
            Table(
                (
                    Column("call", "right"),
                    Column("when"),
                    Column("arm"),
                    Column("status"),
                    Column("charged", "right"),
                    Column("why"),
                ),
                [
                    (
                        str(row["id"]),
                        row["at"][:16].replace("T", " "),
                        f"{row['profile']}/{row['arm']}",
                        row["status"],
                        format_usd(row["charged_nano"]),
                        row["note"] or "in flight",
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
                    Column(""),
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
        blocks.append(
            Table(
                (
                    Column("cap"),
                    Column("limit", "right"),
                    Column("spent", "right"),
                    Column("reserved", "right"),
                    Column("unknown", "right"),
                    Column("left", "right"),
                    Column("rolls over"),
                ),
                [
                    (
                        state.cap.scope,
                        format_usd(state.cap.limit_nano),
                        format_usd(state.settled_nano),
                        format_usd(state.reserved_nano),
                        format_usd(state.unknown_nano),
                        format_usd(state.left_nano),
                        state.resets_at or "-",
                    )
                    for state in states
                ],
                title=f"caps of profile {loaded.profile.name}",
            )
        )
    messages: tuple[str, ...] = ()
    if ledger is None:
        messages = ("nothing has been spent yet",)
    elif unsettled and not show_open:
        messages = (f"{len(unsettled)} calls of unknown true cost count at their upper bound: `scrimp spend --open`",)
    return emit(Result(data=data, blocks=tuple(blocks), messages=messages), as_json=json)


def _csv(rows: list[dict[str, object]]) -> int:
    if rows:
        text = io.StringIO()
        writer = csvlib.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_out(text.getvalue())
    return 0


@app.command()
def reconcile(
    call: Annotated[int, typer.Argument(metavar="CALL", help="The call's number, as `scrimp spend --open` shows it.")],
    usd: Annotated[str, typer.Argument(metavar="USD", help="What it truly cost, by the provider's bill.")],
    json: JsonOption = False,
) -> int:
    """Say what a call of unknown or unverified cost truly cost; what was reserved too much is free again."""
    from scrimp.routing import budget

    ledger = session.ledger_to_read()
    if ledger is None:
        raise UsageError("nothing has been spent yet")
    nano = session.parse_usd(usd, "USD") or 0
    was = budget.reconcile(ledger, call, nano, now=time.time())
    if nano > was["reserved_nano"]:
        say("that is above what was reserved: the provider charged past its own limit")
    data = {"schema_version": 1, "call": call, "cost_usd": nano / 1e9, "was": was["status"]}
    return emit(Result(data=data, messages=(f"call {call} is settled at {format_usd(nano)}",)), as_json=json)
