"""Options that several commands share, spelled once."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer

from scrimp.profiles.errors import UsageError

from .complete import complete_arms, complete_conversations, complete_profiles

__all__ = [
    "ArmOption",
    "BriefOption",
    "CascadeOption",
    "FastOption",
    "FileOption",
    "HintOption",
    "JsonOption",
    "LocalOnly",
    "MaxCost",
    "MaxSeconds",
    "MaxSpend",
    "MinQuality",
    "Needs",
    "Offline",
    "PlanOption",
    "PreferOption",
    "PrivateMode",
    "PrivateOption",
    "ProfileOption",
    "ReadOption",
    "ReadTokens",
    "Reading",
    "RepairOption",
    "SeedOption",
    "SinceOption",
    "UseHintOption",
    "WtpOption",
    "read_day",
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
        "--arm",
        metavar="ARM",
        help="Take this arm of the profile; no routing, no fallback.",
        autocompletion=complete_arms,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
PreferOption = Annotated[
    str | None,
    typer.Option(
        "--prefer",
        metavar="PRESET",
        help="cheap ($0.01), balanced ($0.10) or best ($1.00): what a right answer is worth.",
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
        "--need", metavar="CAPABILITY", help="Only arms that have this: vision, pdf, tools, json, or a tag. Repeats."
    ),
]
SeedOption = Annotated[int | None, typer.Option("--seed", hidden=True, help="Seed of exploration, to repeat a draw.")]
CascadeOption = Annotated[
    bool,
    typer.Option("--cascade", help="Choose a plan of several arms and checks, and escalate where an answer fails."),
]
PlanOption = Annotated[
    str | None,
    typer.Option("--plan", metavar="PLAN", help="Follow this plan: `small ? checks > large`, or a name of [plans]."),
]
RepairOption = Annotated[
    bool, typer.Option("--repair", help="Escalate with the failed answer and what is wrong with it.")
]
HintOption = Annotated[
    bool,
    typer.Option("--hint", help="Flip a coin whether the nearest hint stands in front; it learns where hints help."),
]
UseHintOption = Annotated[
    str | None, typer.Option("--use-hint", metavar="NAME", help="Put this hint in front, without a coin.")
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


def read_day(since: str) -> float:
    """Return the POSIX time at which a day begins in UTC; of an instant with its zone, that instant.

    Raises
    ------
    UsageError
        If it is neither.
    """
    try:
        day = datetime.fromisoformat(since)
    except ValueError:
        raise UsageError(f"--since: expected a date such as 2026-11-01, not {since!r}") from None
    return (day if day.tzinfo else day.replace(tzinfo=UTC)).timestamp()
