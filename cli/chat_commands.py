"""What can be typed in a chat beside messages."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from scrimp.profiles.errors import UsageError

if TYPE_CHECKING:
    from .chat_lines import Lines

__all__ = ["COMMANDS", "HELP", "OF_ARMS", "Typed", "read_typed"]

COMMANDS: Final = {
    "arm": ("[NAME]", "take this arm from now on; without a name, route again"),
    "cost": ("", "what this session has cost, and what the caps leave"),
    "redo": ("[ARM]", "ask again, of the next better arm or of this one"),
    "rate": ("good|bad|0..1", "say how good the last answer was; refit learns from it"),
    "code": ("", "print the code of the last answer alone"),
    "save": ("FILE", "write this session to a new file, as Markdown"),
    "edit": ("[TEXT]", "write the next message in $VISUAL or $EDITOR"),
    "multi": ("[WORD]", "a message of several lines, to a line !end (and the word)"),
    "help": ("", "this list"),
    "exit": ("", "end; so do exit, quit and Ctrl-D"),
}
"""Every command: what it takes, and what it does."""

OF_ARMS: Final = ("arm", "redo")
"""Those that take an arm."""

HELP: Final = "\n".join(
    [
        *(f"  {f'!{name} {takes}'.rstrip():<20} {what}" for name, (takes, what) in COMMANDS.items()),
        "Enter sends, Alt-Enter begins a new line; what is pasted stays whole.",
        "Ctrl-C drops a line or an answer. A space before ! sends the message as it is.",
    ]
)

_WORD: Final = re.compile(r"!([A-Za-z]+)(?:\s+(.*))?", re.DOTALL)
_ENDS: Final = {"exit": "exit", "quit": "exit"}


class Typed(NamedTuple):
    """What was typed: a command with its argument, or a message (command None) with its text."""

    command: str | None
    text: str


def read_typed(line: str, lines: Lines) -> Typed:
    """Return what a line means; where it begins a message of several lines, those are read.

    Raises
    ------
    UsageError
        If there is no such command, or a message has no end.
    """
    if line.strip() in _ENDS:
        return Typed("exit", "")
    found = _WORD.fullmatch(line.rstrip())
    if found is None:
        return Typed(None, line)
    name, argument = found[1].lower(), (found[2] or "").strip()
    name = _ENDS.get(name, name)
    if name not in COMMANDS:
        from difflib import get_close_matches

        near = get_close_matches(name, COMMANDS, n=1)
        meant = f" Did you mean !{near[0]}?" if near else ""
        raise UsageError(
            f"no command !{name}.{meant}", hint="!help lists what there is; with a space before it, it is sent."
        )
    if argument and not COMMANDS[name][0]:
        raise UsageError(f"!{name} takes nothing after it, not {argument[:40]!r}")
    return Typed(None, _several(lines, argument)) if name == "multi" else Typed(name, argument)


def _several(lines: Lines, word: str) -> str:
    end = f"!end {word}".strip()
    read: list[str] = []
    while True:
        try:
            *body, last = lines.read(". ").split("\n")  # what is pasted comes at once
        except EOFError:
            raise UsageError(f"!multi without {end}: nothing is sent of it") from None
        read += body
        if last.strip() == end:
            return "\n".join(read)
        read.append(last)
