"""What an arm is told before it is asked: its own system text, and the words that it puts around the prompt."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scrimp.profiles.schema import Arm

    from .prompt import Prompt

__all__ = ["dressed", "instructions_id"]


def instructions_id(arm: Arm) -> str | None:
    """Return 16 hexadecimal digits that tell an arm's instructions from others; None where it has none."""
    if arm.system is None and arm.prompt is None:
        return None
    return hashlib.sha256(f"{arm.system or ''}\0{arm.prompt or ''}".encode()).hexdigest()[:16]


def dressed(prompt: Prompt, arm: Arm) -> Prompt:
    """Return a prompt as an arm is asked it: its system text before the prompt's own, its template around the text.

    What is embedded and scored stays the text as it was asked.
    """
    if arm.prompt is not None:
        prompt = prompt.saying(arm.prompt.replace("{{input}}", prompt.text))
    if arm.system is not None:
        own = prompt.system
        prompt = replace(prompt, system=arm.system if own is None else f"{arm.system}\n\n{own}")
        if prompt.chat is not None:
            prompt = replace(prompt, chat=prompt.chat.told(arm.system))
    return prompt
