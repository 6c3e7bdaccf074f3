"""Options that several commands share, spelled once."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final

import typer

from scrimp.profiles.errors import UsageError

from .complete import (
    complete_arms,
    complete_conversations,
    complete_hints,
    complete_needs,
    complete_options,
    complete_plans,
    complete_presets,
    complete_profiles,
    complete_requests,
    complete_tags,
    complete_templates,
)

__all__ = [
    "A_REQUEST",
    "ArmOption",
    "AttachmentOption",
    "BriefOption",
    "CascadeOption",
    "DaysOption",
    "ExtractOption",
    "FastOption",
    "FileOption",
    "HintOption",
    "JsonOption",
    "LocalOnly",
    "MaxCost",
    "MaxSeconds",
    "MaxSpend",
    "MaxTokens",
    "MinQuality",
    "Needs",
    "Offline",
    "OptionOption",
    "PlanOption",
    "PreferOption",
    "PrivateMode",
    "PrivateOption",
    "ProfileOption",
    "ReadOption",
    "ReadTokens",
    "Reading",
    "RepairOption",
    "RequestArgument",
    "SchemaMultiOption",
    "SchemaOption",
    "SeedOption",
    "SinceOption",
    "TagOption",
    "Temperature",
    "TemplateOption",
    "UseHintOption",
    "WtpOption",
    "days_back",
    "read_day",
    "typed",
]

A_REQUEST: Final = "its id, four or more characters of its beginning or end, or `last`."
"""How a request is named, wherever one is."""

RequestArgument = Annotated[
    str,
    typer.Argument(metavar="[ID|last]", help=f"Which request: {A_REQUEST}", autocompletion=complete_requests),
]
ProfileOption = Annotated[
    str | None,
    typer.Option(
        "-p",
        "--profile",
        metavar="NAME|FILE",
        help="Profile to use (its name, or a .toml file).",
        autocompletion=complete_profiles,
    ),
]
ArmOption = Annotated[
    str | None,
    typer.Option(
        "-m",
        "--model",
        "--arm",
        metavar="ARM|MODEL",
        help="Take this arm, alias, or model with a known price (gpt-5-mini); no routing, no fallback.",
        autocompletion=complete_arms,
    ),
]
AttachmentOption = Annotated[
    list[str] | None,
    typer.Option(
        "-a",
        "--attachment",
        metavar="FILE|URL",
        help="Image or PDF, for arms that take it; - is standard input. Repeats.",
    ),
]
TemplateOption = Annotated[
    str | None,
    typer.Option(
        "-t",
        "--template",
        metavar="NAME|FILE",
        help="Template with {{variables}}; {{input}} is the prompt.",
        autocompletion=complete_templates,
    ),
]
OptionOption = Annotated[
    list[str] | None,
    typer.Option(
        "-o",
        "--option",
        metavar="KEY VALUE",
        help="An option of the call, as in -o top_p 0.5. Repeats.",
        autocompletion=complete_options,
    ),
]
Temperature = Annotated[
    float | None, typer.Option("--temperature", metavar="0..2", min=0.0, help="How freely the model chooses its words.")
]
MaxTokens = Annotated[
    int | None, typer.Option("--max-tokens", metavar="N", min=1, help="The most output tokens; less is reserved, too.")
]
SchemaOption = Annotated[
    str | None,
    typer.Option(
        "--schema",
        metavar="FILE|JSON|FIELDS",
        help="JSON Schema that the answer must satisfy (else exit 7), or its fields: 'name, age int'.",
    ),
]
SchemaMultiOption = Annotated[
    str | None,
    typer.Option("--schema-multi", metavar="FILE|JSON|FIELDS", help="The same, of which a list is asked for."),
]
ExtractOption = Annotated[
    bool, typer.Option("--extract", help="Print only the first fenced block of the answer (all, where there is none).")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
PreferOption = Annotated[
    str | None,
    typer.Option(
        "--prefer",
        metavar="PRESET",
        help="cheap ($0.01), balanced ($0.10) or best ($1.00): what a right answer is worth.",
        autocompletion=complete_presets,
    ),
]
WtpOption = Annotated[
    float | None, typer.Option("--wtp", metavar="USD", min=0.0, help="What a right answer is worth to you, in USD.")
]
MinQuality = Annotated[
    float | None,
    typer.Option(
        "--min-quality",
        metavar="0..1",
        min=0.0,
        max=1.0,
        help="Take the cheapest arm whose predicted quality reaches this.",
    ),
]
MaxCost = Annotated[
    str | None, typer.Option("--max-cost", metavar="USD", help="Refuse to spend more than this on this request.")
]
MaxSpend = Annotated[
    str | None, typer.Option("--max-cost", metavar="USD", help="Spend at most this, all calls together.")
]
LocalOnly = Annotated[bool, typer.Option("--local-only", help="Only arms that run on this machine.")]
Offline = Annotated[
    bool,
    typer.Option(
        "--offline", envvar="SCRIMP_OFFLINE", help="Send nothing beyond this machine (same arms as --local-only)."
    ),
]
Needs = Annotated[
    list[str] | None,
    typer.Option(
        "--need",
        metavar="CAPABILITY",
        help="Only arms that have this: vision, pdf, tools, json, or a tag. Repeats.",
        autocompletion=complete_needs,
    ),
]
SeedOption = Annotated[int | None, typer.Option("--seed", hidden=True, help="Seed of exploration, to repeat a draw.")]
CascadeOption = Annotated[
    bool,
    typer.Option("--cascade", help="Choose a plan of several arms and checks, and escalate where an answer fails."),
]
PlanOption = Annotated[
    str | None,
    typer.Option(
        "--plan",
        metavar="PLAN",
        help="Follow this plan: `small ? checks > large`, or a name of [plans].",
        autocompletion=complete_plans,
    ),
]
RepairOption = Annotated[
    bool, typer.Option("--repair", help="Escalate with the failed answer and what is wrong with it.")
]
HintOption = Annotated[
    bool,
    typer.Option("--hint", help="Flip a coin whether the nearest hint stands in front; it learns where hints help."),
]
UseHintOption = Annotated[
    str | None,
    typer.Option(
        "--use-hint",
        metavar="NAME",
        help="Put this hint in front, without a coin.",
        autocompletion=complete_hints,
    ),
]
CidOption = Annotated[
    str | None,
    typer.Option(
        "--cid",
        metavar="NAME|ID",
        help="Go on with this conversation; a new name begins one.",
        autocompletion=complete_conversations,
    ),
]


class Memory(StrEnum):
    """How much of a conversation goes along: `routing.asking.memory.TIERS`."""

    AUTO = "auto"
    LAST = "last"
    RELEVANT = "relevant"
    ALL = "all"
    SUMMARY = "summary"


MemoryOption = Annotated[
    Memory | None,
    typer.Option(
        "--memory",
        show_default=False,
        help="How much of the conversation goes along: what is worth its price, the last turns, those that the "
        "question is about too, all, or a summary of what is older by a cheap arm.",
    ),
]
FileOption = Annotated[
    list[str] | None,
    typer.Option(
        "-f",
        "--file",
        metavar="FILE|FOLDER|PATTERN",
        help="What is asked of: a file (text, HTML, PDF), a folder, a pattern in quotes ('minutes/**/*.md'), or - for "
        "standard input. Repeats.",
    ),
]


class Reading(StrEnum):
    """How much of files is sent: what is worth most, one of `profiles.rungs.READINGS`, or a call a piece."""

    AUTO = "auto"
    WHOLE = "whole"
    PASSAGES = "passages"
    SPLIT = "split"
    NONE = "none"


ReadOption = Annotated[
    Reading,
    typer.Option(
        "--read",
        help="How much of files and piped text is sent: what is worth most, the whole, passages that the question is "
        "about, all of it in a call a piece, or nothing.",
    ),
]
ReadTokens = Annotated[
    int, typer.Option("--read-tokens", metavar="N", min=100, max=1_000_000, help="The most tokens of passages.")
]
TagOption = Annotated[
    str | None,
    typer.Option(
        "--tag",
        metavar="TEXT",
        help="A word by which to find it in the log and in `scrimp spend`.",
        autocompletion=complete_tags,
    ),
]
DaysOption = Annotated[float | None, typer.Option("--days", min=0.0, help="Only the last N days.")]
SinceOption = Annotated[
    str | None, typer.Option("--since", metavar="DATE", help="Only requests from this day on (YYYY-MM-DD).")
]


class PrivateMode(StrEnum):
    """What becomes of what is private in a prompt."""

    OFF = "off"
    WARN = "warn"
    REDACT = "redact"
    LOCAL = "local"
    REFUSE = "refuse"


PrivateOption = Annotated[
    PrivateMode | None,
    typer.Option(
        "--private",
        help="What becomes of keys, cards, e-mail, phone numbers ...: `redact` sends placeholders (docs/guard.md).",
    ),
]
MaxSeconds = Annotated[
    float | None,
    typer.Option("--max-seconds", metavar="S", min=0.01, help="Only arms that are expected to be done in time."),
]
BriefOption = Annotated[bool, typer.Option("--brief", help="Ask for a short answer, and pay for no long one.")]
FrontOption = Annotated[
    bool,
    typer.Option("--front", help="Show what no other arm beats in quality, cost and time at once (docs/front.md)."),
]
FastOption = Annotated[bool, typer.Option("--fast", help="Waiting costs: a minute as much as a right answer is worth.")]


def typed(option: list[str] | None, temperature: float | None, max_tokens: int | None) -> dict[str, Any]:
    """Return the options of a call that were typed, whichever flag they came by."""
    if not (option or temperature is not None or max_tokens is not None):
        return {}
    from scrimp.routing.asking.call_options import MAX_TOKENS, typed_options

    named = {"temperature": temperature, MAX_TOKENS: max_tokens}
    return typed_options(option or ()) | {key: value for key, value in named.items() if value is not None}


def days_back(days: float | None, since: str | None, *, now: float) -> float | None:
    """Return how many days back something goes, of `--days` or `--since`; None where neither is given.

    Raises
    ------
    UsageError
        If both are, or `since` is no day.
    """
    if days is not None and since is not None:
        raise UsageError("--days and --since say the same thing twice", hint="Give one of them.")
    return days if since is None else max(0.0, (now - read_day(since)) / 86_400)


def read_day(since: str) -> float:
    """Return the POSIX time at which a day begins where one is, as listings have it; of an instant with its zone, that.

    Raises
    ------
    UsageError
        If it is neither.
    """
    try:
        day = datetime.fromisoformat(since)
    except ValueError:
        raise UsageError(f"--since: expected a date such as 2026-11-01, not {since!r}") from None
    return day.timestamp()
