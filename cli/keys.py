"""`scrimp keys`: API keys, never on a command line and never shown."""

from __future__ import annotations

import getpass
import os
import sys
from typing import Annotated

import typer

from scrimp.profiles.errors import ExitCode, ScrimpError, UsageError
from scrimp.profiles.paths import paths

from . import session
from .options import JsonOption, ProfileOption
from .parser import new_app
from .result import Column, Result, Table, emit, say

__all__ = ["app"]

app = new_app(
    "API keys: stored readable by you alone, never given on a command line, never shown.",
    group=True,
    epilog="""\b
Examples:
  scrimp keys set OPENAI_API_KEY              asks for it, without showing it
  pass show openai | scrimp keys set OPENAI_API_KEY
  scrimp keys test -p openai                  one tiny call for each key
""",
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="What the key is called, such as OPENAI_API_KEY.")]


@app.command("set")
def set_(name: Name) -> int:
    """Store a key: typed unseen at a prompt, or read from a pipe."""
    from scrimp.profiles.keys import set_key

    value = getpass.getpass(f"{name}: ") if sys.stdin.isatty() else sys.stdin.readline().strip()
    if not value:
        raise UsageError("no key was given", hint=f"Type it at the prompt, or pipe it in: ... | scrimp keys set {name}")
    where = set_key(name, value, paths(), env=os.environ)
    say(f"stored {name} in {'the system keyring' if where == 'keyring' else paths().keys}")
    if os.environ.get(name) and os.environ[name] != value:
        say(f"note that {name} is set in the environment too, and wins")
    return 0


@app.command("list")
def list_(json: JsonOption = False) -> int:
    """List stored keys by name, and where each is kept; never the keys."""
    from scrimp.profiles.keys import list_keys

    rows = [
        {"name": name, "kept_in": where, "in_environment": bool(os.environ.get(name))}
        for name, where in list_keys(paths()).items()
    ]
    table = Table(
        (Column("key"), Column("kept in"), Column("environment")),
        [
            (str(row["name"]), str(row["kept_in"]), "set too, and wins" if row["in_environment"] else "-")
            for row in rows
        ],
    )
    messages = (*session.keys().notes, *(() if rows else ("no keys are stored",)))
    return emit(
        Result(data={"schema_version": 1, "keys": rows}, blocks=(table,) if rows else (), messages=messages),
        as_json=json,
    )


@app.command()
def rm(name: Name) -> int:
    """Forget a stored key."""
    from scrimp.profiles.keys import remove_key

    if not remove_key(name, paths()):
        raise UsageError(f"no key {name!r} is stored", hint="`scrimp keys list` lists them.")
    say(f"forgot {name}")
    return 0


@app.command()
def test(profile: ProfileOption = None, json: JsonOption = False) -> int:
    """Try the keys of a profile: one tiny call for each, on the cheapest arm that uses it, paid like any other."""
    from scrimp.profiles.keys import key_names
    from scrimp.routing.asking.request import Ask
    from scrimp.routing.deciding.decide import Wishes
    from scrimp.routing.prompts.prompt import Prompt

    loaded = session.load(profile)
    table = session.price_table()
    chosen: dict[str, tuple[float, str]] = {}
    for arm in loaded.profile.arms:
        name = "key_cmd" if arm.key_cmd else next(iter(key_names(arm)), None)
        price = table.price(arm)
        if name is not None and price is not None:
            chosen[name] = min(chosen.get(name, (float("inf"), "")), (price.output_usd_per_mtok, arm.name))
    if not chosen:
        say(f"no arm of profile {loaded.profile.name} needs a key")
        return 0
    ledger = session.ledger()
    space = session.workspace(loaded, ledger)
    space.look_after()
    text = "Answer with the one word OK."
    (context,) = space.decider.contexts([text])
    rows = []
    worst = ExitCode.OK
    for name, (_, arm_name) in chosen.items():
        request = Ask(Prompt(text), Wishes(arm=arm_name), command="keys test", keep="money", deadline_s=60.0)
        row: dict[str, object] = {"key": name, "arm": arm_name, "works": True, "problem": None}
        try:
            space.answer(request, context)
        except ScrimpError as error:
            row |= {"works": False, "problem": error.message}
            worst = error.exit_code
        rows.append(row)
    block = Table(
        (Column("key"), Column("tried on"), Column("works")),
        [(str(row["key"]), str(row["arm"]), "yes" if row["works"] else f"no: {row['problem']}") for row in rows],
    )
    return emit(Result(data={"schema_version": 1, "keys": rows}, blocks=(block,), exit_code=worst), as_json=json)
