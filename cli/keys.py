"""`scrimp keys`: API keys, never on a command line and never shown."""

from __future__ import annotations

import getpass
import os
import sys
from typing import Annotated, Final

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
    bare="list",
    epilog="""\b
Examples:
  scrimp keys set openai                      asks for it, without showing it
  pass show groq | scrimp keys set groq
  scrimp keys list                            where each is kept, not what it is
  scrimp keys rm openai
  ls -l "$(scrimp keys path)"                 the file itself, yours alone
  scrimp keys test -p openai                  one tiny call for each key
""",
)

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="The provider, such as openai, or its variable.", autocompletion=complete_key_names
    ),
]
ANYTHING: Final = {"ignore_unknown_options": True, "allow_extra_args": True}
"""A parser that refuses nothing: what it would say of a key shows the key."""
Stored = Annotated[
    str, typer.Argument(metavar="NAME", help="The provider, or what the key is called.", autocompletion=complete_keys)
]


@app.command("set", context_settings=ANYTHING)
def set_(ctx: typer.Context, name: Name) -> int:
    """Store a key: typed unseen at a prompt, or read from a pipe."""
    from scrimp.profiles.keys import set_key
    from scrimp.profiles.providers import key_name, unread

    name, given, _ = name.partition("=")
    _refuse_argument(name, [*([given] if given else []), *ctx.args])
    name = key_name(name)
    value = getpass.getpass(f"{name}: ") if sys.stdin.isatty() else _typed_in()
    if not value:
        raise UsageError("no key was given", hint=f"Type it at the prompt, or pipe it in: ... | scrimp keys set {name}")
    where = set_key(name, value, paths(), env=os.environ)
    say(f"stored {name} in {'the system keyring' if where == 'keyring' else paths().keys}")
    if (note := unread(name)) is not None:
        say(note)
    if os.environ.get(name) and os.environ[name] != value:
        say(f"note that {name} is set in the environment too, and wins")
    return 0


def _refuse_argument(name: str, given: list[str]) -> None:
    """Refuse a key that stands on the command line; nothing of it is shown."""
    from scrimp.profiles.providers import key_name

    if not given:
        return
    try:
        name = key_name(name)
    except UsageError:
        name = "NAME"
    raise UsageError(
        "a key is never given on the command line: your shell's history may hold it now",
        hint=f"Take it out of there (or get a new key), then type it unseen: scrimp keys set {name}",
    )


@app.command(hidden=True, context_settings=ANYTHING)
def get() -> int:
    """Say that keys are never shown."""
    raise UsageError(
        "keys are never shown", hint="`scrimp keys path` prints the file that has them; `scrimp keys test` tries them."
    )


@app.command()
def path() -> int:
    """Print the file that keys are kept in."""
    return emit(Result(blocks=(str(paths().keys),)))


def _typed_in() -> str:
    """Return the first line of standard input, up to more than any key has."""
    return sys.stdin.buffer.readline(1 << 16).decode("utf-8", "replace").strip()


@app.command("list")
def list_(json: JsonOption = False) -> int:
    """List the keys that are stored, and providers' keys that are set, by name; never the keys."""
    from scrimp.profiles.keys import list_keys
    from scrimp.profiles.providers import variables

    stored: dict[str, str] = dict(list_keys(paths()))
    is_set = {name for name in (*stored, *variables()) if os.environ.get(name, "").strip()}
    rows: list[dict[str, object]] = [
        {"name": name, "kept_in": stored.get(name), "in_environment": name in is_set}
        for name in sorted(stored.keys() | is_set)
    ]

    def set_too(row: dict[str, object]) -> str:
        return "-" if not row["in_environment"] else "set" if row["kept_in"] is None else "set too, and wins"

    table = Table(
        (Column("key"), Column("kept in"), Column("environment")),
        [(str(row["name"]), str(row["kept_in"] or "-"), set_too(row)) for row in rows],
    )
    none = "no key is stored, and none of a provider's is set; to store one: scrimp keys set openai"
    messages = (*session.keys().notes, *(() if rows else (none,)))
    return emit(
        Result(data={"schema_version": 1, "keys": rows}, blocks=(table,) if rows else (), messages=messages),
        as_json=json,
    )


@app.command()
def rm(name: Stored) -> int:
    """Forget a stored key."""
    from scrimp.profiles.keys import list_keys, remove_key
    from scrimp.profiles.providers import key_name

    if name not in list_keys(paths()):  # one that was stored under another rule for names can be forgotten, too
        name = key_name(name)
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
