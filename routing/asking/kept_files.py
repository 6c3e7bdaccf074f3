"""The files of a logged request, for asking again: their texts as the log kept them, or as they are still on disk."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from scrimp.profiles.errors import ScrimpError, UsageError
from scrimp.routing.ledger.documents import kept
from scrimp.routing.ledger.requests import last_with_files
from scrimp.routing.prompts.sources import Readings, Source

from .files_in import read_sources

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scrimp.routing.ledger.store import Ledger
    from scrimp.routing.prompts.prompt import Prompt

__all__ = ["files_of", "in_words", "of_conversation", "reads_again", "with_files"]


def with_files(ledger: Ledger | None, row: Mapping[str, Any], prompt: Prompt) -> Prompt:
    """Return a logged request's prompt with its files, and with the readings of them that were on offer then.

    A reading that is taken again sends byte for byte what it sent.

    Raises
    ------
    UsageError
        If the text of a file was not kept, and is not to be had where it was.
    """
    sources = files_of(ledger, row)
    if not sources:
        return prompt
    on_record = None if row["readings"] is None else json.loads(row["readings"])
    readings = None if on_record is None else Readings.read_again(on_record, sources, prompt.text)
    return replace(prompt, sources=sources, readings=readings)


def of_conversation(ledger: Ledger, conversation_id: str) -> tuple[Source, ...]:
    """Return the files that a conversation was last asked of; none where it never was of any.

    Raises
    ------
    UsageError
        If the text of one is not to be had any more.
    """
    row = last_with_files(ledger, conversation_id)
    if row is None:
        return ()
    try:
        return files_of(ledger, row)
    except UsageError as why:
        hint = "Give the files with -f again, or go on without them: --read none."
        raise UsageError(f"the conversation cannot go on with its files: {why.message}", hint=hint) from None


def files_of(ledger: Ledger | None, row: Mapping[str, Any]) -> tuple[Source, ...]:
    """Return the files that went with a logged request; none where there were none.

    Raises
    ------
    UsageError
        If the text of one was not kept, and its file has gone or has changed since.
    """
    files = json.loads(row.get("sources") or "[]")
    texts = {} if ledger is None or not files else kept(ledger, {each["sha256"] for each in files})
    return tuple(_source(row["id"], each, texts.get(each["sha256"])) for each in files)


def _source(request_id: str, file: Mapping[str, Any], text: str | None) -> Source:
    name, path = file.get("name"), file.get("path")
    if name is None:
        raise UsageError(f"{request_id} was asked of a file whose text was not kept (log.keep)")
    if text is not None:
        return Source(name, text, path)
    if path is None:
        raise UsageError(f"{request_id} was asked of {name}, whose text was not kept: it was too long for the log")
    why = "it has changed since"
    try:
        for found in read_sources((path,)):
            if found.sha256 == file["sha256"]:
                return replace(found, name=name)
    except ScrimpError as error:
        why = error.message
    raise UsageError(f"{request_id} was asked of {name}, whose text was too long for the log to keep: {why}")


def reads_again(given: Prompt, asked: Prompt) -> str | None:
    """Return the line for the user where a conversation goes on with the files it was asked of; None where not."""
    return f"reads {in_words(asked.sources)} again" if asked.sources and not given.sources else None


def in_words(sources: Sequence[Source] | Sequence[str]) -> str:
    """Return what some files are called together.

    Examples
    --------
    >>> in_words(["10k.txt"]), in_words(["a", "b", "c"])
    ('10k.txt', '3 files')
    """
    names = [each if isinstance(each, str) else each.name for each in sources]
    return names[0] if len(names) == 1 else f"{len(names)} files"
