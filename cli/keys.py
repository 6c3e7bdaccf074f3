"""`scrimp keys`: API keys, never on a command line and never shown."""

from __future__ import annotations

import getpass
import os
import sys
from typing import Annotated

import typer

from scrimp.profiles.errors import ExitCode, UsageError
from scrimp.profiles.paths import paths

from . import session
from .complete import complete_key_names, complete_keys
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

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="What the key is called, such as OPENAI_API_KEY.", autocompletion=complete_key_names
    ),
]
Stored = Annotated[str, typer.Argument(metavar="NAME", help="What the key is called.", autocompletion=complete_keys)]


@app.command("set")
def set_(name: Name) -> int:
    """Store a key: typed unseen at a prompt, or read from a pipe."""
    from scrimp.profiles.keys import set_key

    value = getpass.getpass(f"{name}: ") if sys.stdin.isatty() else _typed_in()
    if not value:
        raise UsageError("no key was given", hint=f"Type it at the prompt, or pipe it in: ... | scrimp keys set {name}")
    where = set_key(name, value, paths(), env=os.environ)
    say(f"stored {name} in {'the system keyring' if where == 'keyring' else paths().keys}")
    if os.environ.get(name) and os.environ[name] != value:
        say(f"note that {name} is set in the environment too, and wins")
    return 0


def _typed_in() -> str:
    """Return the first line of standard input, up to more than any key has."""
    return sys.stdin.buffer.readline(1 << 16).decode("utf-8", "replace").strip()


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
def rm(name: Stored) -> int:
    """Forget a stored key."""
    from scrimp.profiles.keys import remove_key

    if not remove_key(name, paths()):
        raise UsageError(f"no key {name!r} is stored", hint="`scrimp keys list` lists them.")
    say(f"forgot {name}")
    return 0


@app.command()
def test(profile: ProfileOption = None, json: JsonOption = False) -> int:
    """Try the keys of a profile: one tiny call for each, on the cheapest arm that uses it, paid like any other."""
    from scrimp.routing.asking.trial import cheapest_by_key, try_arm

    loaded = session.load(profile)
    chosen = cheapest_by_key(loaded.profile, session.price_table())
    if not chosen:
        say(f"no arm of profile {loaded.profile.name} needs a key")
        return 0
    ledger = session.ledger()
    space = session.workspace(loaded, ledger)
    space.look_after()
    rows = []
    worst = ExitCode.OK
    for name, arm in chosen.items():
        error = try_arm(space, arm)
        rows.append(
            {"key": name, "arm": arm, "works": error is None, "problem": None if error is None else error.message}
        )
        if error is not None:
            worst = error.exit_code
    block = Table(
        (Column("key"), Column("tried on"), Column("works")),
        [(str(row["key"]), str(row["arm"]), "yes" if row["works"] else f"no: {row['problem']}") for row in rows],
    )
    session.look_back(ledger, loaded.profile)
    return emit(Result(data={"schema_version": 1, "keys": rows}, blocks=(block,), exit_code=worst), as_json=json)
