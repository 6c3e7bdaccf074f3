"""`scrimp budget`: caps over all profiles together."""

from __future__ import annotations

import time
from typing import Annotated, Final

import typer

from scrimp.profiles.money import format_usd

from . import session
from .caps import cap_table
from .complete import among
from .options import JsonOption
from .parser import new_app
from .result import Result, emit

__all__ = ["app"]

app = new_app(
    bare="show",
    help="Show, set or lift the caps that all profiles share. A profile's own caps stand in its file, under [caps].",
    epilog="""\b
Examples:
  scrimp budget set month 50      no more than $50 a month, whatever the profile
  scrimp budget set day 5
  scrimp budget                   what they leave
  scrimp budget clear day
""",
)

ScopeArgument = Annotated[
    str,
    typer.Argument(
        metavar="SCOPE",
        help="day or month; listed as shared:day and shared:month.",
        autocompletion=among("day", "month"),
    ),
]
SCOPES: Final = {"day": "shared:day", "month": "shared:month"}


@app.command()
def show(json: JsonOption = False) -> int:
    """Show the shared caps and what they leave."""
    from scrimp.routing.reports.spending import cap_dict, shared_states

    states = shared_states(session.ledger_to_read(), now=time.time())
    data = {"schema_version": 1, "caps": [cap_dict(state) for state in states]}
    messages = () if states else ("no cap is shared by all profiles: `scrimp budget set month USD` sets one",)
    return emit(Result(data=data, blocks=(cap_table(states),) if states else (), messages=messages), as_json=json)


@app.command(name="set")
def set_(
    scope: ScopeArgument,
    usd: Annotated[str, typer.Argument(metavar="USD", help="The most that all profiles together may spend.")],
) -> int:
    """Set a cap over all profiles; it holds from the very next call, in every process."""
    from scrimp.routing.asking.money import cap_all_profiles

    limit = session.parse_usd(usd, "USD") or 0
    state = cap_all_profiles(session.ledger(), SCOPES.get(scope, scope), limit, now=time.time())
    line = f"{state.cap.scope} is capped at {format_usd(limit)}; {format_usd(max(state.left_nano, 0))} of it is left"
    return emit(Result(messages=(line,)))


@app.command()
def clear(scope: ScopeArgument) -> int:
    """Lift a cap over all profiles."""
    from scrimp.routing.asking.money import lift_cap

    named = SCOPES.get(scope, scope)
    lift_cap(session.ledger_to_read(), named)
    return emit(Result(messages=(f"{named} is no longer capped",)))
