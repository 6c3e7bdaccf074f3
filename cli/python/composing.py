"""From what a caller gives to a request that is ready to be decided and asked."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypedDict

from scrimp.profiles.errors import UsageError
from scrimp.profiles.money import read_usd
from scrimp.profiles.rungs import READ_TOKENS

from .opened import logger
from .results import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from decimal import Decimal
    from os import PathLike

    from scrimp.routing.asking.request import Ask, Way
    from scrimp.routing.asking.workspace import Workspace
    from scrimp.routing.deciding.trace import Decision
    from scrimp.routing.plans.plan import Plan
    from scrimp.routing.prompts.context import Context

    from .opened import Opened

    Name = str | PathLike[str]
    Usd = Decimal | float | str

__all__ = ["AskOptions", "Job", "nano", "prepare", "several"]

MOST_PHRASINGS: Final = 9
"""As many as `ask --rephrase` takes."""


class AskOptions(TypedDict, total=False):
    """What goes with a prompt; `Scrimp.ask` says what each is."""

    system: str | None
    files: Name | Iterable[Name]
    attachments: Name | Iterable[Name]
    schema: Mapping[str, Any] | Name | None
    arm: str | None
    temperature: float | None
    max_tokens: int | None
    options: Mapping[str, Any]
    max_cost_usd: Usd | None
    max_seconds: float | None
    fast: bool
    prefer: str | None
    wtp_usd: float | None
    min_quality: float | None
    on_this_machine: bool
    needs: str | Iterable[str]
    checks: str | Iterable[str]
    cascade: bool
    plan: str | None
    repair: bool
    brief: bool
    tag: str | None
    conversation: Answer | str | None
    memory: str
    no_log: bool
    rephrase: int | None
    confirmed: bool
    read: str
    read_tokens: int
    private: str | None
    on_text: Callable[[str], object] | None


class Listener:
    """Hears an answer, and remembers whether it heard any of it."""

    def __init__(self, on_text: Callable[[str], object]) -> None:
        self.on_text = on_text
        self.heard = False

    def __call__(self, text: str) -> None:
        """Hear a piece."""
        self.heard = True
        self.on_text(text)

    def end(self, text: str) -> None:
        """Hear the whole, where no piece of it came."""
        if text and not self.heard:
            self(text)


@dataclass(frozen=True, slots=True)
class Job:
    """A request that is ready to be decided and asked.

    Attributes
    ----------
    space
        What it is asked with; what that says goes to `said`, and to the log.
    ask, context, way
        The request, its prompt's context, and how it is answered.
    listener
        Who hears the answer; None where nobody does.
    """

    space: Workspace
    ask: Ask
    context: Context
    way: Way
    said: list[str]
    listener: Listener | None

    def tell_missed(self, decision: Decision) -> bool:
        """Say where what was decided is not predicted to reach the quality asked for; return whether."""
        from scrimp.routing.asking.refusal import missed_quality

        if (missed := missed_quality(decision)) is not None:
            self.space.say(missed)
        return missed is not None

    def hearing(self, plan: Plan) -> Listener | None:
        """Return who hears the answer as it comes: nobody where a later one may take its place."""
        return self.listener if plan.single and not self.way.may_take_another else None


def prepare(
    opened: Opened,
    prompt: str,
    *,
    system: str | None = None,
    files: Name | Iterable[Name] = (),
    attachments: Name | Iterable[Name] = (),
    schema: Mapping[str, Any] | Name | None = None,
    arm: str | None = None,
    temperature: float | None = None,
    max_tokens: int | None = None,
    options: Mapping[str, Any] = MappingProxyType({}),
    max_cost_usd: Usd | None = None,
    max_seconds: float | None = None,
    fast: bool = False,
    prefer: str | None = None,
    wtp_usd: float | None = None,
    min_quality: float | None = None,
    on_this_machine: bool = False,
    needs: str | Iterable[str] = (),
    checks: str | Iterable[str] = (),
    cascade: bool = False,
    plan: str | None = None,
    repair: bool = False,
    brief: bool = False,
    tag: str | None = None,
    conversation: Answer | str | None = None,
    memory: str = "auto",
    no_log: bool = False,
    rephrase: int | None = None,
    confirmed: bool = False,
    read: str = "auto",
    read_tokens: int = READ_TOKENS,
    private: str | None = None,
    on_text: Callable[[str], object] | None = None,
) -> Job:
    """Put a request together; nothing is reserved or sent.

    Raises
    ------
    ScrimpError
        If something that was given cannot be, or cannot be read.
    """
    from scrimp.routing.asking.call_options import read_options
    from scrimp.routing.asking.compose import compose, given_attachments, make_request, question_of, read_sources
    from scrimp.routing.asking.fetching import Fetcher
    from scrimp.routing.asking.kept_files import reads_again
    from scrimp.routing.asking.ways import make_way, split_plan
    from scrimp.routing.text.clean import clean_text

    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        logger.info(line)

    fetcher = Fetcher(on_this_machine, say)
    given = read_sources(several(files), tell=say, fetch=fetcher.text)
    text, sources = question_of(clean_text(prompt, what="the prompt"), given)
    asked = compose(
        text,
        system=system,
        attachments=given_attachments(map(os.fspath, several(attachments)), fetch=fetcher.bytes),
        schema=_schema_text(schema),
        needs=several(needs),
        sources=sources,
        brief=brief,
    )
    profile, arm = opened.under(prefer, wtp_usd, min_quality, max_seconds, private, arm=arm)
    if (split := split_plan(read, arm=arm, plan=plan, cascade=cascade)) is not None:
        read, arm, plan = "auto", None, split
    call = read_options(_options(options, temperature, max_tokens), what="options:")
    space = opened.workspace(profile, say)
    ask = make_request(
        profile,
        space.ledger,
        asked,
        arm=arm,
        max_cost_nano=nano(max_cost_usd),
        on_this_machine=on_this_machine,
        follow=_conversation_id(conversation),
        memory=memory,
        no_log=no_log,
        fast=fast,
        tag=tag,
        takes_back=False,
        rephrase=_phrasings(rephrase),
        confirmed=confirmed,
        reading=read,
        read_tokens=read_tokens,
        params=call.params,
        output_limit=call.output_limit,
    )
    if (again := reads_again(asked, ask.prompt)) is not None:
        say(again)
    way = make_way(
        profile, schema=asked.schema, checks=several(checks), cascade=cascade, plan=plan, repair=repair, arm=arm
    )
    space.look_after()
    ask, context = space.prepare(ask, way)
    return Job(space, ask, context, way, said, None if on_text is None else Listener(on_text))


def _options(options: Mapping[str, Any], temperature: float | None, max_tokens: int | None) -> dict[str, Any]:
    named = {"temperature": temperature, "max_tokens": max_tokens}
    return {**options} | {key: value for key, value in named.items() if value is not None}


def _phrasings(n: int | None) -> int | None:
    if n is not None and not 2 <= n <= MOST_PHRASINGS:
        raise UsageError(f"rephrase: expected a number from 2 to {MOST_PHRASINGS}, not {n}")
    return n


def several(given: Any) -> tuple[Any, ...]:
    """Return one name or several as several."""
    return (given,) if isinstance(given, (str, os.PathLike)) else tuple(given)


def nano(usd: Usd | None) -> int | None:
    """Return an amount in USD as nano-USD.

    Raises
    ------
    UsageError
        If it is none.
    """
    if usd is None:
        return None
    try:
        return read_usd(str(usd))
    except ValueError as error:
        raise UsageError(f"max_cost_usd: expected an amount in USD such as 0.05, not {usd!r}: {error}") from None


def _schema_text(schema: Mapping[str, Any] | Name | None) -> str | None:
    if schema is None or isinstance(schema, str):
        return schema
    return os.fspath(schema) if isinstance(schema, os.PathLike) else json.dumps(dict(schema))


def _conversation_id(conversation: Answer | str | None) -> str | bool:
    if conversation is None:
        return False
    which = conversation.conversation_id if isinstance(conversation, Answer) else conversation
    if not which:
        raise UsageError("this answer is of no conversation that could go on: its text was not kept")
    return which
