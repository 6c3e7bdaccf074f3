"""`scrimp models`: a profile's arms, what they cost and what they can take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from scrimp.profiles.rungs import base_of
from scrimp.routing.text.in_words import counted

from . import session
from .complete import complete_models, complete_own_arms
from .options import JsonOption, ProfileOption
from .parser import new_app
from .result import Block, Column, Note, Result, Table, emit, say

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["app"]

app = new_app(
    epilog="""\b
Examples:
  scrimp models -p mixed
  scrimp models --pool           the arms of the pool too
  scrimp models --local          tokens a second, memory and energy of the arms on this machine
  scrimp models resume small     let a suspended arm take calls again
  scrimp models abilities gpt-4o claude-haiku-4-5    how able any model is taken to be
  scrimp models prices --update new.json --diff    prices of your own, and what they change
""",
)


_ABOUT_CHARS: Final = 200


@app.callback(invoke_without_command=True)
def models(
    ctx: typer.Context,
    profile: ProfileOption = None,
    pool: Annotated[bool, typer.Option("--pool", help="List the arms of the profile's pool too.")] = False,
    local: Annotated[
        bool, typer.Option("--local", help="Show how fast the arms of this machine are, their memory and energy.")
    ] = False,
    json: JsonOption = False,
) -> int:
    """List a profile's arms: ability, price, window, limits, capabilities, and whether their key is there."""
    if ctx.invoked_subcommand is not None:
        return 0
    if local:
        from .local_models import show_local

        return show_local(profile, as_json=json)
    from scrimp.profiles.paths import paths
    from scrimp.routing.reports.abilities import load_table
    from scrimp.routing.reports.arms import arm_rows, pool_rows

    from .abilities import shown

    loaded = session.load(profile, quiet=json)
    table = session.price_table()
    rows = arm_rows(loaded.profile, table, session.keys(), session.ledger_to_read(), load_table(paths().abilities))
    block = Table(
        (
            Column("arm"), Column("model", narrow="below"),
            Column("tier", narrow="once", drop=4), Column("ability", "right", drop=3),
            Column("$/M in", "right"), Column("$/M out", "right"), Column("window", "right", drop=2),
            Column("out limit", "right", drop=1), Column("takes", narrow="once", drop=5), Column("key", narrow="once"),
        ),
        [
            (
                row["name"] + (" *" if row["default"] else ""), row["model"], row["tier"] or "-",
                shown(row, "ability_"),
                _price(row["input_usd_per_mtok"]), _price(row["output_usd_per_mtok"]),
                "unknown" if row["context_window"] is None else f"{row['context_window']:,}",
                f"{row['output_limit']:,}",
                " ".join(row["capabilities"]) or "-", row["key"] + (" SUSPENDED" if row["suspended"] else ""),
            )
            for row in rows
        ],
    )  # fmt: skip
    messages = [
        f"{row['name']}: {row['model']} is gone on {row['deprecated_on']}"
        + (f"; its likely successor is {row['successor']}" if row["successor"] else "")
        for row in rows
        if row["deprecated_on"]
    ]
    messages += [f"{row['name']} is suspended: {row['suspended']}" for row in rows if row["suspended"]]
    data: dict[str, Any] = {"schema_version": 1, "profile": loaded.profile.name, "prices": table.source, "arms": rows}
    blocks: tuple[Block, ...] = (block, f"* the default arm. Prices: the profile's own, else {table.source}.")
    blocks += tuple(_described(rows))
    if loaded.profile.pool is not None:
        skills, n_wrong = pool_rows(loaded.profile)
        folder = loaded.profile.pool.folder
        data["pool"] = {"folder": folder, "n_arms": len(skills), "n_left_out": n_wrong}
        line = f"pool: {counted(len(skills), 'arm')} of the files in {folder}"
        blocks += (line if pool else f"{line} (--pool lists them)",)
        if pool:
            data["pool"]["arms"] = skills
            columns = (
                Column("arm"),
                Column("like"),
                Column("about", narrow="below"),
                Column("file", drop=1),
            )
            names = ("name", "like", "about", "file")
            blocks += (Table(columns, [tuple(skill[name] or "-" for name in names) for skill in skills]),)
        if n_wrong:
            messages.append(f"{n_wrong:,} of the pool left out: `scrimp profile check` says why")
    elif pool:
        messages.append(f"profile {loaded.profile.name} has no pool")
    return emit(Result(data=data, blocks=blocks, messages=tuple(messages)), as_json=json)


def _described(rows: Sequence[Mapping[str, Any]]) -> Iterator[Note]:
    """Yield what arms say of themselves, a line each: their efforts, what they are like, and what they are for."""
    for base, row in {base_of(row["name"]): row for row in rows}.items():
        parts = [f"at {' < '.join(row['efforts'])}, under one cap"] if row["efforts"] else []
        parts += [f"like {row['like']}"] if row["like"] else []
        parts += ["told how to answer"] if row["instructions"] else []
        about = " ".join((row["about"] or "").split())
        if parts or about:
            short = about if len(about) <= _ABOUT_CHARS else f"{about[: _ABOUT_CHARS - 1]}…"
            yield Note(f"{base}: {'; '.join([*([short] if short else []), *parts])}")


def _price(usd: float | None) -> str:
    return "unknown" if usd is None else f"{usd:g}"


@app.command()
def resume(
    arm: Annotated[str, typer.Argument(metavar="ARM", autocompletion=complete_own_arms)],
    profile: ProfileOption = None,
) -> int:
    """Let an arm take calls again that was suspended because it charged above its enforced bound."""
    from scrimp.routing.asking.money import resume_arm

    resume_arm(session.ledger_to_read(), session.load(profile, quiet=True).profile.name, arm)
    say(f"{arm} takes calls again")
    return 0


@app.command()
def prices(
    profile: ProfileOption = None,
    update: Annotated[
        Path | None,
        typer.Option(
            "--update", metavar="FILE", help="Take prices from this file (LiteLLM's JSON form) before LiteLLM's own."
        ),
    ] = None,
    forget: Annotated[bool, typer.Option("--forget", help="Go back to the prices that come with LiteLLM.")] = False,
    diff: Annotated[
        bool,
        typer.Option(
            "--diff", help="Show which arms' prices changed, and which choices of the last 30 days would flip."
        ),
    ] = False,
    json: JsonOption = False,
) -> int:
    """Show which prices are in force, and where they come from; nothing is fetched.

    --diff compares with the prices that the log was charged at; after --update, with those that were in force before.
    """
    from .prices import run_prices

    return run_prices(profile, update=update, forget=forget, diff=diff, as_json=json)


@app.command()
def abilities(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL",
            help="Any LiteLLM model ids; left out, the profile's arms.",
            autocompletion=complete_models,
        ),
    ] = None,
    profile: ProfileOption = None,
    every: Annotated[bool, typer.Option("--all", help="The whole table, the ablest first.")] = False,
    update: Annotated[
        Path | None,
        typer.Option(
            "--update",
            metavar="FILE",
            help="Take abilities from this file before those that ship: this command's JSON, or CSV with the columns "
            "model,ability,low,high[,released].",
        ),
    ] = None,
    forget: Annotated[bool, typer.Option("--forget", help="Go back to the abilities that ship with scrimp.")] = False,
    json: JsonOption = False,
) -> int:
    """Show how able models are, with an 80% interval, and what it rests on; nothing is fetched.

    On benchmarks where public leaderboards know a model, else on its line, price, tier and size.
    """
    from .abilities import run_abilities

    return run_abilities(models or (), profile, every=every, update=update, forget=forget, as_json=json)
