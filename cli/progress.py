"""Long steps: how far one has come, on stderr, and how much of the machine it takes."""

from __future__ import annotations

import os
import sys

from .result import say

__all__ = ["on_embedded", "on_fitted", "one_thread"]


def on_embedded(done: int, total: int) -> None:
    """Tell how many new prompts are embedded; a few are not worth mentioning."""
    if total < 512:
        return
    if sys.stderr.isatty():
        sys.stderr.write(f"\rembedding {done:,} of {total:,} prompts" + ("\n" if done == total else ""))
        sys.stderr.flush()
    elif done == total or done % 2_560 == 0:
        say(f"{done:,} of {total:,} prompts embedded")


def on_fitted(done: int, total: int) -> None:
    """Tell, on a terminal, how many refits of a series are made."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\rfitted {done} of {total}" + ("\r\x1b[K" if done == total else ""))
        sys.stderr.flush()


def one_thread() -> None:
    """Keep numpy's linear algebra to one thread, unless the user says otherwise; to be called before it is imported.

    The matrices of a fit are small: on a busy machine a second thread, spinning while it waits for the first, took six
    times the processor time.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
