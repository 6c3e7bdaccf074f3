"""Checks of an answer: a JSON Schema, a pattern, a command's exit code."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from scrimp.profiles.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scrimp.profiles.schema import Check as NamedCheck

__all__ = ["Check", "CommandCheck", "PatternCheck", "SchemaCheck", "make_check"]

COMMAND_TIMEOUT_S: Final = 60.0
"""A check that takes longer has failed."""

_SHOWN: Final = 200


class Check(Protocol):
    """A test of an answer."""

    @property
    def name(self) -> str:
        """What messages and labels call it."""
        ...

    @property
    def slow(self) -> bool:
        """Whether it takes time (a command), so that an answer should be safe on disk before."""
        ...

    def problem(self, answer: str) -> str | None:
        """Return what is wrong with an answer, or None when it passes."""
        ...


@dataclass(frozen=True)
class SchemaCheck:
    """The answer is JSON and satisfies a JSON Schema."""

    schema: Mapping[str, Any]
    name: str = "schema"
    slow: bool = field(default=False, init=False)

    @cached_property
    def _validator(self) -> Any:
        import jsonschema

        return jsonschema.validators.validator_for(self.schema)(self.schema)

    def problem(self, answer: str) -> str | None:
        """Return what is wrong with an answer, or None when it passes."""
        try:
            value = json.loads(answer)
        except (ValueError, RecursionError):
            return "the answer is not JSON"
        first = next(iter(self._validator.iter_errors(value)), None)
        if first is None:
            return None
        where = "/".join(str(part) for part in first.absolute_path) or "the top"
        return f"the answer does not satisfy the schema, at {where}: {first.message[:_SHOWN]}"


@dataclass(frozen=True, slots=True)
class PatternCheck:
    """A regular expression is found in the answer."""

    pattern: re.Pattern[str]
    name: str = "pattern"
    slow: bool = field(default=False, init=False)

    def problem(self, answer: str) -> str | None:
        """Return what is wrong with an answer, or None when it passes."""
        return None if self.pattern.search(answer) else f"the answer does not match {self.pattern.pattern[:_SHOWN]!r}"


@dataclass(frozen=True, slots=True)
class CommandCheck:
    """A command ends with 0. It gets the answer on standard input, and as a file where an argument says `{file}`."""

    command: tuple[str, ...]
    name: str
    timeout_s: float = COMMAND_TIMEOUT_S
    slow: bool = field(default=True, init=False)

    def problem(self, answer: str) -> str | None:
        """Return what is wrong with an answer, or None when it passes.

        Raises
        ------
        UsageError
            If the command cannot be run at all.
        """
        data = answer.encode("utf-8", "replace")
        with tempfile.TemporaryDirectory(prefix="scrimp-check-") as folder:
            file = Path(folder) / "answer.txt"
            if any("{file}" in word for word in self.command):
                file.write_bytes(data)
            command = [word.replace("{file}", str(file)) for word in self.command]
            try:
                done = subprocess.run(
                    command, input=data, capture_output=True, timeout=self.timeout_s, check=False, cwd=None
                )
            except subprocess.TimeoutExpired:
                return f"check {self.name} took over {self.timeout_s:g} s"
            except OSError as error:
                raise UsageError(f"check {self.name} cannot be run: {error.strerror or error}") from None
        if done.returncode == 0:
            return None
        said = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines()
        return f"check {self.name} failed ({done.returncode})" + (f": {said[-1][:_SHOWN]}" if said else "")


def make_check(text: str, named: Mapping[str, NamedCheck]) -> Check:
    """Return the check that a flag names.

    Parameters
    ----------
    text
        The name of one of the profile's checks, or `re:PATTERN`, or `cmd:COMMAND`.
    named
        The profile's checks.

    Raises
    ------
    UsageError
        If it is none of these.
    """
    if text in named:
        return CommandCheck(tuple(named[text].cmd), text)
    if text.startswith("re:"):
        try:
            return PatternCheck(re.compile(text[3:], re.MULTILINE), text)
        except re.error as error:
            raise UsageError(f"--check {text}: not a regular expression: {error}") from None
    if text.startswith("cmd:"):
        import shlex

        try:
            words: Sequence[str] = shlex.split(text[4:])
        except ValueError as error:
            raise UsageError(f"--check {text}: {error}") from None
        if words:
            return CommandCheck(tuple(words), text)
    from scrimp.profiles.schema import did_you_mean

    raise UsageError(
        f"no check {text!r} in this profile{did_you_mean(text, named)}",
        hint=f"Give a check's name ({', '.join(named) or 'the profile has none'}), re:PATTERN or cmd:COMMAND.",
    )
