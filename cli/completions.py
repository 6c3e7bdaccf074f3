"""`scrimp completions`: scripts that complete commands, options, arms and profiles in a shell."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from scrimp.profiles.errors import UsageError

from .complete import among
from .parser import new_app
from .result import Result, emit, say

__all__ = ["COMPLETE_VAR", "FILES", "app", "script"]

app = new_app(
    "Complete commands, options, arms and profiles in your shell.",
    group=True,
    epilog="""\b
Examples:
  scrimp completions install           for the shell you are in
  scrimp completions show fish > ~/.config/fish/completions/scrimp.fish
""",
)

COMPLETE_VAR: Final = "_SCRIMP_COMPLETE"

FILES: Final = {"bash": "scrimp.bash", "zsh": "_scrimp", "fish": "scrimp.fish", "powershell": "scrimp.ps1"}
"""The shells, and what each one's script is called in completions/."""

_WHOLE_NAMES: Final = "COMP_WORDBREAKS=${COMP_WORDBREAKS//:}\n"
"""Bash would part the name of an arm such as sonnet:low at its colon, and complete what is after it alone."""

_LOADERS: Final = (
    "/usr/share/bash-completion/bash_completion",
    "/etc/bash_completion",
    "/usr/local/share/bash-completion/bash_completion",
    "/usr/local/etc/profile.d/bash_completion.sh",
    "/opt/homebrew/etc/profile.d/bash_completion.sh",
)
"""Where systems keep bash-completion."""

Shell = Annotated[
    str | None,
    typer.Argument(
        metavar="[bash|zsh|fish|powershell]", help="The shell; else the one you are in.", autocompletion=among(*FILES)
    ),
]


def script(shell: str) -> str:
    """Return a shell's completion script."""
    made: str = _typer().get_completion_script(prog_name="scrimp", complete_var=COMPLETE_VAR, shell=shell)
    return f"{made}\n{_WHOLE_NAMES}" if shell == "bash" else f"{made}\n"


def _typer() -> Any:
    """Return Typer's module of completion; what is used of it is not in its `__all__`."""
    return importlib.import_module("typer.completion")


def _shell(name: str | None) -> str:
    if name is None:
        import shellingham

        try:
            name = shellingham.detect_shell()[0]
        except shellingham.ShellDetectionFailure:
            raise UsageError("cannot tell which shell this is", hint=f"Name one: {', '.join(FILES)}.") from None
        name = "powershell" if name == "pwsh" else name
    if name not in FILES:
        raise UsageError(f"no completions for {name!r}", hint=f"There are: {', '.join(FILES)}.")
    return name


@app.command()
def show(shell: Shell = None) -> int:
    """Print a shell's script."""
    return emit(Result(blocks=(script(_shell(shell)).rstrip("\n"),)))


@app.command()
def install(shell: Shell = None) -> int:
    """Install the script where the shell looks for it (zsh: with lines in your rc file)."""
    name = _shell(shell)
    path = _install_for_bash() if name == "bash" else _install_by_typer(name)
    say(f"installed for {name} in {path}; it works in new shells")
    if name == "bash" and not any(Path(each).exists() for each in _LOADERS):
        say(f"bash-completion, which loads it, is not to be found: install it, or add to ~/.bashrc: source {path}")
    return 0


def _install_by_typer(shell: str) -> Path:
    _, path = _typer().install(shell=shell, prog_name="scrimp", complete_var=COMPLETE_VAR)
    return Path(path)


def _install_for_bash() -> Path:
    """Write bash's script where bash-completion looks for that of a command, on the first TAB after its name."""
    env = os.environ
    data = env.get("XDG_DATA_HOME", "").strip() or "~/.local/share"
    base = env.get("BASH_COMPLETION_USER_DIR", "").strip() or f"{data}/bash-completion"
    path = Path(base).expanduser() / "completions" / "scrimp"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(script("bash"))
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {error.strerror}", hint="`scrimp completions show bash` prints it."
        ) from None
    return path
