"""From the name of a check, in a flag or a profile, to the check."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import UsageError
from scrimp.routing.text.compare import QUORUMS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scrimp.profiles.schema import Check as NamedCheck

    from .base import Check

__all__ = ["HARMLESS", "check_kinds", "is_check", "make_check", "runs_nothing"]

HARMLESS: Final = frozenset({
    "json", "refusal", "complete", "instructions", "upper", "lower", "title", "no-commas", "is", "number", "words",
    "chars", "lines", "sentences", "paragraphs", "bullets", "language", "has", "lacks", "starts", "ends", "judge",
    "found", "quoted",
})  # fmt: skip
"""Kinds of checks that run no command or code, read no file, and cannot take for ever: the others are used only where
the user, or the profile's owner for programs, says so."""


def check_kinds() -> tuple[str, ...]:
    """Return the kinds of checks as they are typed: with a colon where an argument follows."""
    return (*_plain(), *(f"{kind}:" for kind in _builders()))


def is_check(text: str, named: Mapping[str, NamedCheck]) -> bool:
    """Tell whether a text names a check of the profile, or is of a kind of check that there is."""
    kind, colon, _ = text.partition(":")
    return text in named or kind in _plain() or (kind in _builders() and bool(colon or kind in QUORUMS))


def runs_nothing(text: str, named: Mapping[str, NamedCheck]) -> bool:
    """Tell whether a check is of a `HARMLESS` kind."""
    own = named.get(text)
    spec = text if own is None else own.spec
    return spec is not None and spec.partition(":")[0] in HARMLESS


def make_check(text: str, named: Mapping[str, NamedCheck], *, calls: bool = False) -> Check:
    """Return the check that a flag names.

    Parameters
    ----------
    text
        The name of one of the profile's checks, or KIND:ARGUMENT as docs/checks.md lists them.
    named
        The profile's checks.
    calls
        Whether checks that ask models (`judge:`, `agree`, `most`) may be used here.

    Raises
    ------
    UsageError
        If it is none of these, or its argument is wrong.
    """
    if text in named:
        if text in _TAKEN:
            raise UsageError(
                f"a check may not be called {text!r}: plans use that word", hint="Rename it in the profile."
            )
        own = named[text]
        if own.cmd is not None:
            from .code import CommandCheck

            return CommandCheck(tuple(own.cmd), text, timeout_s=own.timeout_s).found()
        return _from_spec(own.spec or "", name=text, timeout_s=own.timeout_s, calls=calls, named=named)
    return _from_spec(text, name=text, timeout_s=None, calls=calls, named=named)


def _from_spec(spec: str, *, name: str, timeout_s: float | None, calls: bool, named: Mapping[str, NamedCheck]) -> Check:
    kind, colon, argument = spec.partition(":")
    plain, builders = _plain(), _builders()
    if not is_check(spec, {}):
        from scrimp.profiles.schema import did_you_mean

        raise UsageError(
            f"no check {spec!r} in this profile{did_you_mean(kind, [*named, *plain, *builders])}",
            hint=f"Give a check's name ({', '.join(named) or 'the profile has none'}), or one such as re:PATTERN, "
            "cmd:COMMAND, schema:FILE, json, has:TEXT, words:10..200, python, refusal (docs/checks.md has all).",
        )
    if kind in plain and colon:
        raise UsageError(f"--check {name}: {kind} takes no argument")
    if kind in _CALLING and not calls:
        raise UsageError(f"--check {name}: {kind} asks a model, which is not done here")
    check = plain[kind](name) if kind in plain else builders[kind](argument, name)
    if timeout_s is not None and hasattr(check, "timeout_s"):
        timed: Any = check
        limited: Check = replace(timed, timeout_s=timeout_s)
        return limited
    return check


_TAKEN: Final = frozenset({"*", "checks", *QUORUMS})
_CALLING: Final = frozenset({"judge", *QUORUMS})


def _plain() -> dict[str, Callable[[str], Check]]:
    """Return the maker of each kind of check that takes no argument; it is given the check's name."""
    from .code import PythonCheck
    from .form import CompleteCheck, FormCheck, RefusalCheck
    from .found import FoundCheck
    from .instructions import InstructionsCheck
    from .quoted import QuotedCheck
    from .text import JsonCheck

    return {
        "json": JsonCheck,
        "python": partial(PythonCheck, None),
        "refusal": RefusalCheck,
        "complete": CompleteCheck,
        "upper": partial(FormCheck, "upper"),
        "lower": partial(FormCheck, "lower"),
        "title": partial(FormCheck, "title"),
        "no-commas": partial(FormCheck, "no-commas"),
        "instructions": InstructionsCheck,
        "found": FoundCheck,
        "quoted": QuotedCheck,
    }


def _builders() -> dict[str, Callable[[str, str], Check]]:
    """Return the maker of each other kind of check; it is given the check's argument and name."""
    from .agree import AgreeCheck
    from .code import CommandCheck, PythonCheck
    from .form import CountCheck, LanguageCheck, WordingCheck
    from .judge import JudgeCheck
    from .text import ExactCheck, NumberCheck, PatternCheck, SchemaCheck

    return {
        "schema": SchemaCheck.parse,
        "re": PatternCheck.parse,
        "is": ExactCheck.parse,
        "number": NumberCheck.parse,
        "words": partial(CountCheck.parse, "words"),
        "chars": partial(CountCheck.parse, "characters"),
        "lines": partial(CountCheck.parse, "lines"),
        "sentences": partial(CountCheck.parse, "sentences"),
        "paragraphs": partial(CountCheck.parse, "paragraphs"),
        "bullets": partial(CountCheck.parse, "bullets"),
        "language": LanguageCheck.parse,
        "has": partial(WordingCheck.parse, "has"),
        "lacks": partial(WordingCheck.parse, "lacks"),
        "starts": partial(WordingCheck.parse, "starts"),
        "ends": partial(WordingCheck.parse, "ends"),
        "cmd": CommandCheck.parse,
        "sh": CommandCheck.parse_shell,
        "tests": PythonCheck.parse_tests,
        "agree": partial(AgreeCheck.parse, "agree"),
        "most": partial(AgreeCheck.parse, "most"),
        "judge": JudgeCheck.parse,
    }
