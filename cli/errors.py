"""How what went wrong is said: what, what to do about it, and no key of the user's in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .result import say

if TYPE_CHECKING:
    from scrimp.profiles.errors import ScrimpError

__all__ = ["say_error", "unkeyed"]


def unkeyed(text: str) -> str:
    """Return a text without the user's keys that stood in it."""
    from scrimp.routing.text.sanitize import scrub

    from .session import secrets

    return scrub(text, secrets())


def say_error(error: ScrimpError) -> int:
    """Write to stderr what is wrong and what to do about it; return the exit code."""
    say(unkeyed(error.message))
    if error.hint:
        say(unkeyed(error.hint), mark="  ")
    return int(error.exit_code)
