"""From what a user gives (texts, files, a template, a schema) to a prompt, and from a prompt to a request."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from scrimp.profiles import reading
from scrimp.profiles.errors import UsageError
from scrimp.routing.deciding.decide import Wishes
from scrimp.routing.ledger.conversations import (
    Conversation,
    begin_conversation,
    check_name,
    conversation,
    find_conversation,
    last_conversation,
)
from scrimp.routing.prompts.prompt import (
    Attachment,
    Prompt,
    Turn,
    attachment_of,
    check_variables,
    fill_template,
    load_attachment,
    load_schema,
    variables_of,
)
from scrimp.routing.prompts.schema_words import is_in_words, many_of, schema_of_words
from scrimp.routing.prompts.sources import Source
from scrimp.routing.text.clean import clean_text

from .files_in import PIPE, PIPED, is_url, limited, read_sources
from .kept_files import of_conversation
from .memory import check_tier
from .read import check_reading
from .request import Ask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from scrimp.profiles.schema import Profile
    from scrimp.profiles.templates import Template
    from scrimp.routing.ledger.store import Ledger

    from .fetching import Fetched

__all__ = [
    "Filled",
    "Source",
    "compose",
    "given_attachments",
    "given_variables",
    "going_on",
    "in_template",
    "make_request",
    "question_of",
    "read_schema",
    "read_sources",
    "schema_to_keep",
]


def question_of(typed: str, sources: Iterable[Source]) -> tuple[str, tuple[Source, ...]]:
    """Return what is asked, and the files that it is asked of; where nothing was typed the files are the prompt."""
    given = tuple(sources)
    return (typed, given) if typed.strip() else (in_one(source.text for source in given), ())


class Filled(NamedTuple):
    """What is asked by a template: the prompt's text, the system prompt, and the files that it is asked of."""

    text: str
    system: str | None
    sources: tuple[Source, ...]


def in_template(
    template: Template, name: str, typed: str, sources: Iterable[Source], pairs: Sequence[str], *, unasked: bool = False
) -> Filled:
    """Return what is asked by a template.

    What was typed stands for `{{input}}`; where nothing was typed, the text of the files does. A template that has no
    `{{input}}` asks by itself, of the files that were named; one without text asks what was typed.

    Parameters
    ----------
    name
        What errors call it.
    pairs
        Its variables, as NAME=VALUE, before its own defaults.
    unasked
        Standard input is among the sources without having been named: then it is an error if it has no place.

    Raises
    ------
    UsageError
        If a variable is missing or misspelt, or what was typed has no place.
    """
    given = tuple(sources)
    prompt = template.prompt if template.prompt.strip() else "{{input}}"
    system = template.system or ""
    named = variables_of(prompt) | variables_of(system)
    if not typed.strip() and (unasked or "input" in named):
        typed, given = in_one(source.text for source in given), ()
    variables = template.defaults | ({"input": typed} if typed else {}) | given_variables(pairs)
    check_variables(named, variables, what=f"template {name}")
    return Filled(fill_template(prompt, variables), fill_template(system, variables) or None, given)


def in_one(parts: Iterable[str]) -> str:
    """Return the text of a prompt from its parts (typed, of files, piped), an empty line between them."""
    return "\n\n".join(part.strip("\n") for part in parts)


def read_schema(given: str, *, many: bool = False) -> dict[str, Any]:
    """Return a JSON Schema that was given as text, in words (`name, age int`), or as the name of a file.

    Parameters
    ----------
    many
        A list of what it describes is asked for, as the `items` of an object.

    Raises
    ------
    UsageError
        If it cannot be read, or is no schema.
    """
    schema = _schema(given)
    return many_of(schema) if many else schema


def schema_to_keep(given: str) -> str:
    """Return a schema as it is kept: what was given in words as it is, any other as JSON, read from its file now."""
    schema = _schema(given)
    if is_in_words(given) and not Path(given).is_file():
        return given
    return json.dumps(schema, indent=2, ensure_ascii=False)


def _schema(given: str) -> dict[str, Any]:
    if given.lstrip().startswith("{"):
        return load_schema(given, what="--schema")
    if is_in_words(given) and not Path(given).is_file():
        return schema_of_words(given)
    what = f"schema {given}"
    try:
        return load_schema(reading.read_text(Path(given)), what=what)
    except OSError as error:
        hint = f"A schema in words says a type: '{given} str'." if given.isidentifier() else None
        raise UsageError(f"cannot read {what}: {error.strerror}", hint=hint) from None
    except UnicodeDecodeError:
        raise UsageError(f"{what} is not UTF-8") from None


def compose(
    text: str,
    *,
    system: str | None,
    attachments: Iterable[Path | Attachment],
    schema: str | None,
    needs: Iterable[str],
    schema_multi: str | None = None,
    sources: tuple[Source, ...] = (),
    brief: bool = False,
) -> Prompt:
    """Return a prompt with what goes with it.

    Parameters
    ----------
    attachments
        Images and PDFs, or where they are.
    schema
        A JSON Schema, one in words, or the name of a file that holds one.
    schema_multi
        The same, of which a list is asked for.
    needs
        Tags that an arm must have.
    sources
        Files that the text asks of.
    brief
        A short answer is asked for.

    Raises
    ------
    UsageError
        If the prompt is empty, or what goes with it cannot be read.
    """
    attachments = tuple(attachments)
    if not text.strip() and not attachments:
        raise UsageError("the prompt is empty", hint='Give it as an argument (scrimp ask "...") or on standard input.')
    return Prompt(
        text=text,
        system=None if system is None else clean_text(system, what="the system prompt"),
        schema=_one_schema(schema, schema_multi),
        attachments=tuple(limited(map(_attached, attachments), lambda each: len(each.data), "the attachments")),
        needs=frozenset(needs),
        sources=sources,
        brief=brief,
    )


def _attached(each: Path | Attachment) -> Attachment:
    return load_attachment(each) if isinstance(each, Path) else each


def given_attachments(
    names: Iterable[str], *, fetch: Callable[[str], Fetched], piped: Callable[[], bytes] | None = None
) -> list[Path | Attachment]:
    """Return what `-a` names: files, what is on the web, and `-` for what is piped in.

    Parameters
    ----------
    fetch, piped
        Fetch what a URL names (`Fetcher.bytes`), and read standard input; None: `-` is the name of a file.

    Raises
    ------
    UsageError, TryAgainError
        If it cannot be fetched, or is of a kind that no model takes.
    """
    found: list[Path | Attachment] = []
    for name in names:
        if is_url(name):
            fetched = fetch(name)
            found.append(attachment_of(fetched.name, fetched.data, what=fetched.url))
        elif name == PIPE and piped is not None:
            found.append(attachment_of(PIPED, piped(), what=PIPED))
        else:
            found.append(Path(name))
    return found


def _one_schema(schema: str | None, schema_multi: str | None) -> dict[str, Any] | None:
    if schema is not None and schema_multi is not None:
        raise UsageError("--schema and --schema-multi say the form of the answer twice: give one of them")
    if schema_multi is not None:
        return read_schema(schema_multi, many=True)
    return None if schema is None else read_schema(schema)


def given_variables(pairs: Iterable[str]) -> dict[str, str]:
    """Return the variables that `-v NAME=VALUE` gives.

    Raises
    ------
    UsageError
        If one has no value.
    """
    found = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"-v {pair}: expected NAME=VALUE")
        found[key] = value
    return found


def make_request(
    profile: Profile,
    ledger: Ledger,
    prompt: Prompt,
    *,
    arm: str | None,
    max_cost_nano: int | None,
    on_this_machine: bool,
    follow: bool | str | Conversation,
    no_log: bool,
    memory: str = "auto",
    begins: bool = True,
    fast: bool = False,
    **more: Any,
) -> Ask:
    """Return the request of a prompt.

    Parameters
    ----------
    follow
        Go on with the conversation that was last answered (True), or with the one of this name or id, which begins
        where no conversation has that name yet: of the files that it was last asked of too, unless others are given, or
        none is to be read. A conversation that the log does not keep is handed over itself.
    no_log
        Keep neither text nor features, whatever the profile says.
    memory
        How much of the conversation goes along, one of `memory.TIERS`.
    begins
        Whether a new conversation's name is written down now.
    fast
        Whether a minute of waiting costs as much as a right answer is worth.
    more
        Other fields of `Ask`.

    Raises
    ------
    UsageError
        If there is no conversation to go on with, a file of it is not to be had any more, or there is no such reading
        or way of memory.
    """
    check_reading(more.get("reading", "auto"))
    check_tier(memory)
    past = going_on(ledger, follow, begins=begins) if follow else None
    if past is not None:
        history = tuple(Turn(turn.prompt, turn.answer) for turn in past.turns)
        prompt = replace(prompt, history=history, system=prompt.system or past.system)
        if not prompt.sources and more.get("reading") != "none":
            prompt = replace(prompt, sources=of_conversation(ledger, past.id))
    wishes = Wishes(arm=arm, max_cost_nano=max_cost_nano, on_this_machine=on_this_machine, fast=fast)
    keep = "money" if no_log else profile.log.keep
    which = None if past is None else past.id or None
    return Ask(prompt, wishes, conversation_id=which, keep=keep, past=past, memory=memory, **more)


def going_on(ledger: Ledger, follow: bool | str | Conversation, *, begins: bool) -> Conversation:
    """Return the conversation that is gone on with (`make_request`); one that only would begin has no id.

    Raises
    ------
    UsageError
        If there is none to go on with, or its text was not kept.
    """
    if isinstance(follow, Conversation):
        return follow
    if not isinstance(follow, str):
        return last_conversation(ledger)
    found = find_conversation(ledger, follow)
    if found is None:
        check_name(follow)
        found = begin_conversation(ledger, follow, now=time.time()) if begins else ""
    return conversation(ledger, found)
