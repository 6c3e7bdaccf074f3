"""What a reply says, read from its own bytes: answer, tool calls, end, usage, errors, in any shape of the wire.

A reply is read here whether it came whole or in a stream, so that both say the same. The shapes are OpenAI's chat (and
older) completions, Anthropic's messages, Gemini's candidates, and Ollama's and Cohere's chat; of others only the facts
are read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from scrimp.routing.prices.stated import gather, gather_tier

from .call import TextDelta
from .events import Events
from .thinking import Thinking
from .tool_calls import Piece, ToolCalls, anthropic_piece, chat_pieces, cohere_pieces, gemini_piece

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .call import Delta, ToolCall

__all__ = ["ENDS", "Reading"]

ENDS: Final = {
    word: end
    for end, words in {
        "stop": "stop eos eos_token end end_turn stop_sequence stop_token stopped complete completed finished "
        "load unload",
        "length": "length max_length max_tokens max_output_tokens model_length model_context_window_exceeded "
        "context_length context_length_exceeded",
        "content_filter": "content_filter content_filtered refusal safety recitation blocklist prohibited_content spii "
        "image_safety language sensitive guardrail_intervened",
        "tool_calls": "tool_calls tool_call tool_use function_call",
    }.items()
    for word in words.split()
}
"""What the providers' words for the end of an answer mean, in lower case: any other word says that it broke off."""

_FINISH_KEYS: Final = ("finish_reason", "finishReason", "stop_reason", "stopReason", "done_reason")
_COHERE: Final = frozenset(
    {"message-start", "content-start", "content-delta", "content-end", "message-end", "tool-plan-delta",
     "tool-call-start", "tool-call-delta", "tool-call-end"}
)  # fmt: skip
_FORM_TOOL: Final = "json_tool_call"
"""The tool that litellm has a model call where it can give a schema in no other way: what it is called with is the
answer."""
_N_OPINION: Final = 3


class Reading:
    """What one reply says, as far as it has been fed.

    Attributes
    ----------
    recognised
        Whether its shape is one that is read here.
    answered
        Whether a place for an answer came, be it empty.
    word
        The provider's own word for the end of the answer; None before it came.
    over
        Whether the reply says that it is over: by that word, by a closing mark, or by being one value.
    malformed
        Whether a part of it could not be read.
    model, reply_id
        What the reply calls its model and itself.
    usage, tier
        The provider's own usage, as it was sent, and the service tier; None when there was none.
    error
        An error object sent in the place of an answer, or after a part of it.
    reasoned
        Whether the model thought in words that are no part of the answer.
    refused_text
        What the model said in refusing, where that is told apart from its answer.
    declined
        Whether the answer is no more than that.
    """

    def __init__(self) -> None:
        self.recognised = False
        self.answered = False
        self.word: str | None = None
        self.over = False
        self.model: str | None = None
        self.reply_id: str | None = None
        self.usage: dict[str, Any] | None = None
        self.tier: str | None = None
        self.error: Any = None
        self.refused_text = ""
        self.declined = False
        self.reasoned = False
        self._pieces: list[str] = []
        self._events = Events()
        self._thinking: Thinking | None = None
        self._fresh: list[Delta] = []
        self._calls = ToolCalls()
        self._choice: object = None
        self._forms: set[object] = set()
        self._tools: set[object] = set()  # blocks of Anthropic's, but for those that the provider runs itself
        self._n_strange = 0
        self._unended = False
        self._in_pieces = False

    @property
    def text(self) -> str:
        """The answer, as far as it was taken."""
        return "".join(self._pieces)

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """What the model asks to be run, as far as it has come."""
        return self._calls.whole

    @property
    def malformed(self) -> bool:
        """Whether a part of it could not be read."""
        return self._events.malformed

    @property
    def strange(self) -> bool:
        """Whether enough has come to tell that its shape is none that is read here."""
        return not self.recognised and self._n_strange >= _N_OPINION

    @property
    def has_values(self) -> bool:
        """Whether anything came that is JSON."""
        return self.recognised or self._n_strange > 0

    @property
    def closed(self) -> bool:
        """Whether nothing of interest can follow."""
        return self._events.closed

    @property
    def finish_reason(self) -> str | None:
        """What the word for the end means; the word itself where it says that the answer broke off."""
        if self.declined:
            return "refusal"
        end = None if self.word is None else ENDS.get(self.word.lower(), self.word)
        if self._calls.whole:  # some call tools, and say that they stopped
            return "tool_calls" if end == "stop" or (end is None and self.over) else end
        return "stop" if end == "tool_calls" and self._forms else end

    @property
    def broken_off(self) -> bool:
        """Whether the provider's word for the end is none for an answer that is whole, cut at a limit or filtered."""
        return self.word is not None and self.word.lower() not in ENDS

    @property
    def complete(self) -> bool:
        """Whether an answer came, and came to an end."""
        return self.answered and self.over and self.error is None and not self.malformed and not self.broken_off

    def feed(self, part: bytes) -> None:
        """Read a part.

        Raises
        ------
        TooLongError
            If a value in it is longer than any answer.
        """
        for value in self._events.feed(part):
            self._note(value)
        self.over = self.over or self._events.closed

    def end(self) -> None:
        """Read what is left."""
        self._rest()
        self.over = self.over or self._events.closed or (self._events.document and not self._unended)

    def broke(self) -> None:
        """Read what is left of a reply that the connection broke off: its last value is cut, and not malformed."""
        malformed = self.malformed
        self._rest()
        self._events.malformed = malformed

    def _rest(self) -> None:
        for value in self._events.end():
            self._note(value)
        begun = self._events.begun
        if isinstance(begun, dict):
            # What it says last may be cut: its text is what came of the answer, its numbers count for nothing.
            self._read(begun, begun.get("type"))
            if self._fresh:
                self._identify(begun)

    def take(self) -> list[Delta]:
        """Return what has come of answer and tool calls since the last time, texts next to each other in one."""
        fresh: list[Delta] = []
        for delta in self._fresh:
            before = fresh[-1] if fresh else None
            if isinstance(delta, TextDelta) and isinstance(before, TextDelta):
                fresh[-1] = TextDelta(before.text + delta.text)
            else:
                fresh.append(delta)
        self._fresh.clear()
        self._pieces += [delta.text for delta in fresh if isinstance(delta, TextDelta)]
        return fresh

    def last(self) -> list[Delta]:
        """Return what there is yet, when no more will come: what was held back, or the refusal."""
        if self._thinking is not None:
            self._hear(self._thinking.end())
        if self.over or not self.recognised:
            self._fresh += self._calls.end()
        fresh = self.take()
        if not (self.text or self._calls.whole) and self.refused_text and self.over:
            self.declined = True
            self._hear(self.refused_text)
            fresh = self.take()
        return fresh

    def call(self, piece: Piece) -> None:
        """Add a piece of a tool call; what a form is filled in with is the answer."""
        if piece.name == _FORM_TOOL:
            self._forms.add(piece.place)
        elif piece.name is not None:
            self._forms.discard(piece.place)
        if piece.place in self._forms:
            self._hear(piece.arguments)
            return
        delta = self._calls.add(piece)
        if delta is not None:
            self._fresh.append(delta)

    def say(self, text: str) -> None:
        """Add to the answer what was read elsewhere, or comes from a model that may think aloud."""
        if self._thinking is None:
            self._thinking = Thinking()
        self._hear(self._thinking.feed(text))
        self.reasoned = self.reasoned or self._thinking.found

    def _hear(self, text: str) -> None:
        if text:
            self._fresh.append(TextDelta(text))

    # ---- values

    def _note(self, value: Any) -> None:
        """Take from one JSON value what is said of answer, model, end, usage and errors."""
        if isinstance(value, list):
            for item in value:
                self._note(item)
            return
        if not isinstance(value, dict):
            return
        kind = value.get("type")
        choice = self._read(value, kind)
        if not self.recognised:
            self._n_strange += 1
        if kind in {"message_stop", "response.completed", "response.incomplete", "message-end"}:
            self.over = True
        layers = [
            value,
            *(value[key] for key in ("message", "response", "delta", "x_groq") if isinstance(value.get(key), dict)),
            *([] if choice is None else [choice]),
        ]
        for layer in layers:
            self._identify(layer)
            word = next(filter(None, (_word(layer.get(key)) for key in _FINISH_KEYS)), None)
            if word is not None:
                self.word, self.over = word, True
            if layer.get("error"):
                self.error = layer["error"]
        self.usage, self.tier = gather(self.usage, value), gather_tier(self.tier, value)
        if self.error is None and (kind == "error" or (self._events.name == "error" and choice is None)):
            self.error = value

    def _identify(self, layer: dict[str, Any]) -> None:
        self.model = self.model or _text(layer.get("model")) or _text(layer.get("modelVersion"))
        self.reply_id = self.reply_id or _text(layer.get("id")) or _text(layer.get("responseId"))

    def _read(self, value: dict[str, Any], kind: object) -> dict[str, Any] | None:
        """Read the answer in a value of a shape that is known; return the choice that it is in, if it has choices."""
        listed = next((key for key in ("choices", "candidates") if key in value), None)
        if listed is not None:
            self.recognised = True
            choice = self._ours(value[listed])
            if choice is not None:
                self.answered = True
                (self._chat if listed == "choices" else self._gemini)(choice)
            return choice
        if isinstance(value.get("promptFeedback"), dict):
            self.recognised = True
            if value["promptFeedback"].get("blockReason"):
                self.answered = self.over = True
                self.word = "content_filter"
        elif isinstance(value.get("done"), bool):
            self.recognised = self.answered = True
            self._ollama(value)
        elif kind == "message" or (isinstance(kind, str) and kind.startswith(("message_", "content_block_"))):
            self.recognised = True
            self._anthropic(value, kind)
        elif kind in _COHERE or (kind is None and "finish_reason" in value and isinstance(value.get("message"), dict)):
            self.recognised = self.answered = True
            whole = value if kind is None else value.get("delta")
            message = whole.get("message") if isinstance(whole, dict) else None
            if isinstance(message, dict):
                for text in self._parts(message.get("content")):
                    self._hear(text)
                for piece in cohere_pieces(message.get("tool_calls"), value.get("index")):
                    self.call(piece)
        elif value.get("error"):
            self.recognised = True
        return None

    def _ours(self, choices: Any) -> dict[str, Any] | None:
        """Return the choice that is read, of those in one value: the first that ever came, and no other."""
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                index = choice.get("index") or 0
                if self._choice is None:
                    self._choice = index
                if index == self._choice:
                    return choice
        return None

    def _chat(self, choice: dict[str, Any]) -> None:
        """Read a choice of OpenAI's, in a stream or whole."""
        delta = choice.get("delta")
        whole = not isinstance(delta, dict) or not delta
        part: Any = delta
        if whole:
            part = choice.get("message")
            if not isinstance(part, dict):
                part = {"content": choice.get("text")}
            elif self._in_pieces:  # some repeat the answer so far beside each piece
                return
        for text in self._parts(part.get("content")):
            self._in_pieces = True
            self.say(text)
        for key in ("reasoning_content", "reasoning", "thinking"):
            self.reasoned = self.reasoned or bool(part.get(key))
        self.refused_text += _text(part.get("refusal")) or ""
        for piece in chat_pieces(part.get("tool_calls"), whole=whole):
            self._in_pieces = True
            self.call(piece)

    def _gemini(self, candidate: dict[str, Any]) -> None:
        content = candidate.get("content")
        parts = content.get("parts") if isinstance(content, dict) else None
        for part in parts if isinstance(parts, list) else ():
            for text in self._parts(part):
                self._hear(text)
            piece = gemini_piece(part)
            if piece is not None:
                self.call(piece)

    def _ollama(self, value: dict[str, Any]) -> None:
        message = value.get("message")
        if not isinstance(message, dict):
            message = {"content": value.get("response"), "thinking": value.get("thinking")}
        for text in self._parts(message.get("content")):
            self.say(text)
        for piece in chat_pieces(message.get("tool_calls"), whole=True):
            self.call(piece._replace(place=object()))  # each is whole, in whichever of a stream's values it comes
        self.reasoned = self.reasoned or bool(message.get("thinking"))
        self.over = self.over or value["done"]
        self._unended = not value["done"]

    def _anthropic(self, value: dict[str, Any], kind: object) -> None:
        if kind in {"message", "message_start"}:
            self.answered = True
            whole = value if kind == "message" else value.get("message")
            blocks = whole.get("content") if isinstance(whole, dict) else None
            for index, block in enumerate(blocks if isinstance(blocks, list) else ()):
                self._block(block, index)
        elif kind == "content_block_start":
            self._block(value.get("content_block"), value.get("index"))
        elif kind == "content_block_delta" and isinstance(value.get("delta"), dict):
            delta = value["delta"]
            self.reasoned = self.reasoned or delta.get("type") == "thinking_delta"
            self._hear(_text(delta.get("text")) or "")
            if value.get("index") in self._tools and _text(delta.get("partial_json")):
                self.call(Piece(value.get("index"), None, None, delta["partial_json"]))

    def _block(self, block: Any, index: object) -> None:
        """Read a block of Anthropic's: whole, or its beginning, with its place in the reply."""
        for text in self._parts([block]):
            self._hear(text)
        if isinstance(block, dict) and block.get("type") == "tool_use":
            self._tools.add(index)
            self.call(anthropic_piece(block, index))

    def _parts(self, content: Any) -> Iterator[str]:
        """Yield the text in a content, be it a string or a list of parts; thoughts are none of it."""
        for part in content if isinstance(content, list) else (content,):
            if isinstance(part, str):
                yield part
            elif isinstance(part, dict):
                kind = part.get("type")
                if part.get("thought") is True or (kind is not None and kind not in {"text", "output_text"}):
                    self.reasoned = self.reasoned or part.get("thought") is True or _is_thought(kind)
                elif "thinking" in part:
                    self.reasoned = True
                elif isinstance(part.get("text"), str):
                    yield part["text"]


def _is_thought(kind: object) -> bool:
    return isinstance(kind, str) and ("thinking" in kind or "reasoning" in kind)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _word(value: Any) -> str | None:
    """Return a word for the end; some send an empty one, or `null` as a string, with each piece."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value.lower() not in {"", "null", "none"} else None
