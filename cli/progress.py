"""Long steps: how far one has come, on stderr, and how much of the machine it takes."""

from __future__ import annotations

import os
import sys
from typing import Final

from scrimp.routing.text.in_words import counted

from .result import say, show_progress

__all__ = ["on_embedded", "on_fitted", "on_forgotten", "on_summed", "one_thread"]

_THREADS: Final = "OPENBLAS_NUM_THREADS"


def on_embedded(done: int, total: int) -> None:
    """Tell how many new prompts are embedded; a few are not worth mentioning."""
    if total < 512:
        return
    if sys.stderr.isatty():
        show_progress(f"embedding {done:,} of {counted(total, 'prompt')}", ended=done == total)
    elif done == total or done % 2_560 == 0:
        say(f"{done:,} of {counted(total, 'prompt')} embedded")


def on_summed(done: int, total: int) -> None:
    """Tell how many requests are summed up, once, for all later reports; fewer than take a second are not mentioned."""
    if total < 100_000:
        return
    if sys.stderr.isatty():
        show_progress(f"summing up {done:,} of {total:,} requests, this once", ended=done == total, keep=False)
    elif done == 0:
        say(f"summing up {total:,} requests, this once")


def on_forgotten(done: int, ended: bool) -> None:
    """Tell, on a terminal, how many requests are forgotten so far."""
    show_progress(f"forgetting: {counted(done, 'request')}", ended=ended, keep=False)


def on_fitted(done: int, total: int) -> None:
    """Tell, on a terminal, how many refits of a series are made."""
    show_progress(f"fitted {done} of {total}", ended=done == total, keep=False)


def one_thread(*, children: bool = True) -> None:
    """Keep numpy's linear algebra to one thread, unless the user says otherwise; to be called before it is imported.

    The matrices are small: on a busy machine a second thread, spinning while it waits for the first, took six times the
    processor time.

    Parameters
    ----------
    children
        Whether processes that are started later are kept to it too; else numpy is imported here.
    """
    if children:
        os.environ.setdefault(_THREADS, "1")
    elif _THREADS not in os.environ:
        os.environ[_THREADS] = "1"
        import numpy as np  # noqa: F401 - it reads the variable as it is imported

        del os.environ[_THREADS]
