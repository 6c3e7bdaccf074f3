"""`scrimp alias`: the user's own names for arms and models, as `-m` takes them."""

from __future__ import annotations

from typing import Annotated

import typer

from scrimp.profiles.aliases import read_aliases, remove_alias, set_alias
from scrimp.profiles.errors import ScrimpError
from scrimp.profiles.paths import paths

from . import session
from .complete import complete_aliases, complete_arms
from .options import JsonOption
from .parser import new_app
from .result import Column, Result, Table, emit, say, write_out

__all__ = ["app"]

app = new_app(
    "Your own names for arms and models: -m takes them in every command (docs/asking.md).",
    bare="list",
    epilog="""\b
Examples:
  scrimp alias set mini gpt-5-mini
  scrimp ask -m mini "What is the capital of France?"
  scrimp alias list
  scrimp alias rm mini
  cat "$(scrimp alias path)"          the file they are kept in
""",
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The alias.", autocompletion=complete_aliases)]


@app.command("set")
def set_(
    name: Name,
    target: Annotated[
        str, typer.Argument(metavar="ARM|MODEL", help="What it stands for.", autocompletion=complete_arms)
    ],
) -> int:
    """Have a name stand for an arm, or a model as LiteLLM calls it."""
    before = set_alias(name, target, paths())
    told = read_aliases(paths())[name]
    say(f"{name} stands for {told}" + ("" if before in (None, told) else f" (was: {before})"))
    _look_up(name)
    return 0


def _look_up(name: str) -> None:
    """Say where an alias will not do what one might expect, in the profile that is in force."""
    try:
        loaded = session.load(None, quiet=True)
        if any(arm.name == name for arm in loaded.profile.arms):
            say(f"note that profile {loaded.profile.name} has an arm {name}, which comes first")
        else:
            session.with_model(loaded, name)
    except ScrimpError as error:
        say(f"note that as it stands, {error.message}")


@app.command("list")
def list_(json: JsonOption = False) -> int:
    """List your aliases."""
    aliases = read_aliases(paths())
    table = Table((Column("alias"), Column("stands for")), list(aliases.items()))
    messages = () if aliases else ("there are none; `scrimp alias set NAME MODEL` makes one",)
    data = {"schema_version": 1, "aliases": aliases}
    return emit(Result(data=data, blocks=(table,) if aliases else (), messages=messages), as_json=json)


@app.command()
def rm(name: Name) -> int:
    """Forget an alias."""
    say(f"forgot {name}, which stood for {remove_alias(name, paths())}")
    return 0


@app.command()
def path() -> int:
    """Print where they are kept: a TOML file of NAME = "MODEL" lines."""
    write_out(f"{paths().aliases}\n")
    return 0
