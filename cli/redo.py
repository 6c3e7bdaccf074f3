"""`scrimp redo`: ask a prompt of the log again, of another arm."""

from __future__ import annotations

import json as jsonlib
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scrimp.profiles.errors import UsageError

from . import session
from .options import ArmOption, JsonOption, MaxCost, ProfileOption
from .parser import new_app
from .result import say

if TYPE_CHECKING:
    from scrimp.profiles.schema import Profile
    from scrimp.routing.prompts.prompt import Prompt

__all__ = ["app", "redo"]

app = new_app()

REDO_REWARD = 0.25
REDO_WEIGHT = 0.5
"""Asking again is a weak sign that the first answer was not good: a low reward, of half weight."""

EPILOG = """\b
Examples:
  scrimp redo                 the last prompt, of the next better arm
  scrimp redo 01k9x -m large
"""


@app.command(epilog=EPILOG)
def redo(
    which: Annotated[str, typer.Argument(metavar="[ID|last]", help="Which request.")] = "last",
    arm: ArmOption = None,
    profile: ProfileOption = None,
    max_cost: MaxCost = None,
    explain: Annotated[bool, typer.Option("-x", "--explain", help="Show on stderr how the arm was chosen.")] = False,
    json: JsonOption = False,
    no_stream: Annotated[bool, typer.Option("--no-stream", help="Print the answer when it is complete.")] = False,
) -> int:
    """Ask a prompt again, of another arm; the first arm gets a weak bad mark for it.

    Without -m it is the arm of the next higher predicted quality.
    """
    from scrimp.routing.asking.request import Ask
    from scrimp.routing.deciding.decide import Wishes
    from scrimp.routing.ledger.labels import add_label
    from scrimp.routing.ledger.store import instant
    from scrimp.routing.reports.history import find

    from .asking import answer_request

    ledger = session.ledger_to_read()
    row = find(ledger, which)
    assert ledger is not None  # noqa: S101 - find has raised
    if row["prompt"] is None:
        raise UsageError(f"the text of {row['id']} was not kept, so it cannot be asked again")
    if row["attachments"] is not None:
        raise UsageError(
            f"{row['id']} had attachments, which the log does not keep", hint="Ask it again with `scrimp ask -a`."
        )
    loaded = session.load(profile or row["profile"], quiet=True)
    other = arm or _next_better(row, loaded.profile)
    if other == row["arm"]:
        raise UsageError(f"{other} has answered this already", hint="Name another arm with -m.")
    request = Ask(
        prompt=_prompt(row),
        wishes=Wishes(arm=other, max_cost_nano=session.parse_usd(max_cost, "--max-cost")),
        command="redo",
        conversation_id=row["conversation_id"],
        redo_of=row["id"],
        keep=loaded.profile.log.keep,
    )
    say(f"asking {other} what {row['arm']} answered")
    code = answer_request(
        loaded, ledger, request, explain=explain, as_json=json, stream=not (json or no_stream) and sys.stdout.isatty()
    )
    if row["status"] == "ok":
        add_label(
            ledger,
            request_id=row["id"],
            arm=row["arm"],
            reward=REDO_REWARD,
            source="redo",
            weight=REDO_WEIGHT,
            at=instant(time.time()),
            note=f"asked again of {other}",
        )
    return code


def _prompt(row: dict[str, Any]) -> Prompt:
    from scrimp.routing.prompts.prompt import Prompt, Turn

    turns = [] if row["messages"] is None else jsonlib.loads(row["messages"])
    return Prompt(
        text=row["prompt"],
        system=row["system"],
        history=tuple(Turn(prompt, answer) for prompt, answer in turns),
        schema=None if row["schema"] is None else jsonlib.loads(row["schema"]),
    )


def _next_better(row: dict[str, Any], profile: Profile) -> str:
    """Return the arm of the next higher predicted quality than the one that answered."""
    from scrimp.routing.deciding.trace import Decision

    names = {arm.name for arm in profile.arms}
    options = []
    if row["decision"] is not None:
        weighed = Decision.from_dict(jsonlib.loads(row["decision"])).choice.weighed
        options = [each.option for each in weighed if each.option.arm in names]
    first = next((option for option in options if option.arm == row["arm"]), None)
    better = [option for option in options if first is not None and option.quality > first.quality]
    if not better:
        raise UsageError(
            f"profile {profile.name} has no arm predicted to be better than {row['arm']}",
            hint=f"Name one with -m: {', '.join(sorted(names))}.",
        )
    return min(better, key=lambda option: option.quality).arm
