"""A conversation as a program holds it: its messages go to the model as they are."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = ["COUNTED", "FILES", "IMAGES", "Chat", "parts_of", "speech", "text_of"]

_T = TypeVar("_T")

IMAGES: Final = frozenset({"image_url"})
"""Types of parts that are images."""

FILES: Final = frozenset({"file", "input_audio", "video_url"})
"""Types of parts whose tokens only the provider can count."""

_NEEDS: Final = {"image_url": "vision", "file": "pdf", "input_audio": "audio", "video_url": "video"}
"""What an arm must be able to do to take them."""

_ASIDES: Final = re.compile(r"<(system-reminder|environment_details|environment_context)>.*?</\1>", re.DOTALL)
"""What agents write into a user's message that the user did not say."""

_SYSTEM: Final = ("system", "developer")

COUNTED: Final = frozenset({"role", "content", "tool_calls"})
"""Fields of a message whose texts are told apart; of others (a name, reasoning that is sent back) all is text."""


@dataclass(frozen=True, slots=True)
class Chat:
    """Messages and tools, in OpenAI's form.

    Attributes
    ----------
    messages
        Of the roles system, user, assistant and tool. A content is a string or a list of parts (text, image_url,
        file), which may carry `cache_control`; an assistant's may have `tool_calls`, a tool's has a `tool_call_id`.
    tools
        What the model may call: `{"type": "function", "function": {"name", "description", "parameters"}}`.
    tool_choice
        `auto`, `none`, `required`, or the one that must be called, as OpenAI spells it; None leaves it to the provider.
    """

    messages: tuple[Mapping[str, Any], ...]
    tools: tuple[Mapping[str, Any], ...] = ()
    tool_choice: str | Mapping[str, Any] | None = None
    _known: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def once(self, what: str, make: Callable[[Chat], _T]) -> _T:
        """Return what `make` makes of this chat; it is made once, since many ask for it (each arm, the log)."""
        if what not in self._known:
            self._known[what] = make(self)
        found: _T = self._known[what]
        return found

    @property
    def asked(self) -> str:
        """What the user said last, without what an agent wrote around it: what is embedded and scored."""
        for message in reversed(self.messages):
            if message.get("role") == "user":
                return speech(message.get("content"))
        return ""

    @property
    def system(self) -> str | None:
        """The texts of the messages that stand before all others and give instructions; None where none does."""
        texts = [text_of(message.get("content")) for message in self.messages[: self.n_system]]
        return "\n\n".join(texts) if texts else None

    @property
    def n_system(self) -> int:
        """How many messages of instructions stand before all others."""
        roles = (message.get("role") for message in self.messages)
        return next((n for n, role in enumerate(roles) if role not in _SYSTEM), len(self.messages))

    @property
    def in_tool_loop(self) -> bool:
        """Whether a tool's result has come since the model last spoke: the one that called it goes on.

        Some programs put reminders of their own, as the user's, behind the results.
        """
        for message in reversed(self.messages):
            if message.get("role") in ("tool", "assistant"):
                return bool(message.get("role") == "tool")
        return False

    @property
    def with_tools(self) -> bool:
        """Whether tools are offered, or were called."""
        return bool(self.tools) or any(
            message.get("role") == "tool" or message.get("tool_calls") for message in self.messages
        )

    @property
    def media(self) -> Counter[str]:
        """How many parts there are of each type of images and files."""
        return self.once("media", _media)

    @property
    def n_images(self) -> int:
        """How many images are in it."""
        return sum(n for kind, n in self.media.items() if kind in IMAGES)

    @property
    def n_files(self) -> int:
        """How many files are in it: what only the provider can count."""
        return self.media.total() - self.n_images

    @property
    def required(self) -> frozenset[str]:
        """What an arm must be able to do to take it: tools, vision, pdf."""
        return self.once("required", _required)

    @property
    def results(self) -> tuple[tuple[str, str], ...]:
        """Name and text of the tools' results that end it, in order; a name that is not told is ""."""
        names = {
            call.get("id"): str((call.get("function") or {}).get("name") or "")
            for message in self.messages
            for call in message.get("tool_calls") or ()
        }
        found = []
        for message in reversed(self.messages):
            if message.get("role") != "tool":
                break
            found.append((names.get(message.get("tool_call_id"), ""), text_of(message.get("content"))))
        return tuple(reversed(found))

    def texts(self) -> Iterator[str]:
        """Yield every text that is sent: what is said, what tools are called with, what they gave, and the tools."""
        for message in self.messages:
            for part in parts_of(message):
                if isinstance(part, str):
                    yield part
                elif part.get("type") not in IMAGES | FILES:
                    yield json.dumps(part, ensure_ascii=False)
            for call in message.get("tool_calls") or ():
                function = call.get("function") or {}
                yield str(function.get("name") or "")
                yield str(function.get("arguments") or "")
            if more := {key: value for key, value in message.items() if key not in COUNTED}:
                yield json.dumps(more, ensure_ascii=False)
        if self.tools:
            yield json.dumps(self.tools, ensure_ascii=False)
        if isinstance(self.tool_choice, dict):
            yield json.dumps(self.tool_choice, ensure_ascii=False)

    def saying(self, text: str) -> Chat:
        """Return the conversation as if the user had said `text` last; images that went with it stay."""
        for at in range(len(self.messages) - 1, -1, -1):
            message = self.messages[at]
            if message.get("role") != "user":
                continue
            content = message.get("content")
            said: Any = text
            if isinstance(content, list):
                said = [{"type": "text", "text": text}, *(each for each in content if each.get("type") != "text")]
            changed = {**message, "content": said}
            return replace(self, messages=(*self.messages[:at], changed, *self.messages[at + 1 :]))
        return replace(self, messages=(*self.messages, {"role": "user", "content": text}))

    @property
    def turn(self) -> int | None:
        """Where the user's turn stands that is being answered; None where there is none.

        It is the last that does not stand behind what tools gave: in a tool loop the one that began it, and none of the
        reminders that programs put there.
        """
        found, behind = None, False
        for at, message in enumerate(self.messages):
            role = message.get("role")
            behind = role == "tool" or (behind and role != "assistant")
            if role == "user" and not behind:
                found = at
        return found

    def led(self, text: str) -> Chat:
        """Return the conversation with a text right before what the user says in the turn that is being answered."""
        if self.turn is None:
            return replace(self, messages=(*self.messages, {"role": "user", "content": text}))
        return self.within((f"{text}\n\n", ""))

    def told(self, system: str) -> Chat:
        """Return the conversation with instructions put before all that stands in it.

        Where it begins with instructions they become one message: templates of some models take no second.
        """
        first = self.messages[0] if self.n_system else None
        if first is None:
            return replace(self, messages=({"role": "system", "content": system}, *self.messages))
        content = first.get("content")
        if isinstance(content, list):
            joined: Any = [{"type": "text", "text": system}, *content]
        else:
            joined = f"{system}\n\n{content}" if content else system
        return replace(self, messages=({**first, "content": joined}, *self.messages[1:]))

    def within(self, pieces: Sequence[str]) -> Chat:
        """Return the conversation with the text of the user's turn put between the pieces of a template, two or more.

        Parts keep their places and marks: what comes before is put at the beginning of the first text, what comes after
        at the end of the last.
        """
        at = self.turn
        if at is None:
            return self
        content = self.messages[at].get("content")
        whole = text_of(content)
        if isinstance(content, list):
            texts = [i for i, part in enumerate(content) if isinstance(part, dict) and part.get("type") == "text"]
            parts = [dict(part) if isinstance(part, dict) else part for part in content]
            if texts:
                parts[texts[0]]["text"] = f"{pieces[0]}{parts[texts[0]].get('text') or ''}"
                parts[texts[-1]]["text"] = f"{parts[texts[-1]].get('text') or ''}{whole.join(pieces[1:])}"
            else:
                parts.insert(0, {"type": "text", "text": whole.join(pieces)})
            said: Any = parts
        else:
            said = whole.join(pieces)
        changed = {**self.messages[at], "content": said}
        return replace(self, messages=(*self.messages[:at], changed, *self.messages[at + 1 :]))


def parts_of(message: Mapping[str, Any]) -> list[str | Mapping[str, Any]]:
    """Return the parts of a message's content: texts, and parts of other kinds as they are."""
    content = message.get("content")
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list):
        return []
    return [
        part["text"] if isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
        else part if isinstance(part, dict) else str(part)
        for part in content
    ]  # fmt: skip


def text_of(content: Any) -> str:
    """Return the text of a message's content, its text parts joined by empty lines."""
    return "\n\n".join(part for part in parts_of({"content": content}) if isinstance(part, str))


def speech(content: Any) -> str:
    """Return what a user says in a message: its text, without what agents put beside it in marks of their own.

    Examples
    --------
    >>> speech("<system-reminder>Today is Monday.</system-reminder>Mend the test")
    'Mend the test'
    """
    text = text_of(content)
    said = _ASIDES.sub("", text).strip()
    return said or text


def _media(chat: Chat) -> Counter[str]:
    parts = (part for message in chat.messages for part in parts_of(message))
    kinds = (str(part.get("type")) for part in parts if not isinstance(part, str))
    return Counter(kind for kind in kinds if kind in IMAGES or kind in FILES)


def _required(chat: Chat) -> frozenset[str]:
    needs = {_NEEDS[kind] for kind in chat.media}
    return frozenset(needs | {"tools"} if chat.with_tools else needs)
