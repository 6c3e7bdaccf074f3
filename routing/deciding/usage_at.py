"""What a call would have used on another arm that reads more or less of a prompt's files."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from scrimp.profiles.rungs import reading_of

if TYPE_CHECKING:
    from scrimp.routing.prices.usage import Usage

    from .policy import Option

__all__ = ["usage_at"]


def usage_at(usage: Usage, taken: Option, other: Option) -> Usage:
    """Return the usage of a call as it would have been for `other`: the same, but for what that reads of files.

    What it reads more is new input, and what it reads less was none of the cached, by the estimates of both.
    """
    if reading_of(taken.arm) == reading_of(other.arm):
        return usage
    return replace(usage, input_tokens=max(0, usage.input_tokens + other.input_tokens - taken.input_tokens))
