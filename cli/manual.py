"""The manual, from the commands themselves: docs/commands.md, the man page and the completion scripts.

`python -m scrimp.cli.manual` writes them into a checkout; `--check` says which of them have drifted,
and changes nothing.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from .app import app, command
from .commands import COMMANDS
from .completions import FILES, script

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["commands_page", "main", "man_page", "outputs"]


def _walk() -> Iterator[tuple[str, Any, Any]]:
    """Yield every command as (its words, the command, a context whose help is 79 columns wide)."""
    group = typer.main.get_command(app)
    root = group.make_context("scrimp", [], resilient_parsing=True)
    root.terminal_width = root.max_content_width = 79
    yield "scrimp", group, root
    for name in COMMANDS:
        yield from _below(f"scrimp {name}", command(name), root)


def _below(words: str, each: Any, parent: Any) -> Iterator[tuple[str, Any, Any]]:
    context = each.make_context(words.rpartition(" ")[2], [], parent=parent, resilient_parsing=True)
    context.terminal_width = context.max_content_width = 79
    yield words, each, context
    for name, inner in getattr(each, "commands", {}).items():
        if inner.hidden:
            continue
        yield from _below(f"{words} {name}", inner, context)


def commands_page() -> str:
    """Return docs/commands.md: the help page of every command."""
    parts = ["# Commands\n\nGenerated from the program's own help by `just docs`.\n"]
    for words, each, context in _walk():
        parts.append(f"## {words}\n\n```text\n{_help(each, context)}\n```\n")
    return "\n".join(parts)


def _help(each: Any, context: Any) -> str:
    lines = each.get_help(context).rstrip().splitlines()
    return "\n".join(line.rstrip() for line in lines)


def man_page() -> str:
    """Return the man page, in roff."""
    out = [f'.TH SCRIMP 1 "" "scrimp {version("scrimp")}" "User Commands"']
    out += [".SH NAME", "scrimp \\- send each prompt to the cheapest model that will do the job"]
    for words, each, context in _walk():
        if words == "scrimp":
            out += [".SH SYNOPSIS", ".B scrimp", "[OPTIONS] COMMAND [ARGS]...", ".SH DESCRIPTION"]
            out += [_roff((each.help or "").strip())]
            out += [".SH COMMANDS"]
            continue
        out += [f'.SS "{_roff(words)}"', ".nf", _roff(_help(each, context)), ".fi"]
    out += [".SH EXIT STATUS", ".nf"]
    out += [_roff(line) for line in EXIT_STATUS]
    out += [".fi", ".SH ENVIRONMENT", ".TP", "SCRIMP_HOME", "One folder for profiles, ledger, routers and cache."]
    out += [".TP", "SCRIMP_PROFILE, SCRIMP_PREFER, SCRIMP_WTP, SCRIMP_MIN_QUALITY, SCRIMP_LOG"]
    out += ["In place of the profile's name and of keys of its policy.", ".TP", "NO_COLOR", "No colours."]
    out += [".TP", "FORCE_COLOR", "Draw tables, with colours, on a pipe too; NO_COLOR is stronger."]
    return "\n".join(out) + "\n"


EXIT_STATUS = (
    "0    ok",
    "1    unexpected error",
    "2    usage: the command line, or a prompt that no arm can take",
    "3    refused by a cap",
    "4    authentication: a key is missing or was refused",
    "5    the provider failed, after retries and fallbacks",
    "6    a batch finished with failures",
    "7    the answer failed its checks",
    "75   try again: a lock is held, or a rate limit stands",
    "78   a profile, key file, ledger or data file is wrong",
    "130  interrupted (Ctrl-C)",
    "141  the reader of the output went away",
)


def _roff(text: str) -> str:
    """Escape text for roff."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join("\\&" + line if line.startswith((".", "'")) else line for line in escaped.splitlines())


def outputs() -> dict[str, str]:
    """Return what is generated, by its path in the checkout."""
    made = {"docs/commands.md": commands_page(), "docs/scrimp.1": man_page()}
    return made | {f"completions/{file}": script(shell) for shell, file in FILES.items()}


def main(argv: list[str] | None = None) -> int:
    """Write the generated files below the working directory, or check them; return 1 when one has drifted."""
    argv = sys.argv[1:] if argv is None else argv
    drifted = []
    for name, text in outputs().items():
        path = Path(name)
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        drifted.append(name)
        if "--check" not in argv:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    for name in drifted:
        sys.stdout.write(f"{'drifted' if '--check' in argv else 'wrote'} {name}\n")
    return int(bool(drifted) and "--check" in argv)


if __name__ == "__main__":
    sys.exit(main())
