"""`scrimp redo`: ask a prompt of the log again, of another arm."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from typing import Annotated

import typer

from . import session
from .options import ArmOption, JsonOption, MaxCost, PrivateOption, ProfileOption, RequestArgument
from .parser import new_app
from .result import say

__all__ = ["app", "redo"]

app = new_app()

EPILOG = """\b
Examples:
  scrimp redo                 the last prompt, of the next better arm
  scrimp redo 01k9x -m large
"""


@app.command(epilog=EPILOG)
def redo(
    which: RequestArgument = "last",
    arm: ArmOption = None,
    profile: ProfileOption = None,
    max_cost: MaxCost = None,
    private: PrivateOption = None,
    explain: Annotated[bool, typer.Option("-x", "--explain", help="Show on stderr how the arm was chosen.")] = False,
    json: JsonOption = False,
    no_stream: Annotated[bool, typer.Option("--no-stream", help="Print the answer when it is complete.")] = False,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Confirm what guard.risky would ask about.")] = False,
) -> int:
    """Ask a prompt again, of another arm; the first arm gets a weak bad mark for it.

    Without -m it is the arm of the next higher predicted quality.
    """
    from scrimp.routing.asking.again import find_request, label_redone, redo_request

    from .asking import answer_request

    ledger, row = find_request(session.ledger_to_read(), which)
    mode = None if private is None else private.value
    loaded = session.load(profile, private=mode, quiet=True)
    if profile is None and loaded.profile.name != row["profile"]:
        loaded = session.load(row["profile"], private=mode, quiet=True)
    limit = session.parse_usd(max_cost, "--max-cost")
    request = replace(redo_request(row, loaded.profile, ledger=ledger, arm=arm, max_cost_nano=limit), confirmed=yes)
    other = str(request.wishes.arm)
    say(f"asking {other} what {row['arm']} answered")
    code = answer_request(
        loaded, ledger, request, explain=explain, as_json=json, stream=not (json or no_stream) and sys.stdout.isatty()
    )
    label_redone(ledger, row, other, now=time.time())
    return code
