"""Who is told how far the embedding of examples has come, while guards are opened."""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["tell", "telling"]

_hears: ContextVar[Callable[[int, int], None] | None] = ContextVar("scrimp_guard_hears", default=None)


@contextlib.contextmanager
def telling(on_embedded: Callable[[int, int], None]) -> Iterator[None]:
    """Have `on_embedded` told while a block runs."""
    token = _hears.set(on_embedded)
    try:
        yield
    finally:
        _hears.reset(token)


def tell(done: int, total: int) -> None:
    """Say how many texts are embedded, of how many."""
    hears = _hears.get()
    if hears is not None:
        hears(done, total)
