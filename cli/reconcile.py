"""`scrimp spend reconcile`: what calls truly cost, by the provider's bill."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scrimp.profiles.errors import UsageError
from scrimp.profiles.money import format_usd, usd_from_nano
from scrimp.routing.text.in_words import counted

from . import session
from .complete import among, complete_calls
from .options import JsonOption, ProfileOption
from .result import Column, Result, Table, emit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrimp.routing.asking.money import Corrected
    from scrimp.routing.ledger.store import Ledger

__all__ = ["reconcile"]


def reconcile(
    call: Annotated[
        int | None,
        typer.Argument(
            metavar="[CALL]",
            min=1,
            max=2**63 - 1,
            help="The call's number, as `scrimp spend --open` shows it.",
            autocompletion=complete_calls,
        ),
    ] = None,
    usd: Annotated[
        str | None, typer.Argument(metavar="[USD]", help="What it truly cost, by the provider's bill.")
    ] = None,
    all_unknown_as: Annotated[
        str | None,
        typer.Option(
            "--all-unknown-as",
            metavar="bound|0|FILE.csv",
            help="Settle all calls of unknown cost: at their upper bounds, at nothing, or by a provider's export of "
            "usage, matched by the ids of replies.",
            autocompletion=among(("bound", "at their upper bounds"), ("0", "at nothing")),
        ),
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take back the last correction (of CALL).")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,
    yes: Annotated[
        bool, typer.Option("-y", "--yes", help="Change a call that is settled already, or held by another machine.")
    ] = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> int:
    """Say what a call of unknown or unverified cost truly cost; what was reserved beyond that is free again.

    Shows what changes, and what that does to the caps and to arms that were suspended. A call that is still in flight
    is refused.
    """
    from scrimp.routing.asking import money

    given = (call is not None and usd is not None, all_unknown_as is not None, undo)
    if sum(given) != 1 or (usd is not None and not given[0]) or (all_unknown_as is not None and call is not None):
        raise UsageError(
            "expected CALL and USD, or --all-unknown-as bound|0|FILE.csv, or --undo",
            hint="`scrimp spend --open` lists the calls.",
        )
    now = time.time()
    ledger = session.ledger_to_read()
    own = session.load(profile, quiet=True).profile
    lines: list[str] = []
    if undo:
        done = money.undo_correction(ledger, call, own, now=now, dry_run=dry_run)
    else:
        if all_unknown_as is not None:
            costs, lines = _costs(ledger, all_unknown_as, now=now)
        else:
            costs = {call or 0: session.parse_usd(usd, "USD") or 0}
        done = money.correct_calls(ledger, costs, own, now=now, sure=yes, dry_run=dry_run)
    if done.calls and not dry_run and not undo:
        which = f"{call} " if call is not None else ""
        lines.append(f"to take this back: scrimp spend reconcile {which}--undo")
    if dry_run:
        lines.append("nothing was changed (--dry-run)")
    return emit(_corrected(done, tuple(lines), call=call, dry_run=dry_run), as_json=json)


def _costs(ledger: Ledger | None, what: str, *, now: float) -> tuple[Mapping[int, int], list[str]]:
    """Return what calls of unknown cost are to be set to, and what is to be said of how that was found."""
    from scrimp.routing.asking import money

    file = None if what in ("bound", "0") else Path(what).expanduser()
    if file is not None and not file.exists():
        raise UsageError(f"--all-unknown-as: expected bound, 0 or a CSV file, not {what!r}: there is no such file")
    found = money.costs_of_unknown(ledger, what, file, now=now)
    if found.n_open == 0:
        return {}, ["no call is of unknown cost"]
    if file is None:
        return found.costs, []
    n_left = found.n_open - len(found.costs)
    lines = [f"{len(found.costs)} of {counted(found.n_open, 'call')} of unknown cost are in {what}; {n_left} are not"]
    if found.n_settled:
        lines.append(f"{found.n_settled} replies of {what} are of calls that are settled: they are left as they are")
    if found.n_strange:
        lines.append(
            f"{counted(found.n_strange, 'reply', 'replies')} of {what} "
            f"{'is' if found.n_strange == 1 else 'are'} of no call in the ledger"
        )
    return found.costs, lines


def _corrected(done: Corrected, lines: tuple[str, ...], *, call: int | None, dry_run: bool) -> Result:
    """Return what a correction did, to be shown: calls, caps, arms."""
    calls = [
        {
            "call": each.row["id"],
            "profile": each.row["profile"],
            "arm": each.row["arm"],
            "was": each.row["status"],
            "was_usd": usd_from_nano(each.row["charged_nano"]),
            "status": each.status,
            "cost_usd": usd_from_nano(each.nano),
            "suspended": each.stopped,
            "resumed": each.resumed,
        }
        for each in done.calls
    ]
    caps = [
        {
            "profile": each.profile,
            "scope": each.cap.scope,
            "left_usd_before": usd_from_nano(each.before_nano),
            "left_usd": usd_from_nano(each.after_nano),
        }
        for each in done.caps
    ]
    data: dict[str, Any] = {"schema_version": 1, "dry_run": dry_run, "calls": calls, "caps": caps}
    if call is not None and len(calls) == 1:
        data |= {"call": call, "cost_usd": calls[0]["cost_usd"], "was": calls[0]["was"]}
    messages = []
    blocks = []
    if calls:
        columns = (Column("call"), Column("arm"), Column("status"), Column("charged", "right"))
        rows = [
            (
                str(each.row["id"]),
                f"{each.row['profile']}/{each.row['arm']}",
                f"{each.row['status']} -> {each.status}",
                f"{format_usd(each.row['charged_nano'])} -> {format_usd(each.nano)}",
            )
            for each in done.calls
        ]
        blocks.append(Table(columns, rows))
    if caps:
        columns = (Column("cap"), Column("of"), Column("limit", "right"), Column("left", "right"))
        rows = [
            (
                each.cap.scope,
                each.profile or "all profiles",
                format_usd(each.cap.limit_nano),
                f"{format_usd(each.before_nano)} -> {format_usd(each.after_nano)}",
            )
            for each in done.caps
        ]
        blocks.append(Table(columns, rows))
    elif calls:
        messages.append("no cap of today or this month changes: none stands there, or the calls are of another time")
    for each in done.calls:
        where = f"{each.row['arm']} of profile {each.row['profile']}"
        if each.nano > each.row["reserved_nano"]:
            messages.append(f"call {each.row['id']} cost more than was reserved: the provider passed its own limit")
        if each.stopped:
            resume = f"scrimp models resume {each.row['arm']} -p {each.row['profile']}"
            messages.append(f"arm {where} is suspended for that until `{resume}`")
        if each.resumed:
            messages.append(f"arm {where} takes calls again: what it was suspended for was no breach")
    return Result(data=data, blocks=tuple(blocks), messages=(*messages, *lines))
