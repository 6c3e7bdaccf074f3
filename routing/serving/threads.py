"""Which conversation a program goes on with: told by its messages, since programs name none.

A program sends the whole conversation with each request. So what was answered is remembered by the messages that it
answered, and a request that begins with those goes on with it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from scrimp.routing.deciding.staying import CACHE_S, Staying
from scrimp.routing.prompts.chat import FILES, IMAGES, parts_of, speech
from scrimp.routing.prompts.chat_log import After

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scrimp.routing.deciding.trace import Decision
    from scrimp.routing.prompts.chat import Chat

__all__ = ["LEAST_CACHED", "Thread", "Threads"]

LEAST_CACHED: Final = 1_024
"""Shorter prompts are not cached: OpenAI begins at 1,024 tokens, and so do most of Anthropic's models."""

_KEPT_S: Final = 7 * 86_400.0
_MOST_BYTES: Final = 32 << 20
_ENTRY_BYTES: Final = 1_200
"""About what one remembered request takes, with its key and its place in the order."""
_ARM_BYTES: Final = 120
"""The same for each arm's running quality."""
_ALIKE: Final = 8
"""So many answers to the same messages are told apart, the latest."""


@dataclass(frozen=True, slots=True)
class Thread:
    """A conversation as it was after one of its requests.

    Attributes
    ----------
    conversation_id, last_request
        Its id, and that of the request, in the log.
    arm
        Which answered.
    n_read
        Tokens of the request by the provider's own count (by the estimate where it did not say).
    running, level
        Each arm's predicted quality and the difficulty, of the conversation so far.
    n_messages
        How many messages it had, not counting the instructions ahead of them.
    kept
        Whether its text is in the log.
    marked
        Whether its messages were marked to be kept in a cache: by the client, or (`calls.prompt_cache`) because they
        went on with an answer.
    at
        When it was answered, by the clock of `Threads`.
    n_cached
        Tokens that the provider is thought to hold in its cache still.
    """

    conversation_id: str
    last_request: str
    arm: str
    n_read: int
    running: Mapping[str, float]
    level: float | None
    n_messages: int
    kept: bool
    marked: bool
    at: float
    n_cached: int = 0
    _system: bytes = field(default=b"", repr=False)
    _tools: bytes = field(default=b"", repr=False)
    _answer: bytes = field(default=b"", repr=False)

    def staying(self, chat: Chat) -> Staying | None:
        """Return what the conversation brings to the decision on its next request."""
        return Staying(
            self.arm,
            self.n_cached,
            marked=self.marked,
            forced=chat.in_tool_loop,
            running=self.running,
            level=self.level,
        )

    def after(self, chat: Chat) -> After | None:
        """Return what of a chat is in the log with the last request; None where that is not, or nothing is new."""
        if not self.kept or self.n_messages >= len(chat.messages) - chat.n_system:
            return None
        same = chat.once("system", _system_of) == self._system, chat.once("tools", _tools_of) == self._tools
        return After(self.last_request, self.n_messages, *same)


class Threads:
    """Remembers conversations, the latest of them; used from one thread.

    Every request that was answered is remembered by a hash of its messages (a chain: each message's hash is of it and
    all before it), so that a conversation that was forked, or goes on from an earlier message, is found too. What is
    compared is a normal form of a message: its role, its text, what images it shows and which tools it calls with what.
    Clients add fields, move marks for the cache, send a text as parts, or null where there is none, so all that is left
    out, and so are the instructions ahead of the messages.

    Parameters
    ----------
    max_bytes, max_age_s
        What is remembered at most, of memory and of time.
    clock
        Monotonic seconds.
    """

    def __init__(
        self,
        *,
        max_bytes: int = _MOST_BYTES,
        max_age_s: float = _KEPT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.max_bytes = max_bytes
        self.max_age_s = max_age_s
        self._clock = clock
        self._by_key: OrderedDict[bytes, tuple[Thread, ...]] = OrderedDict()
        self._n_bytes = 0

    def __len__(self) -> int:
        """Count what is remembered: requests, not conversations."""
        return sum(map(len, self._by_key.values()))

    @property
    def n_bytes(self) -> int:
        """About how much memory it takes."""
        return self._n_bytes

    def find(self, chat: Chat, session: str | None = None) -> Thread | None:
        """Return the conversation that a request goes on with: of the longest beginning that was answered before.

        Where several answered the same messages (two programs that began alike), it is the one whose answer follows in
        the chat, else whose instructions are the same, else the latest. A beginning that holds no answer yet is told
        apart by more than a prompt, which may be any program's: it is none where neither is the same.

        Parameters
        ----------
        session
            The client's own name of the conversation, where it tells one: only what had the same is found.
        """
        now = self._clock()
        self._expire(now)
        keys = _keys(chat, session)
        for at in range(len(keys) - 2, -1, -1):  # at least one message is new
            alike = self._by_key.get(keys[at])
            if alike is None:
                continue
            follows = chat.messages[chat.n_system + at + 1]
            answer = _digest(_normal(follows)) if follows.get("role") == "assistant" else b""
            system = chat.once("system", _system_of)

            def rank(each: Thread, answer: bytes = answer, system: bytes = system) -> tuple[bool, bool, float]:
                return each._answer == answer, each._system == system, each.at  # noqa: SLF001 - of this module

            best = max(alike, key=rank)
            if not any(rank(best)[:2]) and not _answered(chat, at):
                continue
            self._by_key.move_to_end(keys[at])
            fresh = now - best.at <= CACHE_S and best.n_read >= LEAST_CACHED
            return replace(best, n_cached=best.n_read if fresh else 0)
        return None

    def note(
        self,
        chat: Chat,
        session: str | None,
        request_id: str,
        arm: str,
        answer: Mapping[str, Any],
        n_input: int | None,
        decision: Decision,
        *,
        kept: bool = True,
    ) -> Thread:
        """Remember a request that was answered; return its conversation.

        Parameters
        ----------
        answer
            The message that was answered, as it would stand in the chat.
        n_input
            Tokens of the request, by the provider's count; None where it did not say.
        decision
            How the arm was chosen: its qualities are those of the conversation so far.
        kept
            Whether the text of the request is in the log.
        """
        now = self._clock()
        before = self.find(chat, session)
        found = Thread(
            request_id if before is None else before.conversation_id,
            request_id,
            arm,
            decision.input_tokens if n_input is None else n_input,
            {weighed.option.arm: weighed.option.quality for weighed in decision.choice.weighed},
            decision.level,
            len(chat.messages) - chat.n_system,
            kept,
            _answered(chat, len(chat.messages)) or chat.once("marked", _marked),
            now,
            _system=chat.once("system", _system_of),
            _tools=chat.once("tools", _tools_of),
            _answer=_digest(_normal(answer)),
        )
        keys = _keys(chat, session)
        if keys:
            old = self._by_key.pop(keys[-1], ())
            new = (*old, found)[-_ALIKE:]
            self._by_key[keys[-1]] = new
            self._n_bytes += sum(map(_size, new)) - sum(map(_size, old))
            self._expire(now)
        return found

    def _expire(self, now: float) -> None:
        """Forget what is too old, or too much: that which was used longest ago first."""
        while self._by_key:
            key, threads = next(iter(self._by_key.items()))
            if self._n_bytes <= self.max_bytes and now - max(each.at for each in threads) <= self.max_age_s:
                return
            del self._by_key[key]
            self._n_bytes -= sum(map(_size, threads))


def _answered(chat: Chat, at: int) -> bool:
    """Tell whether an answer stands among the first messages of a chat, up to number `at`."""
    return any(message.get("role") == "assistant" for message in chat.messages[chat.n_system :][: at + 1])


def _marked(chat: Chat) -> bool:
    """Tell whether a client marked anything to be kept."""
    contents = (message.get("content") for message in chat.messages)
    parts = (part for content in contents if isinstance(content, list) for part in content)
    return any("cache_control" in each for each in (*chat.tools, *chat.messages, *parts))


def _size(thread: Thread) -> int:
    return _ENTRY_BYTES + _ARM_BYTES * len(thread.running)


def _keys(chat: Chat, session: str | None) -> list[bytes]:
    """Return the chain of hashes of a chat's messages, one for each after the instructions."""
    key = hashlib.blake2b((session or "").encode("utf-8", "surrogatepass"), digest_size=16).digest()
    keys = []
    for digest in chat.once("digests", _digests):
        key = hashlib.blake2b(key + digest, digest_size=16).digest()
        keys.append(key)
    return keys


def _digests(chat: Chat) -> list[bytes]:
    return [_digest(_normal(message)) for message in chat.messages[chat.n_system :]]


def _normal(message: Mapping[str, Any]) -> list[Any]:
    """Return what of a message tells it from others, however a client writes it."""
    role = message.get("role")
    said: list[Any] = []
    for part in parts_of(message):
        if isinstance(part, str):
            said.append(part)
        elif part.get("type") in IMAGES | FILES:
            said.append(part.get(part["type"]))
    texts = "\n".join(each for each in said if isinstance(each, str))
    shown = [each for each in said if not isinstance(each, str)]
    text = speech(texts) if role == "user" else texts
    return [role, text.strip(), shown, [_called(call) for call in message.get("tool_calls") or ()]]


def _called(call: Mapping[str, Any]) -> list[Any]:
    """Return a tool call without its id and the spelling of its arguments."""
    function = call.get("function") or {}
    arguments = function.get("arguments")
    with contextlib.suppress(ValueError):  # what is no JSON stands as it is
        arguments = json.loads(arguments) if isinstance(arguments, str) and arguments else {}
    return [function.get("name"), arguments]


def _digest(value: Any) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def _system_of(chat: Chat) -> bytes:
    return _digest(chat.system or "")


def _tools_of(chat: Chat) -> bytes:
    return _digest(chat.tools)
