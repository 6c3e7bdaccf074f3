"""What an arm is told before it is asked: its own system text, and the words that it puts around the prompt."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from scrimp.profiles.rungs import reading_of
from scrimp.profiles.schema import INPUT

if TYPE_CHECKING:
    from scrimp.profiles.schema import Arm

    from .chat import Chat
    from .prompt import Prompt

__all__ = ["copies", "dressed", "instructions_id"]


def instructions_id(arm: Arm) -> str | None:
    """Return 16 hexadecimal digits that tell an arm's instructions from others; None where it has none."""
    return _digest(arm.system, arm.prompt)


def copies(arm: Arm) -> int:
    """Return how many times what is asked stands in what an arm reads."""
    return 1 if arm.prompt is None else arm.prompt.count(INPUT)


def dressed(prompt: Prompt, arm: Arm) -> Prompt:
    """Return a prompt as an arm is asked it: its system text before the prompt's own, its template around the text.

    In a chat the template stands around the user's turn that is being answered (`Chat.turn`), so that it does not
    change while tools are called. What is embedded and scored stays the text as it was asked. Of files that go with the
    prompt it gets what the reading in its name sends.

    Examples
    --------
    >>> from scrimp.profiles.schema import Arm
    >>> from scrimp.routing.prompts.prompt import Prompt
    >>> arm = Arm(name="a", model="m", system="Be brief.", prompt="Q: {{input}} A:")
    >>> [each["content"] for each in dressed(Prompt("Why?"), arm).messages()]
    ['Be brief.', 'Q: Why? A:']
    """
    prompt = prompt.as_read(reading_of(arm.name))
    told = instructions_id(arm)
    if told is None:
        return prompt
    if prompt.chat is not None:
        return replace(prompt, chat=prompt.chat.once(f"dressed {told}", lambda chat: _told(chat, arm)))
    system = "\n\n".join(text for text in (arm.system, prompt.system) if text is not None)
    text = prompt.text if arm.prompt is None else arm.prompt.replace(INPUT, prompt.text)
    return replace(prompt, text=text, system=system or None)


def _told(chat: Chat, arm: Arm) -> Chat:
    if arm.prompt is not None:
        chat = chat.within(arm.prompt.split(INPUT))
    return chat if arm.system is None else chat.told(arm.system)


@lru_cache(maxsize=1024)
def _digest(system: str | None, template: str | None) -> str | None:
    if system is None and template is None:
        return None
    return hashlib.sha256(f"{system or ''}\0{template or ''}".encode()).hexdigest()[:16]
