"""What is asked: text, history, attachments, a schema for the answer, and what an arm must be able to do."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from scrimp.profiles.errors import DataError, UsageError
from scrimp.profiles.reading import read_bytes

from .brief import BRIEFLY
from .sources import read_whole

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from pathlib import Path

    from .chat import Chat
    from .sources import Kept, Readings, Source

__all__ = [
    "Attachment",
    "Prompt",
    "Turn",
    "attachment_of",
    "check_variables",
    "fill_template",
    "load_attachment",
    "load_schema",
    "prompt_of_chat",
    "variables_of",
]

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"%PDF-", "application/pdf"),
)


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that goes with a prompt: an image or a PDF."""

    name: str
    media_type: str
    data: bytes = field(repr=False)

    @property
    def is_image(self) -> bool:
        """True for an image, False for a PDF."""
        return self.media_type.startswith("image/")

    def describe(self) -> dict[str, object]:
        """Return what the log keeps of it: name, type, size and hash, not the bytes."""
        digest = hashlib.sha256(self.data).hexdigest()
        return {"name": self.name, "media_type": self.media_type, "n_bytes": len(self.data), "sha256": digest}

    def content_part(self) -> dict[str, Any]:
        """Return it as a part of an OpenAI-style message (LiteLLM's form)."""
        url = f"data:{self.media_type};base64,{base64.b64encode(self.data).decode('ascii')}"
        if self.is_image:
            return {"type": "image_url", "image_url": {"url": url}}
        return {"type": "file", "file": {"filename": self.name, "file_data": url}}


@dataclass(frozen=True, slots=True)
class Turn:
    """One earlier exchange of a conversation; without an answer, the user went on speaking."""

    prompt: str
    answer: str | None


@dataclass(frozen=True, slots=True)
class Prompt:
    """One question, with all that goes to the model with it.

    Attributes
    ----------
    text
        The user's turn: what is embedded and scored.
    needs
        Capabilities an arm must have, beyond those that attachments and schema imply.
    own_format
        A `response_format` of the caller's own, which is sent as it is: a provider reads it, and charges for it.
    chat
        The whole conversation, where a program holds it: it is sent in place of system, history and attachments.
    hint
        What is sent right before the user's turn, in its message; the text stays what the user wrote.
    sources
        Files that go with it, sent before hint and text in the same message.
    readings
        How much of the sources may be sent; None where there is nothing to choose: they are sent whole.
    block
        What is sent of the sources, once that is settled (`as_read`).
    kept
        What prompt caches are expected to hold of the sources, where they are sent whole; None: nothing, as far as is
        known.
    brief
        A short answer is asked for, by a line after all system text (`told`); a program's own chat is sent as it is.
    """

    text: str
    system: str | None = None
    history: tuple[Turn, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    schema: Mapping[str, Any] | None = None
    needs: frozenset[str] = frozenset()
    own_format: Mapping[str, Any] | None = None
    chat: Chat | None = None
    hint: str | None = None
    sources: tuple[Source, ...] = ()
    readings: Readings | None = None
    block: str | None = None
    kept: Kept | None = None
    brief: bool = False

    @property
    def told(self) -> str | None:
        """The system text as it is sent."""
        if not self.brief:
            return self.system
        return BRIEFLY if self.system is None else f"{self.system}\n\n{BRIEFLY}"

    @property
    def forms(self) -> tuple[Mapping[str, Any], ...]:
        """What may be sent of the answer's form, besides the messages."""
        return tuple(form for form in (self.schema, self.own_format) if form is not None)

    @property
    def schema_text(self) -> str:
        """The schema as JSON, or an empty string."""
        return "" if self.schema is None else json.dumps(self.schema, sort_keys=True, separators=(",", ":"))

    @property
    def required(self) -> frozenset[str]:
        """Every capability an arm must have to take this prompt."""
        implied = {"vision" if attachment.is_image else "pdf" for attachment in self.attachments}
        if self.schema is not None:
            implied.add("json")
        if self.chat is not None:
            implied |= self.chat.required
        return self.needs | implied

    def parts(self) -> Iterator[str]:
        """Yield every text that is sent, one a message (of a chat: one a part)."""
        if self.chat is not None:
            if self.hint is not None:
                yield self.hint
            yield from self.chat.texts()
            return
        if (told := self.told) is not None:
            yield told
        for turn in self.history:
            yield turn.prompt
            if turn.answer is not None:
                yield turn.answer
        if before := self._before:
            yield before
        yield self._turn

    def messages(self) -> list[dict[str, Any]]:
        """Return the call's messages in OpenAI's form."""
        if self.chat is not None:
            chat = self.chat if self.hint is None else self.chat.led(self.hint)
            return [dict(message) for message in chat.messages]
        messages: list[dict[str, Any]] = []
        if (told := self.told) is not None:
            messages.append({"role": "system", "content": told})
        for turn in self.history:
            messages.append({"role": "user", "content": turn.prompt})
            if turn.answer is not None:
                messages.append({"role": "assistant", "content": turn.answer})
        before = self._before
        content: Any = f"{before}\n\n{self._turn}" if before else self._turn
        if self.attachments:
            content = [{"type": "text", "text": content}, *(each.content_part() for each in self.attachments)]
        messages.append({"role": "user", "content": content})
        return messages

    @property
    def _before(self) -> str:
        """What is sent of the sources."""
        if self.block is not None or not self.sources:
            return self.block or ""
        return read_whole(self.sources, self.text).text

    def as_read(self, kind: str | None) -> Prompt:
        """Return it with its sources as a reading sends them; None, and a reading that it has not: whole."""
        if not self.sources:
            return self
        if kind == "none":
            return replace(self, block="", sources=(), readings=None, kept=None)
        readings = self.readings
        read = None if readings is None else readings.reads.get(kind or "whole")
        block = read_whole(self.sources, self.text).text if read is None else read.text
        kept = self.kept if kind in (None, "whole") else None
        return replace(self, block=block, sources=(), readings=None, kept=kept)

    def shown(self, reading: str | None = None) -> str:
        """Return the user's turn as who judges answers is shown it: below its passages, or its files if they are short.

        Parameters
        ----------
        reading
            What a judge is named with; "none" shows the question alone.
        """
        if reading == "none" or not self.sources:
            return self.text
        return f"{self.as_read('passages').block}\n\n{self.text}"

    @property
    def _turn(self) -> str:
        return self.text if self.hint is None else f"{self.hint}\n\n{self.text}"

    @property
    def around(self) -> tuple[str, ...]:
        """What stands around texts that are quoted in its turn: their mark occurs in none of it."""
        return self.text, *(source.text for source in self.sources), self.block or ""

    def sent_to(self, kind: str | None) -> str:
        """Return all that is sent with it at a reading, in one text: what an answer may go by."""
        return "\n\n".join(self.as_read(kind).parts())

    def saying(self, text: str) -> Prompt:
        """Return it with another text in the place of what the user says in it."""
        return replace(self, text=text, chat=None if self.chat is None else self.chat.saying(text))

    def response_format(self) -> dict[str, Any] | None:
        """Return the schema as OpenAI's `response_format`, or None."""
        if self.schema is None:
            return None
        return {"type": "json_schema", "json_schema": {"name": "answer", "schema": dict(self.schema), "strict": True}}


def prompt_of_chat(
    chat: Chat,
    *,
    needs: Iterable[str] = (),
    schema: Mapping[str, Any] | None = None,
    own_format: Mapping[str, Any] | None = None,
) -> Prompt:
    """Return a program's conversation as a prompt: what the user said last is its text, the chat is what is sent.

    Parameters
    ----------
    needs, schema, own_format
        As in `Prompt`.
    """
    return Prompt(chat.asked, chat.system, schema=schema, needs=frozenset(needs), own_format=own_format, chat=chat)


def load_attachment(path: Path) -> Attachment:
    """Read an image or a PDF.

    Raises
    ------
    UsageError
        If the file cannot be read, or is of a kind that no model takes.
    """
    try:
        data = read_bytes(path)
    except OSError as error:
        raise UsageError(f"cannot read attachment {path}: {error.strerror}") from None
    return attachment_of(path.name, data, what=str(path))


def attachment_of(name: str, data: bytes, *, what: str) -> Attachment:
    """Return an image or a PDF.

    Parameters
    ----------
    what
        What it is called in an error.

    Raises
    ------
    UsageError
        If it is of a kind that no model takes.
    """
    for magic, media_type in _MAGIC:
        if data.startswith(magic):
            return Attachment(name, media_type, data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return Attachment(name, "image/webp", data)
    raise UsageError(
        f"attachment {what} is neither a PNG, JPEG, GIF or WebP image nor a PDF", hint="Text goes with -f instead."
    )


def load_schema(raw: str, *, what: str) -> dict[str, Any]:
    """Parse and check a JSON Schema for the answer.

    Raises
    ------
    DataError
        If it is not JSON, or not a JSON Schema.
    """
    try:
        schema = json.loads(raw)
    except json.JSONDecodeError as error:
        raise DataError(f"{what}, line {error.lineno}, column {error.colno}: not JSON: {error.msg}") from None
    if not isinstance(schema, dict):
        raise DataError(f"{what}: a JSON Schema is an object, not a {type(schema).__name__}")
    import jsonschema
    from jsonschema.validators import validator_for

    try:
        validator_for(schema).check_schema(schema)
    except jsonschema.SchemaError as error:
        where = "/".join(str(part) for part in error.absolute_path) or "the top"
        raise DataError(f"{what}: not a JSON Schema, at {where}: {error.message}") from None
    return schema


_VARIABLE = re.compile(r"\{\{\s*([A-Za-z_]\w*)\s*\}\}")


def variables_of(template: str) -> set[str]:
    """Return the names that a template leaves open.

    Examples
    --------
    >>> sorted(variables_of("Translate into {{ language }}: {{input}}"))
    ['input', 'language']
    """
    return set(_VARIABLE.findall(template))


def fill_template(template: str, variables: Mapping[str, str]) -> str:
    """Replace each `{{name}}` of a template by its variable.

    Examples
    --------
    >>> fill_template("Translate into {{language}}: {{input}}", {"language": "Danish", "input": "ox"})
    'Translate into Danish: ox'
    """
    return _VARIABLE.sub(lambda match: variables[match.group(1)], template)


def check_variables(names: Collection[str], variables: Mapping[str, str], *, what: str) -> None:
    """Check that a template has the variables that are given, and is given those that it has.

    Raises
    ------
    UsageError
        If it has one that was not given, or was given one that it does not have.
    """
    missing = sorted(set(names) - set(variables))
    if missing:
        flags = " ".join(f"-v {name}=..." for name in missing)
        raise UsageError(
            f"{what} needs {', '.join(missing)}",
            hint=f"Give them with: {flags}" if missing != ["input"] else "Give a prompt as argument or on stdin.",
        )
    unused = sorted(set(variables) - set(names))
    if unused == ["input"]:
        raise UsageError(
            f"{what} has no {{{{input}}}}: the prompt, or the text piped in, has no place in it",
            hint="Put {{input}} into it, or leave the prompt out (< /dev/null keeps standard input away).",
        )
    if unused:
        raise UsageError(
            f"{what} has no variable {', '.join(unused)}", hint=f"It has: {', '.join(sorted(names)) or 'none'}."
        )
