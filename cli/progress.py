"""How far a long step has come, on stderr: one line that is written over on a terminal, seldom a line elsewhere."""

from __future__ import annotations

import sys

from .result import say

__all__ = ["on_embedded"]


def on_embedded(done: int, total: int) -> None:
    """Tell how many new prompts are embedded; few are not worth a word."""
    if total < 512:
        return
    if sys.stderr.isatty():
        sys.stderr.write(f"\rembedding {done:,} of {total:,} prompts" + ("\n" if done == total else ""))
        sys.stderr.flush()
    elif done == total or done % 2_560 == 0:
        say(f"{done:,} of {total:,} prompts embedded")
