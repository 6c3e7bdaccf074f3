"""Read back what `learn export` wrote: prompts, the answers to each, and how good they were."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from scrimp.profiles.errors import DataError
from scrimp.routing.prompts.chat import Chat

from .outcomes import open_lines

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ExportedAnswer", "ExportedPrompt", "is_exported", "read_exported"]


class _About(msgspec.Struct, frozen=True):
    id: str
    arm: str
    reward: Annotated[float, msgspec.Meta(ge=0, le=1)]
    prompt_id: str = ""


class _Pair(msgspec.Struct, frozen=True):
    prompt_id: str
    chosen: _About
    rejected: _About


class _Single(msgspec.Struct, frozen=True):
    messages: Annotated[list[dict[str, Any]], msgspec.Meta(min_length=2)]
    metadata: _About


class _Preference(msgspec.Struct, frozen=True):
    prompt: Annotated[list[dict[str, Any]], msgspec.Meta(min_length=1)]
    chosen: list[dict[str, Any]]
    rejected: list[dict[str, Any]]
    metadata: _Pair


@dataclass(frozen=True, slots=True)
class ExportedAnswer:
    """One answer: its salted id, whose it is (an arm's name), and its reward in [0, 1]."""

    id: str
    name: str
    reward: float


@dataclass(frozen=True, slots=True)
class ExportedPrompt:
    """One prompt with its answers, no answer twice; `text` is what its user said last."""

    id: str
    text: str
    system: str | None
    answers: list[ExportedAnswer] = field(default_factory=list)


def is_exported(path: Path) -> bool:
    """Return whether the first row of a file is one that `learn export` writes."""
    for _, line in islice(open_lines(path), 100):
        if line.strip():
            try:
                row = msgspec.json.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                return False
            return isinstance(row, dict) and "metadata" in row and ("messages" in row or "chosen" in row)
    return False


def read_exported(path: Path) -> list[ExportedPrompt]:
    """Read exported rows, single answers and pairs alike, in the order of the file.

    Raises
    ------
    DataError
        Naming file and line: a line that is no such row, or whose prompt has no text.
    """
    decoder = msgspec.json.Decoder(dict[str, Any])
    found: dict[str, ExportedPrompt] = {}
    seen: set[tuple[str, str]] = set()
    for number, line in open_lines(path):
        if not line.strip():
            continue
        try:
            row = decoder.decode(line)
            if "messages" in row:
                single = msgspec.convert(row, _Single)
                asked, answers, prompt_id = single.messages[:-1], [single.metadata], single.metadata.prompt_id
            else:
                pair = msgspec.convert(row, _Preference)
                about = pair.metadata
                asked, answers, prompt_id = pair.prompt, [about.chosen, about.rejected], about.prompt_id
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
            raise DataError(
                f"{path}:{number}: not a row of `scrimp learn export`: {error}",
                hint='each has "metadata" (id, prompt_id, arm, reward), and "messages" or "chosen" and "rejected"',
            ) from error
        chat = Chat(tuple(asked))
        if not chat.asked.strip():
            raise DataError(f"{path}:{number}: the prompt has no text")
        prompt_id = prompt_id or answers[0].id
        prompt = found.setdefault(prompt_id, ExportedPrompt(prompt_id, chat.asked, chat.system))
        for answer in answers:
            if (prompt_id, answer.id) not in seen:
                seen.add((prompt_id, answer.id))
                prompt.answers.append(ExportedAnswer(answer.id, answer.arm, answer.reward))
    return list(found.values())
