"""`scrimp redo`: ask a prompt of the log again, of another arm."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Annotated

import typer

from . import session
from .options import (
    ArmOption,
    ExtractOption,
    JsonOption,
    MaxCost,
    MaxTokens,
    OptionOption,
    PrivateOption,
    ProfileOption,
    RequestArgument,
    Temperature,
    typed,
)
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
    option: OptionOption = None,
    temperature: Temperature = None,
    max_tokens: MaxTokens = None,
    profile: ProfileOption = None,
    max_cost: MaxCost = None,
    private: PrivateOption = None,
    explain: Annotated[bool, typer.Option("-x", "--explain", help="Show on stderr how the arm was chosen.")] = False,
    extract: ExtractOption = False,
    json: JsonOption = False,
    no_stream: Annotated[bool, typer.Option("--no-stream", help="Print the answer when it is complete.")] = False,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Confirm what guard.risky would ask about.")] = False,
) -> int:
    """Ask a prompt again, of another arm; the first arm gets a weak bad mark for it.

    Without -m it is the arm of the next higher predicted quality. Options of the call (-o) are as they were, unless
    they are given anew.
    """
    from scrimp.routing.asking.again import label_redone, redo_request
    from scrimp.routing.asking.call_options import read_options
    from scrimp.routing.asking.rating import find_answer

    from .asking import answer_request

    ledger, row = find_answer(session.ledger_to_read(), which, "ask again")
    mode = None if private is None else private.value
    loaded = session.load(profile, private=mode, quiet=True)
    if profile is None and loaded.profile.name != row["profile"]:
        loaded = session.load(row["profile"], private=mode, quiet=True)
    limit = session.parse_usd(max_cost, "--max-cost")
    loaded, arm = session.with_model(loaded, arm)
    options = read_options(typed(option, temperature, max_tokens))
    request = redo_request(row, loaded.profile, ledger=ledger, arm=arm, max_cost_nano=limit, options=options)
    request = replace(request, confirmed=yes)
    other = str(request.wishes.arm)
    say(f"asking {other} what {row['arm']} answered")
    code = answer_request(loaded, ledger, request, explain=explain, as_json=json, stream=not no_stream, extract=extract)
    label_redone(ledger, row, other, loaded.profile, now=time.time())
    return code
