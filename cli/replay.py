"""`scrimp replay`: which past decisions would change under another profile, router or worth of an answer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scrimp.profiles.errors import ScrimpError
from scrimp.profiles.money import format_usd, nano_from_usd
from scrimp.profiles.paths import paths
from scrimp.routing.text.in_words import counted

from . import session
from .complete import complete_profiles, complete_versions
from .options import DaysOption, JsonOption, MaxCost, PreferOption, ProfileOption, SinceOption, WtpOption, days_back
from .parser import new_app
from .result import Column, Result, Table, emit, say

if TYPE_CHECKING:
    from scrimp.routing.deciding.decide import Decider

__all__ = ["app", "replay"]

app = new_app()

EPILOG = """\b
Examples:
  scrimp replay --wtp 0.5                  if a right answer were worth 50 cents
  scrimp replay --router shipped           if nothing had been learnt
  scrimp replay --profile openai --log work    another profile's arms over the log of `work`
  scrimp replay --max-cost 0.01 --since 2026-11-01
"""


@app.command(epilog=EPILOG)
def replay(
    profile: ProfileOption = None,
    router: Annotated[
        str | None,
        typer.Option("--router", metavar="VERSION", help="Decide by this version.", autocompletion=complete_versions),
    ] = None,
    wtp: WtpOption = None,
    prefer: PreferOption = None,
    max_cost: MaxCost = None,
    days: DaysOption = None,
    since: SinceOption = None,
    logged: Annotated[
        str | None,
        typer.Option(
            "--log",
            metavar="PROFILE",
            help="Replay the log of this profile (else that of --profile, or of the one asked with last).",
            autocompletion=complete_profiles,
        ),
    ] = None,
    limit: Annotated[int, typer.Option("-n", "--limit", min=0, help="Changed decisions to list.")] = 10,
    json: JsonOption = False,
) -> int:
    """Show which past decisions would change, and what that would cost or save. Nothing is sent."""
    from scrimp.routing.learn.measuring.replay import WhatIf, asked_with
    from scrimp.routing.learn.measuring.replay import replay as run

    loaded = session.load(profile, prefer=prefer)
    now = time.time()
    back = days_back(days, since, now=now)
    cost = session.parse_usd(max_cost, "--max-cost")
    what = WhatIf(router, wtp, None if cost is None else cost / 1e9, None if back is None else now - back * 86_400)
    ledger = session.ledger_to_read()
    log_of = logged or asked_with(ledger, loaded.profile.name)
    data = run(
        ledger, log_of, session.make_decider(loaded.profile), paths().routers, what,
        before=None if log_of == loaded.profile.name else _decider_of(log_of), n_shown=limit,
    )  # fmt: skip
    return emit(Result(data=data, blocks=_blocks(data)), as_json=json)


def _decider_of(profile: str) -> Decider | None:
    """Return what decides for the profile whose log it is; None where that is not to be had any more."""
    try:
        return session.make_decider(session.load(profile, quiet=True).profile)
    except ScrimpError as why:
        say(f"profile {profile} cannot be read, so answers of arms that only it has are left out: {why.message}")
        return None


def _usd(usd: float) -> str:
    return format_usd(nano_from_usd(round(usd, 9)))


def _interval(each: dict[str, float]) -> str:
    return f"{_usd(each['estimate'])} [{_usd(each['low'])}, {_usd(each['high'])}]"


def _blocks(data: dict[str, Any]) -> tuple[str | Table, ...]:
    if not data["n"]:
        return (f"the log holds no decisions of profile {data['profile']} to replay", *data["notes"])
    of, by = "", ""
    if data["decided_by"] != data["profile"]:
        of, by = f" of the log of {data['profile']}", f" under {data['decided_by']}"
    under = f"router {data['router']}, a right answer worth {_usd(data['wtp_usd'])}"
    blocks: list[str | Table] = [
        f"{data['n_changed']:,} of {counted(data['n'], 'decision')}{of} would change{by} ({under})"
    ]
    if data["n_infeasible"]:
        blocks.append(f"{counted(data['n_infeasible'], 'prompt')} no arm could take")
    blocks += [f"  {move['n']:,} from {move['from']} to {move['to']}" for move in data["moves"]]
    if data["n_changed"]:
        cost, quality, utility = data["cost_usd"], data["quality"], data["utility_usd"]
        blocks.append(f"cost: {_usd(cost['total'])} in all, {_interval(cost)} a prompt")
        spread = f"{quality['estimate']:+.4f} [{quality['low']:+.4f}, {quality['high']:+.4f}]"
        blocks.append(
            f"quality: {spread} a prompt; {counted(data['n_outcomes'], 'prompt has', 'prompts have')} outcomes"
        )
        blocks.append(f"utility: {_interval(utility)} a prompt")
    if data["changes"]:
        blocks.append(
            Table(
                (Column("id"), Column("was"), Column("would be"), Column("quality", "right"), Column("cost", "right")),
                [
                    (each["id"], each["from"], each["to"], f"{each['quality']:+.3f}", _usd(each["cost_usd"]))
                    for each in data["changes"]
                ],
                title="changed most",
            )
        )
    return (*blocks, *(f"note: {note}" for note in data["notes"]))
