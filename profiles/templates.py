"""Templates: prompts under a name, with how they are asked; a text file each in a folder of the user's.

A file is the prompt, with {{variables}}. It may begin with a table of TOML between two lines of `+++`, whose keys are
called as the flags of `ask`.
"""

from __future__ import annotations

import os
import re
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec

from .building import build, plain
from .errors import ConfigError, UsageError
from .files import store_own
from .layers import parse_toml
from .reading import read_text
from .render import toml_key, toml_value
from .schema import NAME_PATTERN, NAME_WORDS, Prefer, did_you_mean

if TYPE_CHECKING:
    from .paths import Paths

__all__ = [
    "FENCE",
    "Settings",
    "Template",
    "as_text",
    "list_templates",
    "read_template",
    "remove_template",
    "save_template",
    "template_path",
]

FENCE: Final = "+++"

_HARMLESS: Final = frozenset({"system", "options", "defaults", "brief", "extract"})

_Meta = msgspec.Meta
_Words = Annotated[tuple[str, ...], _Meta(description='a list of texts, such as ["one", "two"]')]
_Usd = Annotated[Decimal, _Meta(description="an amount in USD, 0 or more")]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a template's prompt is asked; None, empty and False say nothing.

    Attributes
    ----------
    model
        An arm, an alias or a model, as for `-m`.
    schema
        As for `--schema`: JSON, a shorthand, or the name of a file.
    options
        As for `-o`: values by name.
    defaults
        What variables are where `-v` does not give them.
    """

    system: str | None = None
    model: str | None = None
    profile: str | None = None
    file: _Words = ()
    attachment: _Words = ()
    read: str | None = None
    schema: str | None = None
    schema_multi: str | None = None
    check: _Words = ()
    plan: str | None = None
    cascade: bool = False
    repair: bool = False
    need: _Words = ()
    prefer: Prefer | None = None
    wtp: _Usd | None = None
    min_quality: Annotated[float, _Meta(ge=0, le=1, description="a number from 0 to 1")] | None = None
    max_cost: _Usd | None = None
    local_only: bool = False
    brief: bool = False
    extract: bool = False
    tag: str | None = None
    options: dict[str, Any] = {}
    defaults: dict[str, str] = {}


class Template(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A prompt and how it is asked.

    Attributes
    ----------
    prompt
        The text, with `{{variables}}`; `{{input}}` is what is typed. Empty where what is typed is the prompt.
    """

    prompt: str = ""


def list_templates(paths: Paths) -> dict[str, Path]:
    """Return the user's templates: the file of each, by name, in the order of the names.

    Raises
    ------
    ConfigError
        If the folder cannot be read.
    """
    try:
        files = [file for file in paths.templates.iterdir() if file.is_file() and not file.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise ConfigError(f"{paths.templates}: cannot be read: {error.strerror}") from None
    names = sorted({file.stem if file.suffix in {".txt", ".md"} else file.name for file in files})
    return {name: path for name in names if (path := _own_file(name, paths)) is not None}


def template_path(name: str, paths: Paths) -> Path:
    """Return the file of a template of the user's.

    Raises
    ------
    UsageError
        If there is none of that name.
    """
    if NAME_PATTERN.fullmatch(name) and (path := _own_file(name, paths)) is not None:
        return path
    there = list_templates(paths)
    raise UsageError(
        f"no template {name!r} in {paths.templates}{did_you_mean(name, there)}",
        hint=f"There are: {', '.join(there)}." if there else f'`scrimp ask --save {name} "..."` makes one.',
    )


def read_template(name: str, paths: Paths) -> Template:
    """Return a template: one of that name in the user's own folder, or a file of that path.

    A file elsewhere may have come with a repository: it may say how its prompt is asked, but nothing that runs a
    command, reads another file, or says where the prompt goes.

    Raises
    ------
    UsageError
        If there is no such template.
    ConfigError
        If it cannot be read, or its first lines say something wrong: the message names file and line.
    """
    path = _own_file(name, paths)
    if path is None and Path(name).is_file():
        path = Path(name)
    if path is None:
        there = list_templates(paths)
        raise UsageError(
            f"no template {name!r}: neither a file nor in {paths.templates}{did_you_mean(name, there)}",
            hint=f"There are: {', '.join(there)}."
            if there
            else f"Put one in {paths.templates}/{name}.txt, with variables as {{{{name}}}}, or `scrimp ask --save`.",
        )
    try:
        text = read_text(path)
    except OSError as error:
        raise ConfigError(f"cannot read template {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"cannot read template {path}:{line}: it is not UTF-8") from None
    return _parsed(text, str(path), own=path.resolve().parent == paths.templates.resolve())


def save_template(name: str, template: Template, paths: Paths, *, over: bool = False) -> Path:
    """Write a template of the user's, whole or not at all; return its file.

    Parameters
    ----------
    over
        Whether one of that name may be replaced.

    Raises
    ------
    UsageError
        If the name cannot be one, or there is one of that name.
    ConfigError
        If it cannot be written.
    """
    if not NAME_PATTERN.fullmatch(name):
        raise UsageError(f"not a name for a template: {name!r}", hint=f"Use {NAME_WORDS}.")
    there = _own_file(name, paths)
    if there is not None and not over:
        raise UsageError(
            f"there is a template {name} already: {there}",
            hint=f"-y replaces it; `scrimp templates edit {name}` opens it.",
        )
    path = there or paths.templates / f"{name}.md"
    store_own(path, as_text(template).encode())
    return path


def remove_template(name: str, paths: Paths) -> Path:
    """Forget a template of the user's; return the file that it was.

    Raises
    ------
    UsageError
        If there is none of that name.
    ConfigError
        If its file cannot be removed.
    """
    path = template_path(name, paths)
    try:
        path.unlink()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be removed: {error.strerror}") from None
    return path


def as_text(template: Template) -> str:
    """Return a template as the text of its file."""
    said = {
        name: value
        for name in Settings.__struct_fields__
        if (value := getattr(template, name)) is not None and value is not False and value not in ((), {})
    }
    prompt = template.prompt if template.prompt[-1:] in ("", "\n") else f"{template.prompt}\n"
    if not said and not prompt.startswith(FENCE):
        return prompt
    tables = {key: value for key, value in said.items() if isinstance(value, dict)}
    lines = [f"{key} = {_written(value)}\n" for key, value in said.items() if key not in tables]
    for table, values in tables.items():
        lines += [f"\n[{table}]\n", *(f"{toml_key(key)} = {_written(value)}\n" for key, value in values.items())]
    return f"{FENCE}\n{''.join(lines).lstrip()}{FENCE}\n\n{prompt}"


def _written(value: object) -> str:
    """Return a value as TOML writes it; a text of several lines as it stands, where that can be."""
    if isinstance(value, str) and "\n" in value and not re.search(r"'''|'\Z|[^\n\t\x20-\x7e\u0080-\U0010ffff]", value):
        return f"'''\n{value}'''"
    return toml_value(value)


def _parsed(text: str, place: str, *, own: bool) -> Template:
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    if lines[0].rstrip() != FENCE:
        return Template(prompt=text)
    end = next((at for at, line in enumerate(lines[1:], start=1) if line.rstrip() == FENCE), None)
    if end is None:
        raise ConfigError(f"{place}:1: the settings that begin here have no end: a line of {FENCE}")
    table, source = parse_toml("\n".join(["", *lines[1:end]]), "template", place)
    for key in () if own else table:
        if key in Settings.__struct_fields__ and not _is_harmless(key, table[key]):
            raise ConfigError(
                f"{source.at((key,))}: {key}: only a template in your own folder may say this",
                hint="What you trust you can copy there: `scrimp templates path` says where it is.",
            )
    said = msgspec.structs.asdict(build(Settings, table, source.at))
    said["options"] = {key: plain(value) for key, value in said["options"].items()}
    return Template(prompt="\n".join(lines[end + 1 :]).strip("\n"), **said)


def _is_harmless(key: str, value: object) -> bool:
    """Tell whether a setting neither runs, reads nor pays for anything, nor says where the prompt goes."""
    if key in {"schema", "schema_multi"}:
        return isinstance(value, str) and value.lstrip().startswith("{")
    return key in _HARMLESS


def _own_file(name: str, paths: Paths) -> Path | None:
    """Return the file of that name in the user's own folder, if there is one."""
    if not name or os.sep in name or "/" in name:
        return None
    own = paths.templates
    return next((path for path in (own / name, own / f"{name}.txt", own / f"{name}.md") if path.is_file()), None)
