"""Places in a prompt that something else fills: `{{NAME}}` by a value, `{{@ID}}` by the answer of another row.

A text is gone through once. What is put in is data: a value or an answer with `{{...}}` in it stays as it is. Until the
answers are there, a reference stands in the text as its id between two NULs, which no text from outside has in it.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import DataError, UsageError
from scrimp.routing.prompts.prompt import Turn
from scrimp.routing.text.clean import MAX_PROMPT_BYTES, clean_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, MutableSet

    from scrimp.routing.prompts.prompt import Prompt

__all__ = ["answered", "filled", "filled_template", "named_in", "opening", "references"]

_PLACE: Final = re.compile(r"\{\{([^{}]{1,256})\}\}")
_REFERENCE: Final = re.compile("\0([^\0]*)\0")


def named_in(template: str) -> list[str]:
    """Return the names in a template, in order; a reference has its `@` before it."""
    return [found[1].strip() for found in _PLACE.finditer(template) if found[1].strip()]


def filled(text: str, own: Mapping[str, Any], given: Mapping[str, str], used: MutableSet[str]) -> str:
    """Return a prompt with its places filled; a name that nobody gives a value stays as it stands.

    Parameters
    ----------
    own
        The row's own values.
    given, used
        Those of all rows (`--var`), which go before, and the names of those that were put somewhere.
    """
    if "{{" not in text:
        return text

    def value(hit: re.Match[str]) -> str:
        name = hit[1].strip()
        if name.startswith("@"):
            return _mark(name[1:])
        if name in given:
            used.add(name)
            return given[name]
        return _text(own[name]) if name in own else hit[0]

    return _PLACE.sub(value, text)


def filled_template(template: str, own: Mapping[str, Any], given: Mapping[str, str], used: MutableSet[str]) -> str:
    """Return a template with its places filled: `{{@NAME}}` by the answer of the row whose id a row has under NAME.

    Raises
    ------
    DataError
        If nobody gives a name its value.
    """

    def value(hit: re.Match[str]) -> str:
        name = hit[1].strip()
        if name in given:
            used.add(name)
            return given[name]
        if name in own:
            return _text(own[name])
        if name.startswith("@"):
            named = own.get(name[1:], name[1:])
            return _mark(_text(named)) if named not in (None, "") else ""
        raise DataError(f"no {name!r} in it, which the template needs")

    return _PLACE.sub(value, template)


def _text(item: Any) -> str:
    return clean_text(item if isinstance(item, str) else json.dumps(item, ensure_ascii=False), what="the prompt")


def _mark(name: str) -> str:
    return f"\0{name.strip()}\0"


def _texts(prompt: Prompt) -> Iterator[str]:
    if prompt.system is not None:
        yield prompt.system
    for turn in prompt.history:
        yield turn.prompt
        yield turn.answer or ""
    yield prompt.text


def references(prompt: Prompt) -> tuple[str, ...]:
    """Return the ids whose answers stand in a prompt, each once, in the order in which they are sent."""
    return tuple(dict.fromkeys(name for text in _texts(prompt) if "\0" in text for name in _REFERENCE.findall(text)))


def opening(prompt: Prompt, answers: Mapping[str, str]) -> str:
    """Return how a prompt with answers in it begins, up to the end of the first of them."""
    before = ""
    for text in _texts(prompt):
        if (first := _REFERENCE.search(text)) is not None:
            return f"{before}{text[: first.start()]}{answers[first[1]]}"
        before += f"{text}\n"
    return ""


def answered(prompt: Prompt, answers: Mapping[str, str]) -> Prompt:
    """Return a prompt with answers where its references stand.

    Raises
    ------
    UsageError
        If it is too long with them, or has nothing left to ask.
    """

    def put(text: str) -> str:
        return _REFERENCE.sub(lambda hit: answers[hit[1]], text) if "\0" in text else text

    history = tuple(
        Turn(put(turn.prompt), None if turn.answer is None else put(turn.answer)) for turn in prompt.history
    )
    made = replace(
        prompt, text=put(prompt.text), system=None if prompt.system is None else put(prompt.system), history=history
    )
    size = 0
    for text in _texts(made):
        size += len(clean_text(text, what="the prompt with the answers in it").encode())
    if size > MAX_PROMPT_BYTES:
        raise UsageError(f"with the answers in it the prompt is over {MAX_PROMPT_BYTES // 1024 // 1024} MB")
    if not made.text.strip() and not made.attachments:
        raise UsageError("the prompt is empty: so is the answer that it is made of")
    return made
