"""The resident process: everything loaded once, and a fork of it for each command (docs/decisions/0020).

Nothing is imported here: `client` is on the way of every command, before anything else of ours.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import typer

__all__ = ["app"]


def __getattr__(name: str) -> typer.Typer:
    """Return `app`, imported when it is asked for."""
    if name == "app":
        from .command import app

        return app
    raise AttributeError(name)
