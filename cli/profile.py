"""`scrimp profile`: arms, caps and a policy under one name."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from scrimp.profiles.choice import USE
from scrimp.profiles.errors import ConfigError, ExitCode, UsageError
from scrimp.profiles.layers import is_path
from scrimp.profiles.paths import paths
from scrimp.routing.text.in_words import counted

from . import session
from .complete import complete_profiles
from .editor import open_editor
from .options import JsonOption
from .parser import new_app
from .result import Column, Result, Table, emit, say

__all__ = ["app"]

app = new_app(
    "Arms, caps and a policy under one name.",
    bare="list",
    epilog="""\b
Examples:
  scrimp profile list
  scrimp profile init work --from openai    a starter file that extends a built-in
  scrimp profile use work                   what is used where no -p says otherwise
  scrimp profile show work --origin         every key, and what set it
  scrimp profile check work                 keys, prices, models that are going away
  scrimp profile edit work                  in your editor
  cat "$(scrimp profile path work)"         the file itself
""",
)

Name = Annotated[str | None, typer.Argument(metavar="[NAME|FILE]", autocompletion=complete_profiles)]


@app.command("list")
def list_(json: JsonOption = False) -> int:
    """List the profiles that -p takes; * is the one used when none is named."""
    from scrimp.profiles.choice import key_of
    from scrimp.profiles.load import list_profiles

    try:
        current = session.load(None, quiet=True).files[0]
    except (ConfigError, UsageError) as error:
        current = None
        say(f"the profile that would be used cannot be loaded: {error.message}")
    rows: list[dict[str, Any]] = [
        {
            "name": each.name,
            "origin": each.origin,
            "path": str(each.path),
            "shadows": each.shadows,
            "current": each.path == current,
            "key": None if each.origin == "user" else key_of(each.name, session.keys(), os.environ),
        }
        for each in list_profiles(paths())
    ]
    table = Table(
        (Column("profile"), Column("from"), Column("key"), Column("file", narrow="below")),
        [
            (
                row["name"] + (" *" if row["current"] else ""),
                f"{row['origin']}, hides the built-in" if row["shadows"] else str(row["origin"]),
                row["key"] or "-",
                "-"
                if row["origin"] == "built-in"
                else _from_home(str(row["path"])),  # `profile path NAME` says where it is
            )
            for row in rows
        ],
    )
    return emit(Result(data={"schema_version": 1, "profiles": rows}, blocks=(table,)), as_json=json)


def _from_home(path: str) -> str:
    """Return a path as a shell takes it, from the user's own folder where it is below it."""
    home = os.path.expanduser("~")  # noqa: PTH111 - it fails nowhere
    return f"~{path[len(home) :]}" if home != "~" and path.startswith(home + os.sep) else path


@app.command()
def show(
    name: Name = None,
    origin: Annotated[bool, typer.Option("--origin", help="Say after each key what set it.")] = False,
    json: JsonOption = False,
) -> int:
    """Show a profile as it takes effect: extended, overridden, with every default, as TOML."""
    import msgspec

    from scrimp.profiles.load import to_toml

    loaded = session.load(name, quiet=json)
    data: dict[str, Any] = {"schema_version": 1, "profile": msgspec.to_builtins(loaded.profile, enc_hook=str)}
    data |= {"files": [str(path) for path in loaded.files], "chosen_by": loaded.chosen_by}
    if origin:
        data["origin"] = dict(loaded.origin)
    text = to_toml(loaded.profile, loaded.origin if origin else None).rstrip("\n")
    return emit(Result(data=data, blocks=(text,)), as_json=json)


@app.command()
def init(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    template: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="PROFILE",
            help="What it extends; a built-in that fits your keys unless said.",
            autocompletion=complete_profiles,
        ),
    ] = None,
) -> int:
    """Write a starter profile that extends another; never over an existing file."""
    from scrimp.profiles.choice import template_by_keys
    from scrimp.profiles.load import init_profile

    template = template or template_by_keys(session.keys(), os.environ)
    path = init_profile(name, template, paths())
    note = (
        f"wrote it, over {template}; `scrimp profile edit {name}` opens it, `scrimp profile use {name}` makes it the "
        "default"
    )
    return emit(Result(blocks=(str(path),), messages=(note,)))


@app.command()
def use(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", autocompletion=complete_profiles)] = None,
    auto: Annotated[
        bool, typer.Option("--auto", help="None of them: your profile called default, or one that fits your keys.")
    ] = False,
) -> int:
    """Make a profile the one that is used where none is named; without NAME, say which that is."""
    from scrimp.profiles.choice import use_profile

    if name is not None and auto:
        raise UsageError("a NAME and --auto say two things", hint="Give one of them.")
    if name is not None and is_path(name):
        raise UsageError("a default is a profile's name, not a file", hint=f"Put it into {paths().profiles}")
    if name == "none" and not (paths().profiles / "none.toml").exists():
        name, auto = None, True
    if auto or name is not None:
        use_profile(name, paths())
    loaded = session.load(None, quiet=True)
    notes = [] if loaded.daily is None else [loaded.daily]
    if loaded.chosen_by not in {USE, "keys"}:
        notes.append(f"{loaded.chosen_by} chose it here")
    return emit(Result(blocks=(loaded.profile.name,), messages=tuple(notes)))


@app.command()
def check(name: Name = None, json: JsonOption = False) -> int:
    """Check a profile: keys, prices, models that are gone or going. Exit 78 if an arm cannot be used."""
    from scrimp.routing.reports.profile_check import check_profile

    loaded = session.load(name, quiet=json)
    findings = check_profile(loaded, session.price_table(), session.keys(), today=datetime.now(UTC).date())
    rows = [{"level": each.level, "where": each.where, "message": each.message, "fix": each.fix} for each in findings]
    lines = [
        f"{each.level}: {each.where}: {each.message}" + (f"\n  {each.fix}" if each.fix else "") for each in findings
    ]
    failed = any(each.level == "error" for each in findings)
    if not failed:
        lines.append(f"{loaded.profile.name}: {counted(len(loaded.profile.arms), 'arm')} can be used")
    data = {"schema_version": 1, "profile": loaded.profile.name, "ok": not failed, "findings": rows}
    code = ExitCode.CONFIG if failed else ExitCode.OK
    return emit(Result(data=data, blocks=tuple(lines), exit_code=code), as_json=json)


@app.command()
def path(name: Name = None) -> int:
    """Print the file of a profile."""
    return emit(Result(blocks=(str(session.load(name, quiet=True).files[0]),)))


@app.command()
def edit(name: Annotated[str, typer.Argument(metavar="NAME", autocompletion=complete_profiles)]) -> int:
    """Open one of your profiles in $VISUAL or $EDITOR, and check it afterwards."""
    from scrimp.profiles.load import BUILT_IN, list_profiles
    from scrimp.profiles.schema import did_you_mean

    file = paths().profiles / f"{name}.toml"
    if not file.exists():
        if name in BUILT_IN:
            raise UsageError(
                f"{name} comes with scrimp, and is not yours to edit",
                hint=f"Make one that extends it: scrimp profile init my-{name} --from {name}",
            )
        near = did_you_mean(name, [each.name for each in list_profiles(paths()) if each.origin == "user"])
        raise UsageError(f"you have no profile {name!r}{near}", hint=f"Make one with: scrimp profile init {name}")
    open_editor(file)
    session.load(str(Path(file)), quiet=True)
    say(f"{file} is in order")
    return 0
