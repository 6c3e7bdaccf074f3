"""`scrimp alerts`: what was told, and whether the way works."""

from __future__ import annotations

from typing import Annotated

import typer

from scrimp.routing.text.moments import local_time, with_zone

from . import session
from .options import JsonOption, ProfileOption
from .parser import new_app
from .result import Column, Result, Table, emit

__all__ = ["app"]

app = new_app(
    group=True,
    help="Alerts go to the command or the address that a profile names under [alerts] (docs/alerts.md).",
    epilog="""\b
Examples:
  scrimp alerts test            send a test event the way the profile says
  scrimp alerts list            the last events, and what became of each
""",
)


@app.command()
def test(
    profile: ProfileOption = None,
    offline: Annotated[
        bool, typer.Option("--offline", envvar="SCRIMP_OFFLINE", help="Send nothing beyond this machine.")
    ] = False,
    json: JsonOption = False,
) -> int:
    """Send a test event the way the profile says, and tell what came of it."""
    from scrimp.routing.asking.outbox import try_alert

    data = try_alert(session.load(profile).profile, on_this_machine=offline)
    return emit(Result(data=data, blocks=(f"delivered: {data['delivered']}",)), as_json=json)


@app.command(name="list")
def list_(
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, help="How many, newest first.")] = 20,
    json: JsonOption = False,
) -> int:
    """List the last events, newest first, and what became of each."""
    from scrimp.routing.asking.outbox import past_events

    rows = past_events(session.ledger_to_read(), limit=limit)
    table = Table(
        (
            Column(with_zone("at", (row["at"] for row in rows))),
            Column("profile"),
            Column("event", narrow="whole"),
            Column("state"),
            Column("tries", "right"),
            Column("why not", narrow="below"),
        ),
        [
            (
                local_time(row["at"]),
                row["profile"] or "-",
                f"{row['kind']} {row['subject']}" + (f" {row['percent']}%" if row["percent"] else ""),
                row["state"],
                str(row["tries"]),
                row["error"] or "-",
            )
            for row in rows
        ],
    )
    messages = () if rows else ("nothing has happened that would be told",)
    data = {"schema_version": 1, "events": rows}
    return emit(Result(data=data, blocks=(table,) if rows else (), messages=messages), as_json=json)
