"""Checks that run something: a command of the user's, the code in an answer, its tests."""

from __future__ import annotations

import ast
import os
import re
import secrets
import shlex
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from scrimp.profiles.environment import command_environment
from scrimp.profiles.errors import UsageError
from scrimp.profiles.reading import read_text
from scrimp.routing.text.code import code_in

from .base import NOTHING, BaseCheck, Given, Verdict
from .sandbox import MAX_OUTPUT_BYTES, MAX_PROCESSES, last_line, run_apart, run_python

__all__ = ["COMMAND_TIMEOUT_S", "CommandCheck", "PythonCheck"]


COMMAND_TIMEOUT_S: Final = 60.0
"""A check that takes longer has failed."""

CODE_TIMEOUT_S: Final = 10.0


_PLACE: Final = re.compile(r"\{(file|code)(\.[A-Za-z0-9]{1,8})?\}")


@dataclass(frozen=True, slots=True)
class CommandCheck(BaseCheck):
    """A command ends with 0.

    It gets the answer on standard input, and as a file where an argument says `{file}` (or `{file.md}`, to name the
    ending); `{code.py}` is a file with the answer's code alone. Of the environment it gets what programs need to run,
    and no key (`command_environment`).
    """

    command: tuple[str, ...]
    name: str
    timeout_s: float = COMMAND_TIMEOUT_S
    slow: bool = field(default=True, init=False)
    kind: str = field(default="cmd", init=False)

    @classmethod
    def parse(cls, argument: str, name: str) -> CommandCheck:
        """Read `cmd:COMMAND`, split into words as a shell would, without one."""
        try:
            words = shlex.split(argument)
        except ValueError as error:
            raise UsageError(f"--check {name}: {error}") from None
        if not words:
            raise UsageError(f"--check {name}: expected a command after cmd:")
        return cls(tuple(words), name).found()

    def found(self) -> CommandCheck:
        """Return the check itself.

        Raises
        ------
        UsageError
            If there is no such command: it is better to say so before an answer is paid for.
        """
        first = self.command[0]
        if not _PLACE.search(first) and shutil.which(first) is None:
            raise UsageError(f"check {self.name} cannot be run: there is no command {first!r}")
        return self

    @classmethod
    def parse_shell(cls, argument: str, name: str) -> CommandCheck:
        """Read `sh:SCRIPT`, run by /bin/sh."""
        if not argument.strip():
            raise UsageError(f"--check {name}: expected a shell command after sh:")
        return cls(("/bin/sh", "-c", argument), name)

    def test(self, answer: str, given: Given = NOTHING) -> Verdict:
        """Return the verdict on an answer. Where the command cannot be run, nothing vouches for it: it has failed."""
        del given
        data = answer.encode("utf-8", "replace")
        with tempfile.TemporaryDirectory(prefix="scrimp-check-", ignore_cleanup_errors=True) as folder:

            def place(found: re.Match[str]) -> str:
                whole = found[1] == "file"
                content = data if whole else code_in(answer).encode("utf-8", "replace")
                ending = found[2] or (".py" if _is_python(answer if whole else code_in(answer)) else ".txt")
                file = Path(folder) / f"answer{ending}"
                file.write_bytes(content)
                return str(file)

            command = [_PLACE.sub(place, word) for word in self.command]
            try:
                ran = run_apart(command, data=data, timeout_s=self.timeout_s, env=command_environment(os.environ))
            except (OSError, ValueError) as error:
                why = getattr(error, "strerror", None) or error
                return self.failed(f"check {self.name} cannot be run: {why}")
        if ran.too_long:
            return self.failed(f"check {self.name} took over {self.timeout_s:g} s")
        if ran.too_much:
            return self.failed(f"check {self.name} printed over {MAX_OUTPUT_BYTES // 1024 // 1024} MB")
        if ran.too_many:
            return self.failed(f"check {self.name} had over {MAX_PROCESSES} processes at a time")
        if ran.code == 0:
            return self.passed()
        said = last_line(ran.tail)
        return self.failed(f"check {self.name} failed ({ran.code})" + (f": {said}" if said else ""))


def _parse(source: str) -> ast.Module | str:
    """Return a module, or what is wrong with it. Deep nesting is wrong, too: it would end this process."""
    import warnings

    depth = deepest = 0
    for char in source:
        depth += (char in "([{") - (char in ")]}")
        deepest = max(deepest, depth)
    if deepest > 90 or len(source) > 1_000_000:
        return "it is nested too deeply, or too long"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except SyntaxError as error:
        return f"{error.msg} (line {error.lineno})"
    except (ValueError, RecursionError, MemoryError) as error:
        return str(error) or type(error).__name__


def _is_python(text: str) -> bool:
    tree = _parse(text)
    kinds = (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Assert, ast.Assign, ast.For, ast.If)
    return isinstance(tree, ast.Module) and any(isinstance(node, kinds) for node in tree.body)


@dataclass(frozen=True, slots=True)
class PythonCheck(BaseCheck):
    """The answer's code is Python, and passes unit tests where there are any.

    Tests are a file of Python in which everything that the answer defines is known: `assert` lines, or functions whose
    names begin with `test`.
    """

    tests: str | None
    name: str
    timeout_s: float = CODE_TIMEOUT_S
    memory_mb: int = 512
    slow: bool = field(default=True, init=False)

    @property
    def kind(self) -> str:  # type: ignore[override]  # what it is depends on whether there are tests
        """Return `tests` or `python`."""
        return "python" if self.tests is None else "tests"

    @classmethod
    def parse_tests(cls, argument: str, name: str) -> PythonCheck:
        """Read `tests:FILE`."""
        try:
            tests = read_text(Path(argument))
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is not UTF-8"
            raise UsageError(f"--check {name}: cannot read {argument}: {why}") from None
        wrong = _parse(tests)
        if isinstance(wrong, str):
            raise UsageError(f"--check {name}: {argument} is not Python: {wrong}")
        return cls(tests, name)

    def test(self, answer: str, given: Given = NOTHING) -> Verdict:
        """Return the verdict on an answer."""
        del given
        code = code_in(answer)
        parsed = _parse(code)
        if isinstance(parsed, str):
            return self.failed(f"the code is not Python: {parsed}")
        if self.tests is None:
            return self.passed()
        wrong = self._run(code, true=True)
        if wrong is None and self._run(code, true=False) is None:
            wrong = "the code passes a test that nothing can pass: it does not run the tests, or fakes their end"
        return self.passed() if wrong is None else self.failed(wrong)

    def _run(self, code: str, *, true: bool) -> str | None:
        """Return what is wrong with code by the tests, and by one more at their end that holds or does not."""
        done, left, right = (secrets.randbelow(1 << 48) for _ in range(3))
        last = f"assert {left} + {right} == {left + right + (0 if true else 1 + secrets.randbelow(99))}"
        job = {"code": code, "tests": self.tests, "last": last, "done": f"{done:x}"}
        ran = run_python("tests", job, timeout_s=self.timeout_s, memory_mb=self.memory_mb)
        if ran.too_long:
            return f"the tests took over {self.timeout_s:g} s"
        if ran.too_much:
            return "the code prints without end"
        if ran.too_many:
            return "the code forks without end"
        if ran.code == 0 and ran.tail.endswith(f"\n{done:x}"):
            return None
        said = last_line(ran.tail)
        if ran.code is not None and ran.code < 0:
            said = f"ended by signal {-ran.code}" + (f" ({said})" if said else "")
        return f"the tests fail: {said or f'exit {ran.code}'}"
