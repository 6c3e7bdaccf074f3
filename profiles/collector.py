"""The garbage collector, off while modules are imported.

They make no garbage, and it looks through them again and again: a third of what litellm's import takes without it.
"""

from __future__ import annotations

import contextlib
import gc
import sys
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["paused", "rarely", "set_aside"]

_YOUNG: Final = 20_000
"""Objects that are made between two looks at the young ones: Python's own 700 are made by one row of a batch."""

_lock = threading.Lock()
_state = {"pauses": 0, "was_on": False, "ours": False, "modules": 0}


def rarely() -> None:
    """Have the collector look less often, in a process that is scrimp's alone and makes a great many objects.

    Hardly any of them are garbage that only it finds, and those that live meanwhile are looked through each time.
    """
    gc.set_threshold(_YOUNG, 20, 20)


def set_aside() -> None:
    """Have the collector not look at once through what there is now; never again, where the process is scrimp's alone.

    For after something large has come that never goes: the collector would look at all of it again and again. A program
    that uses scrimp may have made things that become garbage later.
    """
    gc.freeze()
    if not _state["ours"]:
        gc.unfreeze()


@contextlib.contextmanager
def paused(*, ours: bool = False) -> Iterator[None]:
    """Keep the collector off during a block; pauses overlap, in any threads, and the last one to end turns it on.

    What there is by then goes to the oldest generation, and is not looked through at once; but where nothing was
    imported, it stays young: what many short pauses left there would be looked through hardly ever.

    Parameters
    ----------
    ours
        Whether the process, from now on, is scrimp's alone (see `set_aside`).
    """
    with _lock:
        if not _state["pauses"]:
            _state["was_on"] = gc.isenabled()
            _state["modules"] = len(sys.modules)
            gc.disable()
        _state["pauses"] += 1
        _state["ours"] |= ours
    try:
        yield
    finally:
        with _lock:
            _state["pauses"] -= 1
            if not _state["pauses"] and _state["was_on"]:
                if len(sys.modules) > _state["modules"]:
                    set_aside()
                gc.enable()
