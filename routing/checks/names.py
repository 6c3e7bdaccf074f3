"""The names by which flags and profiles ask for a check."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import UsageError
from scrimp.routing.text.compare import QUORUMS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scrimp.profiles.schema import Check as NamedCheck

    from .base import Check

__all__ = ["make_check"]


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
    builders = _builders()
    if kind not in builders or (not colon and kind not in _BARE):
        from scrimp.profiles.schema import did_you_mean

        raise UsageError(
            f"no check {spec!r} in this profile{did_you_mean(kind, [*named, *builders])}",
            hint=f"Give a check's name ({', '.join(named) or 'the profile has none'}), or one such as re:PATTERN, "
            "cmd:COMMAND, schema:FILE, json, has:TEXT, words:10..200, python, refusal (docs/checks.md has all).",
        )
    if kind in _CALLING and not calls:
        raise UsageError(f"--check {name}: {kind} asks a model, which is not done here")
    check: Check = builders[kind](argument, name)
    if timeout_s is not None and hasattr(check, "timeout_s"):
        timed: Any = check
        limited: Check = replace(timed, timeout_s=timeout_s)
        return limited
    return check


_TAKEN: Final = frozenset({"*", "checks", *QUORUMS})
_CALLING: Final = frozenset({"judge", *QUORUMS})
_BARE: Final = frozenset(
    {"json", "python", "refusal", "complete", "upper", "lower", "title", "no-commas", "instructions", *QUORUMS}
)
"""Kinds that stand without an argument."""


def _builders() -> dict[str, Callable[[str, str], Any]]:
    """Return what makes a check of each kind out of its argument and its name."""
    from . import code as runs
    from . import form
    from . import text as looks
    from .agree import AgreeCheck
    from .instructions import InstructionsCheck
    from .judge import JudgeCheck

    return {
        "schema": looks.SchemaCheck.parse,
        "json": looks.JsonCheck.parse,
        "re": looks.PatternCheck.parse,
        "is": looks.ExactCheck.parse,
        "number": looks.NumberCheck.parse,
        "words": form.CountCheck.parse_words,
        "chars": form.CountCheck.parse_chars,
        "lines": form.CountCheck.parse_lines,
        "sentences": form.CountCheck.parse_sentences,
        "paragraphs": form.CountCheck.parse_paragraphs,
        "bullets": form.CountCheck.parse_bullets,
        "language": form.LanguageCheck.parse,
        "refusal": form.RefusalCheck.parse,
        "complete": form.CompleteCheck.parse,
        "has": form.WordingCheck.parse_has,
        "lacks": form.WordingCheck.parse_lacks,
        "starts": form.WordingCheck.parse_starts,
        "ends": form.WordingCheck.parse_ends,
        "upper": form.FormCheck.parse_upper,
        "lower": form.FormCheck.parse_lower,
        "title": form.FormCheck.parse_title,
        "no-commas": form.FormCheck.parse_no_commas,
        "instructions": InstructionsCheck.parse,
        "cmd": runs.CommandCheck.parse,
        "sh": runs.CommandCheck.parse_shell,
        "python": runs.PythonCheck.parse,
        "tests": runs.PythonCheck.parse_tests,
        "agree": AgreeCheck.parse_agree,
        "most": AgreeCheck.parse_most,
        "judge": JudgeCheck.parse,
    }
