"""`scrimp rate`: say how good an answer was; the router learns from it."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from scrimp.profiles.errors import UsageError

from . import session
from .complete import complete_rated
from .options import A_REQUEST, JsonOption
from .parser import new_app
from .result import Result, emit

__all__ = ["app", "rate"]

app = new_app()

EPILOG = """\b
Examples:
  scrimp rate good            the last answer
  scrimp rate last 0.5 --note "right, but too long"
  scrimp rate 01k9x bad
"""


@app.command(epilog=EPILOG)
def rate(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="[ID|last] good|bad|0..1",
            help=f"Which answer, and how good it was. The request: {A_REQUEST}",
            autocompletion=complete_rated,
        ),
    ],
    note: Annotated[str | None, typer.Option("--note", metavar="TEXT", help="Why.")] = None,
    json: JsonOption = False,
) -> int:
    """Record how good an answer was: good, bad, or a number from 0 to 1."""
    from scrimp.routing.asking.rating import rate as label
    from scrimp.routing.asking.rating import read_reward

    if len(what) > 2:
        raise UsageError("expected an id (or nothing, for the last answer) and a rating")
    which, word = ("last", what[0]) if len(what) == 1 else what
    reward = read_reward(word)
    row = label(session.ledger_to_read(), which, reward, note=note, now=time.time())
    data = {"schema_version": 1, "id": row["id"], "arm": row["arm"], "reward": reward, "source": "rating"}
    return emit(Result(data=data, messages=(f"rated {row['id']} ({row['arm']}): {reward:g}",)), as_json=json)
