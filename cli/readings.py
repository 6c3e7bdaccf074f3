"""What was read of the files that went with a prompt: the same words and tables for `ask`, `ask -x` and the log."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from scrimp.profiles.rungs import reading_of
from scrimp.routing.asking.was_read import passages_of
from scrimp.routing.text.in_words import percent

from .result import Column, Note, Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from scrimp.routing.prompts.prompt import Prompt

    from .result import Block

__all__ = ["files_mark", "logged_blocks", "read_in_words", "reading_blocks"]

_FIRST_WORDS = 44


def read_in_words(read: Mapping[str, Any]) -> list[str]:
    """Return what was read (`asking.was_read.was_read`), as a part of the line after an answer; none without files."""
    if read["reading"] is None:
        return []
    name = _together([each["name"] for each in read["files"]])
    whole = f"{read['whole_tokens']:,}"
    return {
        "passages": [f"passages of {name}, {read['read_tokens']:,} of {whole} tokens"],
        "none": [f"nothing of {name}"],
        "whole": [f"all of {name}, {whole} tokens"],
    }.get(read["reading"], [f"{read['reading']} of {name}, {whole} tokens"])


def files_mark(sources: str | None) -> str:
    """Return how a list marks a request that files went with, from the log's column; "" where none did."""
    files = json.loads(sources or "[]")
    return f"[{_together([each.get('name', 'a file') for each in files])}] " if files else ""


def _together(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} files"


def reading_blocks(prompt: Prompt, taken: str | None) -> Iterator[Block]:
    """Yield a prompt's files, and the passages of them that may be sent to the arm taken, with their first words."""
    readings = None if prompt.readings is None else prompt.readings.to_dict()
    texts = {each.sha256: each.text for each in prompt.sources}
    yield from logged_blocks([each.to_dict() for each in prompt.sources], readings, texts, taken)


def logged_blocks(
    files: Sequence[Mapping[str, Any]],
    readings: Mapping[str, Any] | None,
    texts: Mapping[str, str],
    taken: str | None,
    *,
    whole: bool = False,
) -> Iterator[Block]:
    """Yield files and passages as the log has them.

    Parameters
    ----------
    texts
        What the files say, by SHA-256, where that is kept.
    taken
        The arm taken, at its reading.
    whole
        Show each passage's text, not its first words only.
    """
    for file in files:
        size = f"{file['n_tokens']:,} tokens, {file['n_chars']:,} characters"
        yield Note(f"file {file.get('name', '(name not kept)')}: {size}, SHA-256 {file['sha256'][:12]}")
    if readings is None:
        return
    evidence = readings["evidence"]
    kind = None if taken is None else reading_of(taken) or "whole"
    size = f"{evidence['n_sent']:,} of {evidence['n_tokens']:,} tokens"
    read = f"reads passages, {size}" if kind == "passages" else f"reads {kind or 'nothing'}; passages would be {size}"
    yield Note(f"{read}; on offer: {', '.join(readings['offered'])}")
    yield Note(
        f"the best passage scores {percent(evidence['best'])} of what the question's words could, and the best of "
        f"those left out {percent(evidence['flat'])} of that"
    )
    spans = readings["passages"] or []
    passages = passages_of([file.get("name", "-") for file in files], spans)
    cut = [
        texts.get(files[number]["sha256"], "")[start:end] if number < len(files) else ""
        for number, start, end, _ in spans
    ]
    if whole:
        for each, text in zip(passages, cut, strict=True):
            yield f"\n{_where(each)}:\n{text or '(not kept)'}"
    elif passages:
        yield Table(
            (
                Column("passage of"),
                Column("characters", "right"),
                Column("score", "right"),
                Column("begins", narrow="below"),
            ),
            [
                (each["file"], f"{each['start']:,}-{each['end']:,}", f"{each['score']:.2f}", _first_words(text))
                for each, text in zip(passages, cut, strict=True)
            ],
        )


def _where(passage: Mapping[str, Any]) -> str:
    return f"{passage['file']}, characters {passage['start']:,} to {passage['end']:,}, score {passage['score']:.2f}"


def _first_words(text: str) -> str:
    line = " ".join(text[: 4 * _FIRST_WORDS].split())
    return (line if len(line) <= _FIRST_WORDS else line[: _FIRST_WORDS - 1] + "…") or "(not kept)"
