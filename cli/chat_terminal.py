"""A terminal on which the messages of a chat are typed: prompt_toolkit, set up."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import Completer, Completion
from prompt_toolkit.history import History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.output import create_output

from scrimp.routing.asking.typed import keep_typed, typed

from .chat_commands import COMMANDS, OF_ARMS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from prompt_toolkit.completion import CompleteEvent
    from prompt_toolkit.document import Document
    from prompt_toolkit.key_binding import KeyPressEvent

__all__ = ["Terminal"]


class Terminal:
    """Messages are typed on a terminal: Enter sends, Alt-Enter begins a new line, and what is pasted stays whole.

    Parameters
    ----------
    kept
        Where what is typed is kept; None keeps it in this process.
    arms
        Returns the names of arms, which Tab completes.
    """

    typed = True

    def __init__(self, kept: Path | None, arms: Callable[[], list[str]]) -> None:
        self._session: PromptSession[str] = PromptSession(
            history=InMemoryHistory() if kept is None else _Kept(kept),
            output=create_output(stdout=sys.stderr if sys.stderr.isatty() else sys.stdout),
            multiline=True,  # what is pasted has lines; Enter is bound to send all the same
            key_bindings=_keys(),
            completer=_Words(arms),
            complete_while_typing=False,
            prompt_continuation=lambda width, _number, _wrapped: " " * width,
            enable_open_in_editor=True,
            enable_suspend=True,
        )

    def read(self, prompt: str) -> str:
        """Return what is typed next.

        Raises
        ------
        EOFError, KeyboardInterrupt
            On Ctrl-D where nothing is typed; on Ctrl-C.
        """
        return self._session.prompt(prompt)


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("enter")
    def _send(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def _new_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return keys


class _Kept(History):
    """What was typed in any chat, in a private file."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def load_history_strings(self) -> Iterable[str]:
        """Return what was typed, newest first."""
        return reversed(typed(self._path))

    def store_string(self, string: str) -> None:
        """Keep what was typed now."""
        keep_typed(self._path, string, now=time.time())


class _Words(Completer):
    """Completes the commands of a chat, and arms after those that take one."""

    def __init__(self, arms: Callable[[], list[str]]) -> None:
        self._arms = arms

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """Return what may stand where the cursor is."""
        del complete_event
        before = document.text_before_cursor
        name, space, word = before.partition(" ")
        if not before.startswith("!"):
            return
        found: Any = (
            self._arms() if space and name[1:] in OF_ARMS else () if space else [f"!{each}" for each in COMMANDS]
        )
        wanted = word if space else name
        yield from (Completion(each, -len(wanted)) for each in found if each.startswith(wanted))
