"""What people type, as what it means: a bare question is `ask`, another tool's word for a command is that command.

Read before anything is imported, on every command line: the standard library alone, and little of it.
"""

from __future__ import annotations

import os
import stat
import sys

from .commands import COMMANDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["ELSEWHERE", "OPTIONS", "as_typed", "nearest"]

_ROOT: Final = frozenset({"-h", "--help", "-V", "--version", "--debug"})
"""Options that stand before any command."""

_ANY: Final = frozenset({"prompt", "question", "query", "continue"})
"""Other tools' words for `ask`: a prompt follows, of any length."""

_ALONE: Final = frozenset({"why", "last", "good", "bad"})
"""Words that nothing follows, where they are commands."""

_FOR_ASK: Final = ("-f", "--file", "-a", "--attachment", "-m", "--model", "-s", "--system", "-t", "--template", "-c")
"""Options after one word that make it a prompt: `scrimp summarize -f notes.txt`."""

_INSTEAD: Final[dict[str, tuple[str, ...]]] = {
    "version": ("--version",),
    "-v": ("--version",),
    "prompt": ("ask",),
    "question": ("ask",),
    "query": ("ask",),
    "continue": ("ask", "-c"),
    "why": ("log", "show", "last", "-x"),
    "last": ("log", "show", "last"),
    "show": ("log", "show"),
    "search": ("log", "search"),
    "browse": ("log", "browse"),
    "conversations": ("log", "conversations"),
    "logs": ("log",),
    "history": ("log",),
    "again": ("redo",),
    "retry": ("redo",),
    "good": ("rate", "good"),
    "bad": ("rate", "bad"),
    "cost": ("spend",),
    "costs": ("spend",),
    "usage": ("spend",),
    "caps": ("budget", "show"),
    "limits": ("budget", "show"),
    "arms": ("models",),
    "prices": ("models", "prices"),
    "pricing": ("models", "prices"),
    "profiles": ("profile",),
    "key": ("keys",),
    "aliases": ("alias",),
    "template": ("templates",),
    "init": ("setup",),
    "onboard": ("setup",),
    "repl": ("chat",),
    "shell": ("chat",),
    "compare": ("duel",),
    "estimate": ("ask", "--dry-run"),
    "explain": ("route", "-x"),
    "server": ("serve",),
    "proxy": ("serve",),
    "check": ("doctor",),
    "health": ("doctor",),
    "stats": ("report",),
    "dashboard": ("report",),
    "completion": ("completions",),
    "resume": ("batch", "--resume"),
}
"""Other tools' words for what there is, by the first word typed."""

_PARTS: Final[dict[tuple[str, str], tuple[str, ...]]] = {
    ("log", "last"): ("log", "show", "last"),
    ("log", "-r"): ("log", "show", "--answer"),
    ("log", "--response"): ("log", "show", "--answer"),
    ("log", "-q"): ("log", "search"),
    ("log", "--query"): ("log", "search"),
    ("spend", "today"): ("spend", "--today"),
    ("spend", "list"): ("spend",),
    ("spend", "show"): ("spend",),
    ("models", "list"): ("models",),
    ("models", "ls"): ("models",),
    ("budget", "day"): ("budget", "set", "day"),
    ("budget", "month"): ("budget", "set", "month"),
    ("batch", "run"): ("batch",),
    ("batch", "resume"): ("batch", "--resume"),
    ("serve", "start"): ("serve",),
    **{("completions", shell): ("completions", "show", shell) for shell in ("bash", "zsh", "fish", "powershell")},
}
"""The same, by the first two words: a command that is there, and what is not one of its own."""

ELSEWHERE: Final[dict[str, str]] = {
    "auth": "keys are set by: scrimp keys set openai (any provider's name)",
    "login": "keys are set by: scrimp keys set openai (any provider's name)",
    "config": "settings are profiles: scrimp profile show, scrimp profile edit NAME, or scrimp setup",
    "settings": "settings are profiles: scrimp profile show, scrimp profile edit NAME, or scrimp setup",
    "set": "to set something: scrimp keys set openai, scrimp budget set day 5, scrimp profile use NAME",
    "get": "to look at something: scrimp log show last, scrimp models, scrimp profile show",
    "list": "to list something: scrimp log, scrimp models, scrimp profile list, scrimp batch list",
    "status": "to see how things stand: scrimp spend, scrimp doctor, scrimp batch list",
    "test": "to try it: scrimp doctor, scrimp keys test, or scrimp demo",
    "tutorial": "to see it work, without a key: scrimp demo",
    "cancel": "to give up a batch: scrimp batch cancel ID",
    "stop": "what runs by itself is ended by: scrimp resident stop",
    "undo": "to undo: scrimp router rollback, scrimp log rm ID, scrimp budget clear SCOPE, scrimp keys rm NAME",
    "delete": "to forget something: scrimp log rm ID, scrimp log purge, scrimp keys rm NAME",
    "clear": "to forget something: scrimp log rm ID, scrimp log purge, scrimp budget clear SCOPE",
    "cache": "answers are kept for: scrimp ask --cache, scrimp batch --cache; scrimp log purge forgets them",
    "export": "to export: scrimp log export, scrimp learn export, scrimp spend --csv",
    "import": "to import: scrimp learn import FILE (outcomes); scrimp setup takes over what llm has",
    "update": "to update scrimp: uv tool upgrade scrimp, pipx upgrade scrimp, or pip install -U scrimp",
    "upgrade": "to update scrimp: uv tool upgrade scrimp, pipx upgrade scrimp, or pip install -U scrimp",
    "install": "there are no plugins: any model of LiteLLM is an arm of a profile, or -m MODEL (docs/from-llm.md)",
    "plugins": "there are no plugins: any model of LiteLLM is an arm of a profile, or -m MODEL (docs/from-llm.md)",
    "embed": "embeddings are only used to route; for your own: llm embed (docs/from-llm.md)",
    "similar": "embeddings are only used to route; for your own: llm similar (docs/from-llm.md)",
    "collections": "embeddings are only used to route; for your own: llm collections (docs/from-llm.md)",
    "fragments": "files, folders and URLs are given by -f, and read by what the question needs (docs/files.md)",
    "schemas": "a schema is given with the question: scrimp ask --schema 'name, age int' ...",
    "tools": "scrimp runs no tools; programs that do call it through: scrimp serve, scrimp run",
    "agent": "scrimp is no agent; agents call it through: scrimp run -- claude, or scrimp serve",
    "image": "scrimp makes no images; to ask about one: scrimp ask -a FILE ...",
}
"""What there is no command for, and what to type instead."""

OPTIONS: Final[dict[str, str]] = {
    "--verbose": "-x shows how the arm was chosen",
    "--why": "-x shows how the arm was chosen",
    "--budget": "--max-cost USD is the most that one command may spend; scrimp budget set day 5 is for all",
    "--cheap": "--prefer cheap",
    "--best": "--prefer best",
    "--quality": "--min-quality 0.8, or --prefer best",
    "--key": "a key never stands on a command line: scrimp keys set openai",
    "--api-key": "a key never stands on a command line: scrimp keys set openai",
    "--provider": "-p openai takes the provider's profile, -m openai/MODEL one model",
    "--usage": "cost stands below each answer; --json has the tokens",
    "-u": "cost stands below each answer; --json has the tokens",
    "--interactive": "scrimp chat",
    "--chat": "scrimp chat",
    "--stream": "answers stream on a terminal; --no-stream waits for the whole",
    "--format": "--json prints JSON",
    "--output-format": "--json prints JSON",
    "--async": "scrimp batch asks many at once",
    "--no-cache": "nothing is answered from a cache unless --cache says so",
    "--tool": "scrimp runs no tools; programs that do call it through scrimp serve",
    "-T": "scrimp runs no tools; programs that do call it through scrimp serve",
    "--yesterday": "--days 2, or --by day",
    "--week": "--days 7, or --by week",
    "--month": "--days 30, or --by month",
    "--tail": "-n N is how many",
    "--last": "-n N is how many; scrimp log show last is the last one",
    "--all": "-n N is how many",
}
"""Options of other tools, or of another command, and what to type instead. Said where an option is not there."""


def as_typed(argv: list[str]) -> list[str]:
    """Return the command line that is meant: itself, unless what is typed is a question or another tool's word.

    A question is what holds a space, a mark or a capital in its first word, three words and more, or a word with a file
    or a pipe to go with it; a word alone may be a mistyped command, and nothing is sent on a guess.

    Parameters
    ----------
    argv
        The words after the program's name.
    """
    at = 1 if argv[:1] == ["--debug"] else 0
    before, rest = argv[:at], argv[at:]
    if not rest:
        return [*before, "ask"] if not before and _piped() else argv
    first = rest[0]
    if first == "help" and len(rest) < 4:
        return [*before, *_help(rest[1:])]
    if first in _INSTEAD and not _is_sentence(rest):
        rest = [*_INSTEAD[first], *rest[1:]]
        first = rest[0]
    if len(rest) > 1 and (meant := _PARTS.get((first, rest[1]))) is not None:
        rest = [*meant, *rest[2:]]
    if first in COMMANDS or first in _ROOT:
        return [*before, *rest]
    return [*before, "ask", *rest] if _is_question(rest) else argv


def nearest(word: str) -> str | None:
    """Return the command that a word may be a slip of, or None."""
    from difflib import get_close_matches

    mixed_up = [name for name in COMMANDS if sorted(name) == sorted(word)]
    return next(iter(mixed_up or get_close_matches(word, COMMANDS, n=1, cutoff=0.8)), None)


def _help(words: list[str]) -> list[str]:
    """Return the command line that shows the help page of what `help` is asked of."""
    asked = as_typed(words) if words else []
    known = [word for word in asked if not word.startswith("-")] if asked[:1] and asked[0] in COMMANDS else words
    return [*known[:2], "--help"]


def _is_sentence(rest: list[str]) -> bool:
    """Tell whether a word that could be a command begins a sentence: "why is the sky blue"."""
    first, n_words = rest[0], _n_words(rest)
    if first == "-v":
        return len(rest) > 1
    return first not in _ANY and n_words > (1 if first in _ALONE else 3)


def _is_question(rest: list[str]) -> bool:
    """Tell whether words that begin with no command are a prompt and its options."""
    first = rest[0]
    if first.startswith("-") or not _is_word(first):
        return True
    if first in ELSEWHERE or first in _INSTEAD:
        return _is_sentence(rest)
    if _n_words(rest) <= 3 and nearest(first) is not None:
        return False
    return _n_words(rest) > 2 or any(word in _FOR_ASK for word in rest) or _piped()


def _is_word(text: str) -> bool:
    """Tell whether a text could be the name of a command."""
    return text.isascii() and text.islower() and text.replace("-", "").replace("_", "").isalnum()


def _n_words(rest: list[str]) -> int:
    """Return how many words stand before the first option."""
    return next((at for at, word in enumerate(rest) if word.startswith("-") and word != "-"), len(rest))


def _piped() -> bool:
    """Tell whether standard input is a pipe, or a file with something in it."""
    try:
        found = os.fstat(sys.stdin.fileno())
    except (OSError, ValueError, AttributeError):
        return False
    return stat.S_ISFIFO(found.st_mode) or (stat.S_ISREG(found.st_mode) and found.st_size > 0)
