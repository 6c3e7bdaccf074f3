"""What ends a command from outside: Ctrl-C, SIGTERM and SIGHUP, all met alike."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

__all__ = ["SIGNALS", "Ended", "Terminated", "as_interrupts", "exit_code"]

SIGNALS: Final = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that ask a process to end (Windows has no SIGHUP)."""


_MACHINERY: Final = "<frozen importlib."
_A_MOMENT_S: Final = 0.01
_MOST_PUT_OFF: Final = 20
"""How often a signal is put off: where that does not help, another thread's import is waited for, with no lock held."""


class Ended(BaseException):
    """A command was interrupted: what Typer is shown in place of KeyboardInterrupt, which it would swallow."""


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP: unlike Ctrl-C it is meant for the whole process, also where that goes on after a Ctrl-C."""


@contextlib.contextmanager
def as_interrupts() -> Iterator[list[int]]:
    """Have SIGTERM and SIGHUP raise `Terminated`, which is met as Ctrl-C is; gives the numbers of those that came.

    One that is ignored (`nohup`) stays so, and what other threads run is left alone. None is raised in the midst of
    Python's import machinery: between its lock and the `try` behind it, the lock would be held for ever, and the next
    import of any thread would hang. It is raised a moment later. (Ctrl-C is left to Python and asyncio: whoever presses
    it is there to press it again.)
    """
    received: list[int] = []
    put_off = 0

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal put_off
        if put_off < _MOST_PUT_OFF and frame is not None and frame.f_code.co_filename.startswith(_MACHINERY):
            put_off += 1
            again = threading.Timer(_A_MOMENT_S, os.kill, (os.getpid(), number))
            again.daemon = True
            again.start()
            return
        put_off = 0
        received.append(number)
        raise Terminated

    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        before = {each: signal.getsignal(each) for each in SIGNALS if each != signal.SIGINT}
    try:
        for number, handler in before.items():
            if handler == signal.SIG_DFL:
                signal.signal(number, interrupt)
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def exit_code(received: list[int]) -> int:
    """Return the exit code of a command that signals have ended."""
    return 128 + received[0] if received else int(ExitCode.INTERRUPTED)
