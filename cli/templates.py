"""`scrimp templates`: prompts kept under a name; and `ask --save` and `ask -t`, which keep and use them."""

from __future__ import annotations

from dataclasses import fields, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from scrimp.profiles.errors import ConfigError, UsageError
from scrimp.profiles.paths import paths
from scrimp.profiles.templates import (
    Template,
    as_text,
    list_templates,
    read_template,
    remove_template,
    save_template,
    template_path,
)

from . import session
from .asking import AskFlags
from .complete import complete_templates
from .editor import open_editor
from .options import JsonOption
from .parser import new_app
from .result import Column, Result, Table, emit, say, write_out

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["app", "laid_under", "read_named", "save_flags"]

app = new_app(
    "Prompts kept under a name, with how they are asked (docs/asking.md).",
    bare="list",
    epilog="""\b
Examples:
  scrimp ask --save sum -s "Be brief." "Sum it up: {{input}}"     keeps one
  scrimp ask -t sum < notes.txt                                   uses it
  scrimp templates list
  scrimp templates show sum
  scrimp templates edit sum
  scrimp templates rm sum
  ls "$(scrimp templates path)"                                   the folder they are kept in
""",
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Which template.", autocompletion=complete_templates)]


@app.command("list")
def list_(json: JsonOption = False) -> int:
    """List your templates, with what each begins with."""
    rows, problems = [], []
    for name, path in list_templates(paths()).items():
        try:
            rows.append(_row(name, path))
        except ConfigError as error:
            problems.append(error.message)
            rows.append({"name": name, "file": str(path), "settings": [], "begins": "(cannot be read)"})
    table = Table(
        (Column("template"), Column("settings"), Column("begins")),
        [(str(row["name"]), ", ".join(row["settings"]) or "-", str(row["begins"])) for row in rows],
    )
    none = f'there are none in {paths().templates}; `scrimp ask --save NAME "..."` makes one'
    messages = tuple(problems) if rows else (none,)
    data = {"schema_version": 1, "templates": rows}
    return emit(Result(data=data, blocks=(table,) if rows else (), messages=messages), as_json=json)


def _row(name: str, path: Path) -> dict[str, Any]:
    template = read_template(name, paths())
    lines = (template.prompt or template.system or "").strip().splitlines()
    return {"name": name, "file": str(path), "settings": _settings(template), "begins": lines[0][:60] if lines else ""}


def _settings(template: Template) -> list[str]:
    """Return which settings a template has, by name."""
    plain = Template()
    names = (name for name in template.__struct_fields__ if name != "prompt")
    return [name for name in names if getattr(template, name) != getattr(plain, name)]


@app.command()
def show(name: Name) -> int:
    """Print a template as its file has it."""
    path = template_path(name, paths())
    write_out(as_text(read_template(str(path), paths())))
    return 0


@app.command()
def edit(name: Name) -> int:
    """Open a template in $VISUAL or $EDITOR; a new one where there is none of that name."""
    if name in list_templates(paths()):
        file = template_path(name, paths())
    else:
        file = save_template(name, Template(prompt="{{input}}"), paths())
    open_editor(file)
    read_template(str(file), paths())
    say(f"{file} is in order")
    return 0


@app.command()
def path(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Which template (none: the folder).", autocompletion=complete_templates),
    ] = None,
) -> int:
    """Print where a template, or the folder of all, is."""
    write_out(f"{paths().templates if name is None else template_path(name, paths())}\n")
    return 0


@app.command()
def rm(name: Name) -> int:
    """Remove a template."""
    say(f"removed {remove_template(name, paths())}")
    return 0


# -- ask -t, ask --save ------------------------------------------------------------------------------------------------

_ONE_OF: Final = (("arm", "plan", "cascade"), ("prefer", "wtp"), ("schema", "schema_multi"))
"""Flags of which one is given: where it is typed, what a template says of the others is left aside."""

_CALLED: Final = {
    "model": "arm", "file": "files", "attachment": "attachments", "check": "checks", "need": "needs",
    "local_only": "on_this_machine",
}  # fmt: skip
"""Settings of a template that `AskFlags` calls otherwise."""

_ASIDE: Final = ("words", "variables", "quiet", "confirmed")
"""Flags that are no setting, and do not stand in the way of `--save`."""


def read_named(name: str) -> Template:
    """Return the template that `-t` names: one of the user's own, or a file.

    Raises
    ------
    UsageError, ConfigError
        As `read_template`.
    """
    return read_template(name, paths())


def laid_under(flags: AskFlags, template: Template) -> AskFlags:
    """Return flags with what a template says where they say nothing; what can be given several times adds up."""
    plain = AskFlags()
    typed = {each.name for each in fields(AskFlags) if getattr(flags, each.name) != getattr(plain, each.name)}
    aside = {name for group in _ONE_OF if typed & set(group) for name in group}
    laid: dict[str, Any] = {}
    for key in template.__struct_fields__:
        name, value = _CALLED.get(key, key), getattr(template, key)
        if key in ("prompt", "defaults") or value in (None, (), {}) or value is False or name in aside:
            continue
        there = getattr(flags, name)
        if isinstance(value, tuple):
            laid[name] = (*value, *(each for each in there if each not in value))
        elif isinstance(value, dict):
            laid[name] = value | dict(there)
        elif name not in typed:
            laid[name] = _as_flag(name, value)
    return replace(flags, **laid)


def _as_flag(name: str, value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value) if name == "wtp" else f"{value:f}"
    return value


def save_flags(name: str, flags: AskFlags, *, alone: Mapping[str, bool]) -> int:
    """Keep what was typed to `ask` as a template.

    Parameters
    ----------
    alone
        Flags that are about one call, whether each was given.

    Raises
    ------
    UsageError
        If there is nothing to keep, a flag cannot be kept, or there is a template of that name (and no `-y`).
    """
    from scrimp.routing.asking.compose import given_variables

    settings = {_CALLED.get(key, key): key for key in Template.__struct_fields__}
    plain, kept = AskFlags(), {}
    given = [each.name for each in fields(AskFlags) if getattr(flags, each.name) != getattr(plain, each.name)]
    for each in given:
        if each in settings:
            kept[settings[each]] = getattr(flags, each)
        elif each not in _ASIDE:
            raise _not_kept(f"--{each.replace('_', '-')}")
    if (other := next((flag for flag, is_on in alone.items() if is_on), None)) is not None:
        raise _not_kept(other)
    if "-" in (*flags.words, *flags.files, *flags.attachments):
        raise UsageError("--save keeps what is typed: standard input is given when the template is used")
    kept["prompt"] = " ".join(flags.words)
    kept["defaults"] = given_variables(flags.variables)
    template = Template(**_lasting(kept))
    if template == Template():
        raise UsageError(
            "there is nothing to save", hint=f'Such as: scrimp ask --save {name} "Sum it up: {{{{input}}}}"'
        )
    say(f"saved {save_template(name, template, paths(), over=flags.confirmed)}; `scrimp ask -t {name}` uses it")
    return 0


def _not_kept(flag: str) -> UsageError:
    return UsageError(
        f"{flag} is about one call, and no part of a template", hint="Give it where the template is used."
    )


def _lasting(kept: dict[str, Any]) -> dict[str, Any]:
    """Return settings so that they mean the same from any folder: whole paths, and a schema itself."""
    from scrimp.routing.asking.call_options import read_options
    from scrimp.routing.asking.compose import schema_to_keep

    for key in ("file", "attachment"):
        if key in kept:
            kept[key] = tuple(each if "://" in each else str(Path(each).absolute()) for each in kept[key])
    for key in ("schema", "schema_multi"):
        if key in kept:
            kept[key] = schema_to_keep(kept[key])
    session.parse_usd(kept.get("max_cost"), "--max-cost")
    kept |= {key: Decimal(str(kept[key])) for key in ("wtp", "max_cost") if key in kept}
    read_options(kept.get("options", {}))
    return kept
