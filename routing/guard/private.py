"""Private text that stays: placeholders go out in its place, and become values again in the answer."""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from scrimp.routing.text.private import PLACEHOLDER, Redactor, in_every_text, in_json
from scrimp.routing.text.private_kinds import WORDS

from .verdict import Finding, Name, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from scrimp.profiles.schema import Guard
    from scrimp.routing.prompts.chat import Chat
    from scrimp.routing.prompts.prompt import Prompt
    from scrimp.routing.prompts.sources import Source

__all__ = ["Returning", "Vault", "chat_changed", "finding", "named_in", "prompt_changed", "restored"]

_NOT_SAID: Final = frozenset({
    "id", "type", "role", "tool_call_id", "signature", "encrypted_content", "data", "file_data", "cache_control",
    "detail", "format", "file_id",
})  # fmt: skip
"""Fields of messages that no person wrote: ids, and bytes of images and files."""

_SPELLED: Final = re.compile(
    rf"(<|&lt;|\\u003c)((?:{'|'.join(WORDS)})_[1-9]\d{{0,5}})(?:>|&gt;|\\u003e)", re.IGNORECASE
)
"""A placeholder as a model may write it: as it was, or as HTML and JSON spell its brackets."""


@dataclass(frozen=True, slots=True)
class Vault:
    """What placeholders of one request stand for; it lives as long as the request, and is written nowhere.

    Attributes
    ----------
    redactor
        Puts them, and knows their values.
    """

    redactor: Redactor = field(repr=False)

    @classmethod
    def of(cls, guard: Guard) -> Vault:
        """Return an empty one that looks for what a profile's guard names."""
        names = None
        if guard.names:
            from scrimp.routing.text.private_names import NameList

            names = NameList.of(guard.names)
        return cls(Redactor(names=names))

    @property
    def values(self) -> Mapping[str, str]:
        """What is private, by its placeholder."""
        return self.redactor.known

    def redacted(self, text: str) -> str:
        """Return a text with placeholders."""
        return self.redactor.redact(text)

    def prompt(self, prompt: Prompt) -> Prompt:
        """Return a prompt with placeholders; the same one where there is nothing to replace."""
        made = prompt_changed(prompt, self.redactor.redact)
        return prompt if made == prompt else made

    def restored(self, text: str, *, in_json: bool = False) -> str:
        """Return a text with the values again.

        Parameters
        ----------
        in_json
            Whether it is JSON, so that they stand in its strings.
        """
        return restored(text, self.values, in_json=in_json)

    def unknown(self, text: str) -> list[str]:
        """Return the placeholders in a text that were there already in what was asked: nobody knows their values."""
        found = dict.fromkeys(PLACEHOLDER.findall(text))
        return [each for each in found if each in self.redactor.standing and each not in self.values]


def restored(text: str, values: Mapping[str, str], *, in_json: bool = False) -> str:
    """Return a text with what placeholders in it stand for, as the text around them spells it (`Vault.restored`)."""

    def value(hit: re.Match[str]) -> str:
        known = values.get(f"<{hit[2].upper()}>")
        if known is None:
            return hit[0]
        if hit[1] == "&lt;":
            return html.escape(known)
        escaped = in_json or hit[1].startswith("\\")
        return json.dumps(known, ensure_ascii=False)[1:-1] if escaped else known

    return _SPELLED.sub(value, text) if values else text


def named_in(text: str) -> Iterator[str]:
    """Yield every placeholder in a text, however a model spelled it, as it was put."""
    for hit in _SPELLED.finditer(text):
        yield f"<{hit[2].upper()}>"


_NAMES: Final = frozenset(name.lower() for name in WORDS)
_BEGINNINGS: Final = ("<", "&lt;", "\\u003c")
_BEGUN: Final = re.compile(
    r"([a-z]{0,7})((?:(?<=[a-z])_(?:[1-9]\d{0,5})?)?)((?:&(?:g(?:t)?)?|\\(?:u(?:0(?:0(?:3)?)?)?)?)?)\Z"
)
_LONGEST: Final = 24
"""Characters of the longest placeholder, however it is spelled."""


def _may_become_one(tail: str) -> bool:
    """Tell whether what a text ends with may be the beginning of a placeholder."""
    low = tail.lower()
    for begins in _BEGINNINGS:
        if begins.startswith(low):
            return True
        if low.startswith(begins):
            found = _BEGUN.match(low[len(begins) :])
            if found is None or (found[3] and not found[2]):
                return False
            return found[1] in _NAMES if found[2] else any(name.startswith(found[1]) for name in _NAMES)
    return False


class Returning:
    """Puts values back into a text that comes in pieces: the pieces joined are the whole, restored.

    Only what may still become a placeholder is held back.

    Parameters
    ----------
    in_json
        As in `Vault.restored`.
    """

    def __init__(self, vault: Vault, *, in_json: bool = False) -> None:
        self._vault = vault
        self._in_json = in_json
        self._held = ""

    def feed(self, piece: str) -> str:
        """Return what can be said once a piece has come."""
        text = self._held + piece
        self._held = ""
        for at in range(max(0, len(text) - _LONGEST), len(text)):
            if text[at] in "<&\\" and _may_become_one(text[at:]):
                text, self._held = text[:at], text[at:]
                break
        return self._vault.restored(text, in_json=self._in_json)

    def flush(self) -> str:
        """Return what was held back; to be called at the end."""
        held, self._held = self._held, ""
        return self._vault.restored(held, in_json=self._in_json)


def finding(mode: str, vault: Vault, *, n_unseen: int = 0) -> Finding:
    """Return what is said of a request that was looked through.

    Parameters
    ----------
    mode
        `guard.private`: warn, redact, local or refuse.
    n_unseen
        Images and files among it that cannot be looked into.
    """
    kinds: dict[str, list[str]] = {}
    for placeholder in vault.values:
        kinds.setdefault(placeholder[1:].rpartition("_")[0], []).append(placeholder)
    counts = {name: len(found) for name, found in kinds.items()}
    unseen = f"{n_unseen} image{'s' * (n_unseen != 1)} or PDF{'s' * (n_unseen != 1)} cannot be looked into"
    detail: dict[str, Any] = {"mode": mode, "counts": counts, **({"unseen": n_unseen} if n_unseen else {})}
    if not counts:
        why = "nothing private was found" + (f"; {unseen}" if n_unseen else "")
        return Finding(Name.PRIVATE, Outcome.WARNED if n_unseen else Outcome.PASSED, why, detail)
    counted = {name: f"{n} {_word(name, n)}" for name, n in counts.items()}
    said = ", ".join(counted.values())
    outcome = Outcome.CHANGED
    if mode == "redact":
        why = ", ".join(f"{counted[name]} -> {_shown(found)}" for name, found in kinds.items())
    elif mode == "local":
        why = f"{said}: only arms of this machine may take it"
    elif mode == "refuse":
        outcome, why = (
            Outcome.REFUSED,
            f"the prompt holds {said}: nothing was sent (placeholders are: --private redact)",
        )
    else:
        outcome, why = Outcome.WARNED, f"{said}: sent as it is"
    return Finding(Name.PRIVATE, outcome, f"{why}; {unseen}" if n_unseen else why, detail)


def _word(name: str, n: int) -> str:
    word = WORDS[name]
    if n == 1:
        return word
    head, of, rest = word.partition(" of ")
    return f"{head}{'es' if head.endswith('s') else 's'}{of}{rest}" if " or " not in word else "keys or passwords"


def _shown(placeholders: list[str]) -> str:
    return ", ".join(placeholders) if len(placeholders) <= 3 else f"{placeholders[0]} to {placeholders[-1]}"


# -- every text of a prompt -----------------------------------------------------------------------------------------


def prompt_changed(prompt: Prompt, change: Callable[[str], str]) -> Prompt:
    """Return a prompt with every text in it changed, in a fixed order; bytes of images and files stay."""
    system = None if prompt.system is None else change(prompt.system)
    history = tuple(
        replace(turn, prompt=change(turn.prompt), answer=None if turn.answer is None else change(turn.answer))
        for turn in prompt.history
    )
    chat = None if prompt.chat is None else chat_changed(prompt.chat, change)
    sources = _sources_changed(prompt.sources, change)
    same = prompt.chat is not None and chat is not None and prompt.text == prompt.chat.asked
    text = chat.asked if same and chat is not None else change(prompt.text)
    readings = prompt.readings
    if readings is not None:
        reads = {kind: replace(read, text=change(read.text)) for kind, read in readings.reads.items()}
        readings = replace(readings, reads=reads)
    return replace(
        prompt,
        system=system,
        history=history,
        chat=chat,
        sources=sources,
        readings=readings,
        text=text,
        block=None if prompt.block is None else change(prompt.block),
        attachments=tuple(replace(each, name=change(each.name)) for each in prompt.attachments),
        schema=None if prompt.schema is None else in_every_text(dict(prompt.schema), change, names_too=True),
        own_format=None
        if prompt.own_format is None
        else in_every_text(dict(prompt.own_format), change, names_too=True),
        hint=None if prompt.hint is None else change(prompt.hint),
    )


def _sources_changed(sources: Iterable[Source], change: Callable[[str], str]) -> tuple[Source, ...]:
    """Return files with their texts changed; a path that would be is left out, since nobody could read it any more."""
    made = []
    for source in sources:
        name, text = change(source.name), change(source.text)
        path = source.path if source.path is None or change(source.path) == source.path else None
        same = (name, text, path) == (source.name, source.text, source.path)
        made.append(source if same else type(source)(name, text, path))
    return tuple(made)


def chat_changed(chat: Chat, change: Callable[[str], str]) -> Chat:
    """Return a conversation with every text in it changed: what is said, called with, given back, and the tools."""
    return replace(
        chat,
        messages=tuple(_message_changed(message, change) for message in chat.messages),
        tools=tuple(_tool_changed(tool, change) for tool in chat.tools),
    )


def _message_changed(message: Mapping[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in message.items():
        if key == "tool_calls" and isinstance(value, list | tuple):
            made[key] = [_call_changed(call, change) for call in value]
        else:
            made[key] = _said_changed(value, change, key)
    return made


def _said_changed(value: Any, change: Callable[[str], str], key: str = "") -> Any:
    if key in _NOT_SAID or (isinstance(value, str) and value.startswith("data:")):
        return value
    if isinstance(value, list | tuple):
        return [_said_changed(each, change) for each in value]
    if isinstance(value, dict):
        return {name: _said_changed(each, change, name) for name, each in value.items()}
    return in_every_text(value, change)


def _call_changed(call: Any, change: Callable[[str], str]) -> Any:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("arguments"), str):
        return call
    return {**call, "function": {**function, "arguments": in_json(function["arguments"], change)}}


def _tool_changed(tool: Mapping[str, Any], change: Callable[[str], str]) -> Mapping[str, Any]:
    """Return a tool with its descriptions changed; what it is called by stays."""
    function = tool.get("function")
    if not isinstance(function, dict):
        return tool
    name = function.get("name")
    return {**tool, "function": {**in_every_text(function, change, names_too=True), "name": name}}
